"""Arithmetic on one variable, the intensity i: the formulas of `corruptions_spec.yaml`.

A formula is a number or a string with `i`, numbers, + - * / // ** |, comparisons,
`a if c else b` and int, min, max. Nothing else is evaluated.

>>> evaluate("min(101, int(3 + 300*i)) | 1", 0.23)
73
"""

from __future__ import annotations

import ast
import operator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["evaluate", "uses_intensity"]

_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"int": int, "min": min, "max": max}


@lru_cache(maxsize=1024)
def _parse(formula: str) -> ast.expr:
    try:
        return ast.parse(formula, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{formula!r}: {error.msg}") from error


def uses_intensity(formula: object) -> bool:
    """True if the formula depends on the intensity."""
    return isinstance(formula, str) and any(
        isinstance(n, ast.Name) and n.id == "i" for n in ast.walk(_parse(formula))
    )


def evaluate(formula: str | float, intensity: float) -> int | float | bool:
    """The formula's value at an intensity; ValueError if it is not a formula."""
    if isinstance(formula, (int, float)):
        return formula
    try:
        value = _value(_parse(formula), intensity)
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"{formula!r}: {error}") from error
    if not isinstance(value, (int, float)):
        raise ValueError(f"{formula!r} is not a number")  # noqa: TRY004  # as documented
    return value


def _value(node: ast.expr, i: float) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    if isinstance(node, ast.Name) and node.id == "i":
        return i
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, i)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, i), _value(node.right, i))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPERATORS:
        return _OPERATORS[type(node.ops[0])](_value(node.left, i), _value(node.comparators[0], i))
    if isinstance(node, ast.IfExp):
        return _value(node.body if _value(node.test, i) else node.orelse, i)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function = _FUNCTIONS.get(node.func.id)
        if function is not None:
            return function(*(_value(argument, i) for argument in node.args))
    raise ValueError(f"{ast.unparse(node)!r} is not allowed in a formula")
