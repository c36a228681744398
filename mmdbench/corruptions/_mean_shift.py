"""The pyramid mean-shift filter, by far the slowest corruption.

Two implementations give the same bytes: OpenCV's `pyrMeanShiftFiltering`, and a vectorised one
(`_mean_shift_numba`) that is an order of magnitude faster and used whenever numba can be imported.
"""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions._kernels import from_numba
from mmdbench.errors import SlowWarning, install_command

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["mean_shift"]

Image = NDArray[np.uint8]

# Beyond these the kernel's 16-bit sums and 8-bit offsets would overflow; OpenCV takes over.
_KERNEL_MAX_SPATIAL_RADIUS = 126
_KERNEL_MAX_COLOR_RADIUS = 255


def mean_shift(image: Image, spatial_radius: int, color_radius: int) -> Image:
    """Flatten an image into patches of even colour by mean-shift filtering on a two-level pyramid.

    `image` is H×W×3 uint8, of any size from 1×1 and any memory layout; it is not written to, and
    the result is a new C-contiguous array of the same shape. The channels are treated alike, so
    RGB and BGR work the same. `spatial_radius` (pixels) and `color_radius` (grey levels, Euclidean
    over the three channels) are at least 0; a spatial radius of 0 acts as 1.

    The bytes are those of `cv2.pyrMeanShiftFiltering(image, spatial_radius, color_radius,
    maxLevel=1)` with its default stop rule (5 iterations, epsilon 1), with numba or without, at
    every size: OpenCV accepts even 1×1, where the picture only goes down and up the pyramid.

    Source: corruption `mean_shift`, Comaniciu & Meer (2002) for the method.
    """
    # Writeable, too: numba compiles once more for arrays that are not.
    pixels = np.require(image, np.uint8, ["C", "W", "E"])
    fits = spatial_radius <= _KERNEL_MAX_SPATIAL_RADIUS and color_radius <= _KERNEL_MAX_COLOR_RADIUS
    by_numba = _kernel() if fits else None
    return (by_numba or _by_opencv)(pixels, spatial_radius, color_radius)


def _by_opencv(pixels: Image, spatial_radius: int, color_radius: int) -> Image:
    return np.asarray(cv2.pyrMeanShiftFiltering(pixels, spatial_radius, color_radius, maxLevel=1), np.uint8)


@functools.cache
def _kernel() -> Callable[[Image, int, int], Image] | None:
    """The numba implementation, or None, with a SlowWarning, where numba cannot be used."""
    kernel: Callable[[Image, int, int], Image] | None = from_numba("_mean_shift_numba", "pyramid_mean_shift")
    if kernel is None:
        warnings.warn(
            "mean_shift runs without numba: at low, mid and hard, a picture of 1024×768 takes 0.8, 2.7 and "
            "8 s of a core instead of 0.1, 0.3 and 0.6. Run: " + install_command("fast"),
            SlowWarning,
            stacklevel=2,
        )
    return kernel
