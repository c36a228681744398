"""Text that is no Unicode: halves of surrogate pairs, which a JSON escape can hold and UTF-8 cannot."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["readable"]

_HALVES = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def readable(value: Any) -> tuple[Any, int]:
    r"""A JSON-able value with U+FFFD for every half of a surrogate pair, and the number of these.

    Two halves that make a pair become its character and are not counted.

    >>> readable({"text": "B \ud83d."}) == ({"text": "B \ufffd."}, 1)
    True
    """
    if isinstance(value, str):
        return (value, 0) if value.isascii() or not _HALVES.search(value) else _joined(value)
    if isinstance(value, dict):
        pairs = [(readable(key), readable(inner)) for key, inner in value.items()]
        return {key: inner for (key, _), (inner, _) in pairs}, sum(k + v for (_, k), (_, v) in pairs)
    if isinstance(value, list | tuple):
        found = [readable(inner) for inner in value]
        return type(value)(inner for inner, _ in found), sum(count for _, count in found)
    return value, 0


def _joined(text: str) -> tuple[str, int]:
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _HALVES.subn(_REPLACEMENT, paired)
