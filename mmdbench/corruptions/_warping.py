"""Pixels at other positions, in 1/32 px: whole numbers throughout, so that every OpenCV gives the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["in_32nds", "warp"]

Image = NDArray[np.uint8]

# The whole numbers between stay in the cache.
_PIXELS_PER_STRIP = 1 << 15


def in_32nds(position: NDArray[np.floating[Any]], length: int, margin: int = 0) -> NDArray[np.int32]:
    """Positions along a side, in px, in single precision and then in 1/32 px.

    Args:
        position: Positions; 0 is the middle of the first pixel.
        length: The side in px, from which they are clamped to 0 .. length − 1.
        margin: How many px further out they may be.

    Returns:
        Whole numbers of 1/32 px.
    """
    single = np.clip(position, -margin, length - 1 + margin).astype(np.float32)
    single *= np.float32(32)
    return np.asarray(np.rint(single, out=single), np.int32)


def warp(
    image: Image,
    columns: NDArray[np.int32],
    rows: NDArray[np.int32],
    outside: Sequence[int] | None = None,
) -> Image:
    """The picture whose pixel at (y, x) is the image's at (rows, columns), bilinear.

    Args:
        image: H×W or H×W×3.
        columns: Where each pixel comes from, in 1/32 px; broadcast with `rows` to the size of the result. At
            most one px outside the image.
        rows: As `columns`.
        outside: The colour beyond the border; the nearest pixel if not given.

    Returns:
        The warped picture.
    """
    height, width = np.broadcast_shapes(columns.shape, rows.shape)
    whole, fraction = np.empty((height, width, 2), np.int16), np.empty((height, width), np.uint16)
    step = max(1, _PIXELS_PER_STRIP // width)
    for start in range(0, height, step):
        strip = slice(start, start + step)
        x, y = (one if len(one) == 1 else one[strip] for one in (columns, rows))
        whole[strip, :, 0], whole[strip, :, 1] = x >> 5, y >> 5
        fraction[strip] = (x & 31) | (y & 31) << 5
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    fill = tuple(outside or ())
    warped = cv2.remap(image, whole, fraction, cv2.INTER_LINEAR, borderMode=border, borderValue=fill)
    return np.asarray(warped, dtype=np.uint8).reshape(height, width, *image.shape[2:])
