"""Restorers that ship with mmdbench and need only OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Restore = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

__all__ = ["SHIPPED", "SHIPPED_VERSION", "deblock", "denoise"]

SHIPPED_VERSION = "1"
"""Version of the shipped restorers; a change that moves a pixel of a result increases it."""

_SEARCH_PX = 21  # side of the search window, as OpenCV advises
_PATCH_PX = 7  # side of a patch, as OpenCV advises
_STRENGTH = 6.0  # grey levels; a larger value also removes fine texture

_BLOCK_PX = 8  # side of JPEG's blocks
_FILTER_PX = 5  # diameter of the bilateral filter: less than a block
_FILTER_SIGMA_PX = 3.0  # spatial sigma of the filter; flat over most of its diameter
_COLOUR_PER_EXCESS = 10.0  # colour sigma in grey levels, for each grey level of excess
_MAX_COLOUR_SIGMA = 90.0  # grey levels; a larger one also blurs edges of the picture


def denoise(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Remove noise by non-local means in colour (Buades, Coll and Morel 2005)."""
    import cv2
    import numpy as np

    denoised = cv2.fastNlMeansDenoisingColored(pixels, None, _STRENGTH, _STRENGTH, _PATCH_PX, _SEARCH_PX)
    return np.asarray(denoised, np.uint8)


def deblock(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Remove the block borders of JPEG with a bilateral filter, at half its weight inside the 8×8 blocks.

    The colour sigma of the filter is 10 times the excess of steps (differences of adjacent pixels) across
    block borders over other steps, so that a picture without visible blocks is returned unchanged.
    """
    import cv2
    import numpy as np

    excess = max(_excess(pixels, 0), _excess(pixels, 1))
    colour = min(_MAX_COLOUR_SIGMA, _COLOUR_PER_EXCESS * excess)
    if colour < 1:
        return pixels
    smooth = cv2.bilateralFilter(pixels, _FILTER_PX, colour, _FILTER_SIGMA_PX).astype(np.float32)
    height, width = pixels.shape[:2]
    near = [np.isin(np.arange(n) % _BLOCK_PX, (_BLOCK_PX - 2, _BLOCK_PX - 1, 0, 1)) for n in (height, width)]
    weight = np.where(near[0][:, None] | near[1][None, :], np.float32(1), np.float32(0.5))[..., None]
    return np.asarray(np.rint(pixels + (smooth - pixels) * weight), np.uint8)


def _excess(pixels: NDArray[np.uint8], axis: int) -> float:
    """The mean step across block borders along an axis, minus the mean of other steps, in grey levels."""
    import numpy as np

    if pixels.shape[axis] <= _BLOCK_PX:
        return 0.0
    steps = np.abs(np.diff(pixels.astype(np.int16), axis=axis)).mean(axis=(1 - axis, 2))
    border = np.arange(len(steps)) % _BLOCK_PX == _BLOCK_PX - 1
    return float(steps[border].mean() - steps[~border].mean())


SHIPPED: Mapping[str, Restore] = {"opencv-nlmeans": denoise, "opencv-deblock": deblock}
"""The shipped restorers by name."""
