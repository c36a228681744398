"""The parameters of a corruption: their kinds and bounds, and the check of recorded ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mmdbench.errors import ParamsError, UnknownNameError

__all__ = [
    "COORDINATE",
    "Field",
    "Params",
    "check_params",
    "flag",
    "integer",
    "number",
    "odd",
    "published",
    "record",
    "records",
    "row",
    "rows",
    "text",
]

Params = Mapping[str, Any]

COORDINATE = 32767
"""The largest coordinate, in px, that OpenCV can draw to."""

Kind = Literal["number", "integer", "odd", "flag", "text", "row", "rows", "record", "records"]

_NUMBERS = {"number": "a number", "integer": "a whole number", "odd": "an odd whole number"}

# A guard for memory: the published corruptions draw at most a few hundred items.
_MOST_ITEMS = 1_000_000


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter: its kind, its bounds (both included), and its default if it may be absent."""

    kind: Kind
    low: float = -math.inf
    high: float = math.inf
    width: int = 0
    default: Any = None
    optional: bool = False
    fields: Mapping[str, Field] = field(default_factory=dict)
    letters: str = ""
    published: bool = False


def number(low: float, high: float) -> Field:
    """A finite number."""
    return Field("number", low, high)


def integer(low: int, high: int, default: int | None = None) -> Field:
    """A whole number.

    Args:
        low: The smallest value allowed.
        high: The largest value allowed.
        default: The value if the parameter is missing; None if it must be given.

    Returns:
        The description of the parameter.
    """
    return Field("integer", low, high, default=default, optional=default is not None)


def odd(low: int, high: int) -> Field:
    """An odd whole number."""
    return Field("odd", low, high)


def flag() -> Field:
    """True or false."""
    return Field("flag")


def row(width: int, low: int, high: int) -> Field:
    """A list of whole numbers.

    Args:
        width: The length of the list.
        low: The smallest value allowed.
        high: The largest value allowed.

    Returns:
        The description of the parameter.
    """
    return Field("row", low, high, width)


def rows(width: int, *, optional: bool = False) -> Field:
    """A list of rows of `width` whole numbers, coordinates in px."""
    return Field("rows", -COORDINATE, COORDINATE, width, default=(), optional=optional)


def text(letters: str) -> Field:
    """Text that uses only these letters."""
    return Field("text", letters=letters)


def record(*, optional: bool = False, **fields: Field) -> Field:
    """A mapping with these keys; None too, if optional."""
    return Field("record", optional=optional, fields=fields)


def records(**fields: Field) -> Field:
    """A list of mappings with these keys."""
    return Field("records", fields=fields)


def published(entry: Field) -> Field:
    """The same parameter, which may be left out: then it is what the spec gives in the profile `paper`."""
    return replace(entry, published=True)


def check_params(name: str, fields: Mapping[str, Field], params: object) -> dict[str, Any]:
    """Check the parameters of a corruption and fill in defaults.

    Args:
        name: The corruption, for error messages.
        fields: The description of each parameter.
        params: The parameters as they were recorded.

    Returns:
        The parameters, complete.

    Raises:
        ParamsError: A parameter is missing, unknown or not what its description allows.
    """
    return _mapping(f"{name}: params", fields, params)


def _mapping(where: str, fields: Mapping[str, Field], value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _error(where, value, "a mapping of " + (", ".join(fields) or "nothing"))
    for key in value:
        if key not in fields:
            hint = UnknownNameError("key", key, fields).hint
            raise ParamsError(f"{where} has the unknown key {key!r}.", hint=hint)
    found = {}
    for key, entry in fields.items():
        if key in value:
            found[key] = _entry(f"{where}[{key!r}]", entry, value[key])
        elif entry.optional:
            found[key] = entry.default
        else:
            raise ParamsError(f"{where} lacks the key {key!r}.", hint=f"Expected keys: {', '.join(fields)}.")
    return found


def _entry(where: str, entry: Field, value: Any) -> Any:
    if entry.kind == "record":
        return None if value is None and entry.optional else _mapping(where, entry.fields, value)
    if entry.kind == "records":
        return [_mapping(f"{where}[{k}]", entry.fields, item) for k, item in enumerate(_items(where, value))]
    if entry.kind == "rows":
        return [
            list(row) if _is_row(entry, row) else _row(f"{where}[{k}]", entry, row)
            for k, row in enumerate(_items(where, value))
        ]
    if entry.kind == "row":
        return list(value) if _is_row(entry, value) else _row(where, entry, value)
    return _scalar(where, entry, value)


def _is_row(entry: Field, value: Any) -> bool:
    """True for what nearly every row is; pictures have hundreds of them."""
    if type(value) not in (list, tuple) or len(value) != entry.width or set(map(type, value)) != {int}:
        return False
    return bool(entry.low <= min(value) and max(value) <= entry.high)


def _row(where: str, entry: Field, value: Any) -> list[int]:
    whole = integer(int(entry.low), int(entry.high))
    return [_scalar(where, whole, number) for number in _items(where, value, entry.width)]


def _scalar(where: str, entry: Field, value: Any) -> Any:
    if entry.kind == "text":
        if not isinstance(value, str) or not value or set(value) - set(entry.letters):
            raise _error(where, value, f"text of the letters {entry.letters}")
        return value
    if entry.kind == "flag":
        if not isinstance(value, bool):
            raise _error(where, value, "true or false")
        return value
    fits = isinstance(value, int) or (entry.kind == "number" and isinstance(value, float))
    fits = fits and not isinstance(value, bool) and not (entry.kind == "odd" and value % 2 == 0)
    if not fits or not entry.low <= value <= entry.high:
        raise _error(where, value, f"{_NUMBERS[entry.kind]} from {entry.low:g} to {entry.high:g}")
    return value


def _items(where: str, value: object, length: int | None = None) -> list[Any]:
    expected = "a list" if length is None else f"a list of {length} whole numbers"
    if not isinstance(value, (list, tuple)) or len(value) > _MOST_ITEMS or length not in (None, len(value)):
        raise _error(where, value, expected)
    return list(value)


def _error(where: str, value: object, expected: str) -> ParamsError:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return ParamsError(
        f"{where} is {shown} where {expected} is expected.", hint="Use what sample() returned."
    )
