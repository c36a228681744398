"""Telea's inpainting, which takes half of the time that all corruptions but mean_shift take.

Two implementations give the same bytes: OpenCV's `inpaint`, and one in numba (`_inpainting_numba`)
that is two to three times as fast. The latter is used where numba can be imported, after enough pixels
to make up for the time that loading it takes.
"""

from __future__ import annotations

import functools
import platform
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions._kernels import from_numba

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["inpaint"]

Image = NDArray[np.uint8]

# OpenCV reads outside of an image of fewer pixels to a side.
_LEAST_SIDE = 3
_RADII = (1, 100)
# Loading compiled code takes as long as OpenCV does for a dozen photographs, or for one once numba is loaded.
_PIXELS_BEFORE_NUMBA = 10_000_000
_PIXELS_BEFORE_KERNEL = 1_000_000
# Elsewhere a compiler may have fused multiplications and additions in OpenCV, which changes roundings.
_PROCESSORS = ("x86_64", "amd64")

_seen = 0


def inpaint(image: Image, mask: Image, radius: int) -> Image:
    """Fill the pixels where `mask` (H×W uint8) is not 0 from those within `radius` px around them.

    `image` is H×W×3 uint8, of any size and layout; it is not written to, and the result is a new array.
    The bytes are those of `cv2.inpaint(image, mask, radius, cv2.INPAINT_TELEA)` from OpenCV 4.11 on; an
    image of 1 or 2 px to a side is given a border first, as OpenCV reads outside of it. Radii below 1 and
    above 100 px count as these.
    """
    radius = min(max(radius, _RADII[0]), _RADII[1])
    edge = 1 if min(mask.shape) < _LEAST_SIDE else 0
    wide, wide_mask = (
        cv2.copyMakeBorder(one, edge, edge, edge, edge, cv2.BORDER_REPLICATE) if edge else one
        for one in (image, mask)
    )
    fill = (_kernel() if _is_worth_it(mask.size) else None) or _by_opencv
    filled = fill(np.require(wide, np.uint8, ["C", "W"]), np.require(wide_mask, np.uint8, ["C", "W"]), radius)
    return np.ascontiguousarray(filled[edge : edge + mask.shape[0], edge : edge + mask.shape[1]])


def _is_worth_it(pixels: int) -> bool:
    global _seen  # noqa: PLW0603  # pixels filled by this process; a race between threads does no harm
    _seen += pixels
    return _seen > (_PIXELS_BEFORE_KERNEL if "numba" in sys.modules else _PIXELS_BEFORE_NUMBA)


def _by_opencv(image: Image, mask: Image, radius: int) -> Image:
    return np.asarray(cv2.inpaint(image, mask, radius, cv2.INPAINT_TELEA), np.uint8)


@functools.cache
def _kernel() -> Callable[[Image, Image, int], Image] | None:
    """The numba implementation, or None where numba cannot be used or its roundings are not trusted."""
    if platform.machine().lower() not in _PROCESSORS:
        return None
    kernel: Callable[[Image, Image, int], Image] | None = from_numba("_inpainting_numba", "telea")
    return kernel
