"""The restorers that ship with mmdbench: they need nothing but OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Restore = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

__all__ = ["SHIPPED", "SHIPPED_VERSION", "deblock", "denoise"]

SHIPPED_VERSION = "1"
"""Raised when a pixel of a shipped restorer's result moves."""

_SEARCH, _PATCH, _STRENGTH = 21, 7, 6.0
_GRID, _BILATERAL, _SPACE, _GAIN, _MOST = 8, 5, 3.0, 10.0, 90.0


def denoise(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Non-local means in colour (Buades, Coll and Morel 2005), with the windows that OpenCV advises."""
    import cv2
    import numpy as np

    found = cv2.fastNlMeansDenoisingColored(pixels, None, _STRENGTH, _STRENGTH, _PATCH, _SEARCH)
    return np.asarray(found, np.uint8)


def deblock(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Smooth across the borders of JPEG's 8×8 blocks, and half as much within them, keeping real edges.

    A bilateral filter removes steps that are small beside the picture's edges. The size of the steps
    that it removes follows from the excess of steps across borders over all others, so that a
    picture without blocks is returned unchanged.
    """
    import cv2
    import numpy as np

    excess = max(_excess(pixels, 0), _excess(pixels, 1))
    colour = min(_MOST, _GAIN * excess)
    if colour < 1:
        return pixels
    smooth = cv2.bilateralFilter(pixels, _BILATERAL, colour, _SPACE).astype(np.float32)
    height, width = pixels.shape[:2]
    near = [np.isin(np.arange(n) % _GRID, (_GRID - 2, _GRID - 1, 0, 1)) for n in (height, width)]
    weight = np.where(near[0][:, None] | near[1][None, :], np.float32(1), np.float32(0.5))[..., None]
    return np.asarray(np.rint(pixels + (smooth - pixels) * weight), np.uint8)


def _excess(pixels: NDArray[np.uint8], axis: int) -> float:
    """Grey levels by which the mean step across borders of blocks exceeds the mean of the other steps."""
    import numpy as np

    if pixels.shape[axis] <= _GRID:
        return 0.0
    steps = np.abs(np.diff(pixels.astype(np.int16), axis=axis)).mean(axis=(1 - axis, 2))
    border = np.arange(len(steps)) % _GRID == _GRID - 1
    return float(steps[border].mean() - steps[~border].mean())


SHIPPED: Mapping[str, Restore] = {"opencv-nlmeans": denoise, "opencv-deblock": deblock}
"""The restorers that need nothing beyond mmdbench itself, by name."""
