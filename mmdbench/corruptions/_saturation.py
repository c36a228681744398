"""From HSV with less saturation to RGB, alike on every CPU; OpenCV's own conversion is not.

A channel is V · (1 − S · x), where x depends on the hue and the channel; truncated. Two implementations
give the same bytes: one in NumPy and, from enough pixels on, one in numba.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions._kernels import from_numba

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["desaturate"]

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

_HUES = 180
_ONE = 1 << 15
_PIXELS_PER_STEP = 1 << 15
# Loading numba takes as long as it saves on so many pixels; where something else has loaded it, on fewer.
_PIXELS_BEFORE_NUMBA = 300_000_000
_PIXELS_BEFORE_KERNEL = 10_000_000

_seen = 0


def desaturate(image: Image, gain: float) -> Image:
    """RGB with S of 8-bit HSV (H in 0..179) multiplied by the gain, truncated."""
    shares = _channel_shares(gain)
    kernel = _kernel() if _is_worth_it(image.size // 3) else None
    if kernel is not None:
        pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.uint8)
        kernel(pixels.reshape(-1, 3), shares)
        return pixels.reshape(image.shape)
    out = np.empty_like(image)
    rows = max(1, _PIXELS_PER_STEP // image.shape[1])
    for start in range(0, len(image), rows):
        part = slice(start, start + rows)
        hsv = cv2.cvtColor(image[part], cv2.COLOR_RGB2HSV)
        pair, value = np.empty((*hsv.shape[:2], 2), np.uint8), np.empty(hsv.shape[:2], np.uint8)
        cv2.mixChannels([hsv], [pair, value], [1, 0, 0, 1, 2, 2])
        index, value = pair.view("<u2")[..., 0].astype(np.intp), value.astype(np.float32)
        channels = [(np.take(share, index, mode="clip") * value).astype(np.uint8) for share in shares]
        out[part] = cv2.merge(channels)
    return out


def _is_worth_it(pixels: int) -> bool:
    global _seen  # noqa: PLW0603  # pixels seen by this process; a race between threads does no harm
    _seen += pixels
    return _seen > (_PIXELS_BEFORE_KERNEL if "numba" in sys.modules else _PIXELS_BEFORE_NUMBA)


@functools.cache
def _kernel() -> Callable[[Image, Floats], None] | None:
    """The numba implementation, or None where numba cannot be used."""
    kernel: Callable[[Image, Floats], None] | None = from_numba("_saturation_numba", "keep_shares")
    return kernel


@functools.lru_cache(maxsize=16)
def _channel_shares(gain: float) -> Floats:
    """The share of V that each channel keeps, in 2⁻¹⁵, by channel and hue · 256 + saturation."""
    saturation = (np.arange(256, dtype=np.float32) * np.float32(gain)).astype(np.int64)
    # A colour's distance from full value along the hue circle, in 30ths of a sector of 60 degrees.
    hue = np.arange(_HUES)
    lost = [np.clip(np.abs((hue - top + 90) % _HUES - 90) - 30, 0, 30) for top in (0, 60, 120)]
    share = _ONE - np.round(saturation * np.array(lost)[..., None] * _ONE / (255 * 30))
    # With 15 bits after the point and a byte for V, single precision holds the product.
    return np.asarray(share.reshape(3, -1) / _ONE, dtype=np.float32)
