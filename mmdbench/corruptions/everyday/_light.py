"""The light that a value of sRGB stands for, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["encoded", "linear"]


def linear() -> NDArray[np.float64]:
    """The light of each of the values 0..255, as a share of white's."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def encoded(light: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The nearest values of light, as a share of white's; more than white is white."""
    # Steps halfway between two values: a search needs no power of every pixel.
    value = (np.arange(255) + 0.5) / 255
    steps = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.searchsorted(steps, light).astype(np.uint8)
