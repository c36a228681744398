"""Chance that fresh pictures uncover a cache whose keys are too short.

A cache that knows a picture by a key of b bits answers a fresh one from another picture where their keys
agree. Keys of different pictures are taken as independent and uniform: after N pictures a fresh one has the
key of none of them with probability (1 - 2^-b)^N. Probes that are asked after N₁, N₂ … pictures all miss
with the product of these, (1 - 2^-b)^(N₁ + N₂ + …).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["FOUND_ABOVE", "chance_found", "key_bits_found"]

FOUND_ABOVE = 0.999
"""The chance above which a cache counts as one that would have been found."""


def chance_found(bits: int, pictures: Iterable[int]) -> float:
    """Chance that at least one probe has the key of an earlier picture.

    Args:
        bits: The length of the cache's keys in bits, at least 1.
        pictures: For each probe, the number of different pictures that the server was shown before it.

    Returns:
        The chance as a share.

    After 33,000 pictures, keys of 16 bits take 14 probes:

    >>> [round(chance_found(16, [33_000] * probes), 5) for probes in (13, 14)]
    [0.99856, 0.99913]
    """
    return -math.expm1(sum(pictures) * math.log1p(-(2.0**-bits)))


def key_bits_found(pictures: Iterable[int]) -> int:
    """The longest keys, in bits, that are found with a chance above `FOUND_ABOVE`; 0 if none are.

    `pictures` are as in `chance_found`.

    >>> key_bits_found([33_000] * 14), key_bits_found([33_000] * 13), key_bits_found([2_100] * 14)
    (16, 15, 12)
    """
    total, bits = sum(pictures), 0
    while chance_found(bits + 1, [total]) > FOUND_ABOVE:
        bits += 1
    return bits
