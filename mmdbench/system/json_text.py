"""JSON that somebody else may have written or damaged, read strictly.

Python's own reader takes the last of two equal keys, numbers that are no numbers, and lists within
lists until its stack ends. Here each of these is a ValueError that says so, in one line.

>>> parse_json('{"seed": 1, "seed": 2}')
Traceback (most recent call last):
    ...
ValueError: the key 'seed' occurs twice
"""

from __future__ import annotations

import json
import math
from typing import Any

from mmdbench.system.unicode_text import readable

__all__ = ["MOST_LEVELS", "TOO_DEEP", "finite", "parse_json", "parse_record", "require_shallow"]

MOST_LEVELS = 64
"""Levels of lists and tables within each other that a text may have; ours have less than ten."""

TOO_DEEP = f"it has more than {MOST_LEVELS} levels of lists and tables"


def parse_json(text: str | bytes, *, lenient: bool = False) -> Any:
    """The value of a JSON text in UTF-8, with or without a byte order mark.

    `lenient` allows what other programs write into predictions: NaN and infinite numbers, as pandas does for
    empty cells, and halves of characters, as a model's text may hold them.

    Raises ValueError for a text that is no JSON, a key that occurs twice, more than `MOST_LEVELS` levels and,
    unless `lenient`, NaN, an infinite number or half a character.
    """
    value = _parsed(_LENIENT if lenient else _STRICT, text)
    if not lenient and readable(value)[1]:
        raise ValueError("a text holds half of a surrogate pair, which is no character")
    return value


def parse_record(line: bytes) -> dict[str, Any]:
    """The record in a line of a file of records.

    A stored reply keeps what a server sent, so NaN, infinite numbers and halves of characters are allowed.
    Raises ValueError for a line that is no JSON object, a key that occurs twice, or more than `MOST_LEVELS`
    levels.
    """
    record = _parsed(_LENIENT, line)
    if not isinstance(record, dict):
        raise ValueError("not an object")  # noqa: TRY004 - a bad line, like bad JSON
    return record


def _parsed(decoder: json.JSONDecoder, text: str | bytes) -> Any:
    plain = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        value = decoder.decode(plain.removeprefix("\ufeff"))
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    # Nearly all lines have too few brackets to be deep.
    if plain.count("[") + plain.count("{") > MOST_LEVELS:
        require_shallow(value)
    return value


def require_shallow(value: Any) -> None:
    """Raise ValueError for a value with more than `MOST_LEVELS` levels of lists and tables."""
    inside = [value]
    for _ in range(MOST_LEVELS):
        tables = [list(item.values()) for item in inside if isinstance(item, dict)]
        lists = [item for item in inside if isinstance(item, list)]
        inside = [item for group in (*tables, *lists) for item in group]
        if not inside:
            return
    raise ValueError(TOO_DEEP)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} occurs twice")
    return found


def finite(text: str) -> float:
    """The number in a text. Raises ValueError for an infinite one and for NaN."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no number, or too large a one")
    return number


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=finite, parse_float=finite)
_LENIENT = json.JSONDecoder(object_pairs_hook=_unique)
