"""Checks that a value read from JSON or TOML has the shape that a type describes.

A shape is a dataclass or TypedDict, or made of them, text, numbers, lists and tables. A dataclass's fields
without a default must be there; entries that the type does not name are ignored, so that a folder of a newer
version can be read.

>>> check_shape({"levels": ["low", 3]}, dict[str, list[str]], "plan")
Traceback (most recent call last):
    ...
mmdbench.errors.ShapeError: plan.levels[1] must be text, got 3
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from mmdbench.errors import ShapeError

__all__ = ["MOST", "MOST_WHOLE", "check_shape", "is_number", "read_as"]

MOST = 2**53
"""The largest number allowed, in size: a larger one would be another number as a float."""

MOST_WHOLE = 2**63
"""The largest number allowed, in size, where a whole one is expected: a time in nanoseconds fits."""

_SHOWN = 60
_T = TypeVar("_T")
_Check = Callable[[Any], str]
"""The problem of a value: empty, or the place within it and what is wrong there."""


def check_shape(value: object, shape: Any, where: str = "it") -> None:
    """Raise ShapeError unless a value has a shape.

    Args:
        value: Anything that was read from JSON or TOML.
        shape: A type: str, int, float, bool, None, Any, texts in a Literal, a union, a list, tuple or dict of
            shapes, a dataclass or a TypedDict. Numbers are finite and not too large; a truth value is none.
        where: The place of the value, for the message.
    """
    problem = _check_of(shape)(value)
    if problem:
        raise ShapeError(where + problem)


def read_as(kind: type[_T], record: object, where: str = "it") -> _T:
    """A dataclass from a record, with lists as tuples; entries that are no fields are left out.

    Args:
        kind: The dataclass.
        record: Anything that was read from JSON or TOML.
        where: The place of the record, for messages.

    Returns:
        The value.

    Raises:
        ShapeError: It is no table, lacks a field, or has one of another shape.
    """
    check_shape(record, kind, where)
    assert isinstance(record, Mapping)
    shape: Any = kind
    given = {name: record[name] for name in _fields(shape)[0] if name in record}
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def is_number(value: Any, *, whole: bool = False) -> TypeGuard[float]:
    """True for a finite number that is not too large, and for no truth value; `whole` refuses floats."""
    if value.__class__ is int:
        most = MOST_WHOLE if whole else MOST
        return bool(-most <= value <= most)
    return not whole and isinstance(value, float) and -MOST <= value <= MOST


@cache
def _check_of(shape: Any) -> _Check:
    """The check of a shape, made once: files hold half a million records."""
    kind, args = get_origin(shape) or shape, get_args(shape)
    if kind is Any or kind is object:
        return lambda _: ""
    if kind in (Union, UnionType):
        return _union(args)
    if kind in _NAMES:
        return _scalar(kind)
    if kind is Literal:
        return lambda value: "" if value in args else _wrong(value, _name(shape))
    if _is_record(kind):
        return _record(kind)
    if issubclass(kind, Mapping):
        return _table(_check_of(args[1]) if args else None)
    if kind is tuple and args[-1] is not Ellipsis:
        return _row(tuple(map(_check_of, args)))
    return _list(_check_of(args[0]) if args else None)


def _scalar(kind: Any) -> _Check:
    if kind in (int, float):
        return lambda value: "" if is_number(value, whole=kind is int) else _wrong(value, _NAMES[kind])
    wanted = NoneType if kind is None else kind
    return lambda value: "" if isinstance(value, wanted) else _wrong(value, _NAMES[kind])


def _union(kinds: tuple[Any, ...]) -> _Check:
    checks = [_check_of(kind) for kind in kinds]
    plain = " or ".join(_name(kind) for kind in kinds)
    easy = {str, bool, NoneType}.intersection(kinds)

    def check(value: Any) -> str:
        if value.__class__ in easy:
            return ""
        problems = []
        for one in checks:
            problem = one(value)
            if not problem:
                return ""
            problems.append(problem)
        # One that is not about the value itself is of the kind that was meant.
        return next((p for p in problems if not p.startswith(_MUST)), _wrong(value, plain))

    return check


def _record(kind: Any) -> _Check:
    kinds, required = _fields(kind)
    checks = {name: _check_of(inner) for name, inner in kinds.items()}

    def check(value: Any) -> str:
        if not isinstance(value, Mapping):
            return _wrong(value, "a table")
        for name in required:
            if name not in value:
                return f" has no {name!r}"
        for name, inner in checks.items():
            if name in value and (problem := inner(value[name])):
                return f".{name}{problem}"
        return ""

    return check


def _table(inner: _Check | None) -> _Check:
    def check(value: Any) -> str:
        if not isinstance(value, Mapping):
            return _wrong(value, "a table")
        for key, item in value.items():
            if inner and (problem := inner(item)):
                return f".{ascii(key)[1:-1]:.40}{problem}"
        return ""

    return check


def _list(inner: _Check | None) -> _Check:
    def check(value: Any) -> str:
        if not isinstance(value, (list, tuple)):
            return _wrong(value, "a list")
        for place, item in enumerate(value):
            if inner and (problem := inner(item)):
                return f"[{place}]{problem}"
        return ""

    return check


def _row(checks: tuple[_Check, ...]) -> _Check:
    def check(value: Any) -> str:
        if not isinstance(value, (list, tuple)) or len(value) != len(checks):
            return _wrong(value, f"a list of {len(checks)}")
        for place, inner in enumerate(checks):
            if problem := inner(value[place]):
                return f"[{place}]{problem}"
        return ""

    return check


def _is_record(shape: Any) -> bool:
    return dataclasses.is_dataclass(shape) or is_typeddict(shape)


@cache
def _fields(shape: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The shapes of a record's fields by name, and the names of those that it must have."""
    kinds = get_type_hints(shape)
    if is_typeddict(shape):
        return kinds, tuple(sorted(shape.__required_keys__))
    found = dataclasses.fields(shape)
    needed = [f.name for f in found if f.default is f.default_factory is dataclasses.MISSING]
    return {f.name: kinds[f.name] for f in found}, tuple(needed)


_MUST = " must be "
_NAMES: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    None: "null",
    NoneType: "null",
}


def _name(shape: Any) -> str:
    kind = get_origin(shape) or shape
    if kind in _NAMES:
        return _NAMES[kind]
    if kind is Literal:
        return " or ".join(map(repr, get_args(shape)))
    return "a table" if _is_record(kind) or issubclass(kind, Mapping) else "a list"


def _wrong(value: object, wanted: str) -> str:
    return f"{_MUST}{wanted}, got {_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, (Mapping, list, tuple)):
        return f"a {'table' if isinstance(value, Mapping) else 'list'} of {len(value)}"
    if value.__class__ is int and not is_number(value, whole=True):
        return "a number that is too large"
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
