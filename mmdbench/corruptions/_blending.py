"""Mixing two images, to the bit as `cv2.addWeighted` does where the CPU has fused multiply-add."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["blend", "gain_table", "look_up"]

Image = NDArray[np.uint8]

# About 300 kB of index per step: stays in the second-level cache.
_PIXELS_PER_STEP = 1 << 17


def blend(
    first: Image, first_weight: float, second: Image, second_weight: float, *, out: Image | None = None
) -> Image:
    """round(first·first_weight + second·second_weight), clipped to 0..255.

    The result is what single precision with one final rounding gives: the sum of products in
    hardware differs between CPUs in exact ties. OpenCV makes it where it was seen to give that for
    every pair of values; elsewhere every pair is looked up in a table.

    Args:
        first: An image.
        first_weight: Its weight.
        second: An image of the same shape.
        second_weight: Its weight.
        out: Where the result goes, C-contiguous; may be `second`. A new image if not given.

    Returns:
        The mixed image.
    """
    out = np.empty(first.shape, np.uint8) if out is None else out
    if _opencv_agrees(first_weight, second_weight):
        cv2.addWeighted(first, first_weight, second, second_weight, 0, dst=out)
        return out
    table = _blend_table(first_weight, second_weight)
    one, two, result = (np.ravel(a) for a in (np.ascontiguousarray(first), np.ascontiguousarray(second), out))
    for start in range(0, result.size, _PIXELS_PER_STEP):
        part = slice(start, start + _PIXELS_PER_STEP)
        index = one[part].astype(np.uint16)
        index <<= 8
        index |= two[part]
        np.take(table, index, out=result[part], mode="wrap")
    return out


@lru_cache(maxsize=64)
def _opencv_agrees(first_weight: float, second_weight: float) -> bool:
    """True if `cv2.addWeighted` gives the table's value for every pair, by whole vectors and one by one."""
    table = _blend_table(first_weight, second_weight)
    values = np.arange(256, dtype=np.uint8)
    every_pair = np.stack([np.repeat(values, 256), np.tile(values, 256)])
    for in_a_row in (1, 8, 16, table.size):
        # A column too many keeps OpenCV from treating the rows as one.
        pairs = np.empty((2, table.size // in_a_row, in_a_row + 1), np.uint8)[:, :, :-1]
        pairs[:] = every_pair.reshape(pairs.shape)
        mixed = cv2.addWeighted(pairs[0], first_weight, pairs[1], second_weight, 0)
        if not np.array_equal(mixed.ravel(), table):
            return False
    return True


@lru_cache(maxsize=64)
def _blend_table(first_weight: float, second_weight: float) -> Image:
    values = np.arange(256, dtype=np.float64)
    # Doubles hold these products exactly; the casts are the two roundings of the fused operations.
    scaled = (values * np.float64(np.float32(second_weight))).astype(np.float32).astype(np.float64)
    exact = values[:, None] * np.float64(np.float32(first_weight)) + scaled[None, :]
    table: Image = np.clip(np.rint(exact.astype(np.float32)), 0, 255).astype(np.uint8).ravel()
    table.flags.writeable = False
    return table


def gain_table(gain: float) -> Image:
    """trunc(gain · v) for v in 0..255, clipped, in double precision."""
    return np.asarray(np.clip(gain * np.arange(256, dtype=np.float64), 0, 255).astype(np.uint8))


def look_up(image: Image, table: Image) -> Image:
    """The image with every value replaced by its entry in a 256-entry table."""
    # cv2 drops a last axis of one channel.
    return np.asarray(cv2.LUT(image, table), dtype=np.uint8).reshape(image.shape)
