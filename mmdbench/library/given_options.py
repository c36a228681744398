"""Options as a Python user gives them: names and types are checked before anything is written or asked."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from mmdbench.corruptions.definition import Corruption
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.library.options import local_path
from mmdbench.system.shapes import is_number

__all__ = ["checked_options"]

T = TypeVar("T")

_SHOWN = 60


def checked_options(options: T, kind: type[T], function: str) -> T:
    """Options of a function, checked.

    A single value where several are taken becomes a list, and a number of numpy one of Python.

    Args:
        options: The options by name.
        kind: The TypedDict that describes them.
        function: The name of the function.

    Returns:
        The options.

    Raises:
        UsageError: An option is unknown, its value is of another type, or a path is a URL.
    """
    types, checked = _types(cast("Hashable", kind)), {}
    for name, value in cast("Mapping[str, Any]", options).items():
        if name not in types:
            raise UnknownNameError(f"option of {function}", name, types)
        checked[name] = _plain(value, types[name])
        if not _fits(checked[name], types[name]):
            annotation = kind.__annotations__[name]
            wanted = getattr(annotation, "__forward_arg__", annotation)
            raise UsageError(f"The option {name} must be of type {wanted}, got {value!r:.{_SHOWN}}.")
        if Path in get_args(types[name]) and isinstance(value, (str, Path)):
            local_path(value, name)
    return cast("T", checked)


@cache
def _types(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind, localns={"Corruption": Corruption})


def _plain(value: Any, kind: Any) -> Any:
    if isinstance(value, (str, Path, Corruption)):
        several = any(get_origin(one) is Sequence for one in (kind, *get_args(kind)))
        return [value] if several else value
    if value.__class__ not in (bool, int, float) and isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else float(value)
    return value


def _fits(value: Any, kind: Any) -> bool:
    """True if a value is of a type that options have."""
    outer, inner = get_origin(kind) or kind, get_args(kind)
    if outer is Sequence:
        return isinstance(value, (list, tuple)) and all(_fits(item, inner[0]) for item in value)
    if outer is tuple:
        return isinstance(value, (list, tuple)) and [*map(_fits, value, inner)] == [True] * len(inner)
    if outer is dict:
        return isinstance(value, Mapping)
    if outer in (int, float):
        return is_number(value, whole=outer is int)
    if outer in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    return isinstance(value, outer)
