"""Lower saturation in 8-bit HSV, in integers: OpenCV's conversion back to RGB differs between CPUs."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["scale_saturation"]

Image = NDArray[np.uint8]

_HUES = 180
_ONE = 1 << 15
_PIXELS_PER_STEP = 1 << 14


def scale_saturation(image: Image, gain: float) -> Image:
    """S ← trunc(gain · S) of H×W×3 uint8 RGB, with H in 0..179; gain in 0..1.

    A channel is V · (1 − S · x), where x depends on the hue and the channel; truncated.
    """
    hsv = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.uint8).reshape(-1, 3)
    shares = _shares(gain)
    out = np.empty(hsv.shape, np.uint8)
    for start in range(0, len(hsv), _PIXELS_PER_STEP):
        part = slice(start, start + _PIXELS_PER_STEP)
        index = (hsv[part, 0].astype(np.uint16) << 8) | hsv[part, 1]
        value = hsv[part, 2].astype(np.uint32)
        for channel in range(3):
            product = np.take(shares[channel], index, mode="clip") * value
            product >>= 15
            out[part, channel] = product
    return out.reshape(image.shape)


@lru_cache(maxsize=16)
def _shares(gain: float) -> NDArray[np.uint16]:
    """The share of V that each channel keeps, times 2¹⁵, by channel and hue · 256 + saturation."""
    saturation = (np.arange(256, dtype=np.float32) * np.float32(gain)).astype(np.int64)
    # A colour's distance from full value along the hue circle, in 30ths of a sector of 60 degrees.
    hue = np.arange(_HUES)
    lost = [np.clip(np.abs((hue - top + 90) % _HUES - 90) - 30, 0, 30) for top in (0, 60, 120)]
    share = _ONE - np.round(saturation * np.array(lost)[..., None] * _ONE / (255 * 30))
    return np.asarray(share.reshape(3, -1), dtype=np.uint16)
