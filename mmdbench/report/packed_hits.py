"""Hits as text in a file that is made to be committed: one character each where all are 0 or 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["pack_hits", "unpack_hits"]

_HITS_PER_LINE = 100


def pack_hits(hits: Sequence[float]) -> list[Any]:
    """Hits as lines of 0 and 1, or as numbers where one is between."""
    if all(hit in (0.0, 1.0) for hit in hits):
        text = "".join("1" if hit else "0" for hit in hits)
        return [text[i : i + _HITS_PER_LINE] for i in range(0, len(text), _HITS_PER_LINE)]
    return list(hits)


def unpack_hits(packed: Sequence[Any]) -> list[float]:
    """The hits of `pack_hits`. Raises ValueError for one that is not between 0 and 1."""
    digits = "".join(packed) if packed and isinstance(packed[0], str) else None
    if digits is not None and digits.strip("01"):
        raise ValueError("a grade is neither 0 nor 1")
    hits = [float(value) for value in (packed if digits is None else digits)]
    if not all(0 <= hit <= 1 for hit in hits):
        raise ValueError("a grade is not between 0 and 1")
    return hits
