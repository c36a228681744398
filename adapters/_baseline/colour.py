"""Colour statistics: pixels get the name of a basic colour, and names are counted in a region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "ACHROMATIC",
    "NAMES",
    "border",
    "ellipse",
    "is_monochrome",
    "name_pixels",
    "patches",
    "ring",
    "shares",
]

NAMES = (
    *("red", "orange", "yellow", "green", "blue", "purple"),
    *("pink", "brown", "beige", "white", "black", "grey"),
)
ACHROMATIC = frozenset({"white", "black", "grey", "beige"})

Box = tuple[float, float, float, float]
# First hue of each colour, in degrees; hues above the last one are red again.
_HUES = (
    *((16, "orange"), (44, "yellow"), (68, "green"), (170, "blue")),
    *((258, "purple"), (310, "pink"), (342, "red")),
)
_INDEX = {name: i for i, name in enumerate(NAMES)}


def name_pixels(image: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The index in `NAMES` of each pixel's colour, for an H×W×3 uint8 RGB picture; shape H×W."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hue, sat, val = hsv[..., 0].astype(np.int32) * 2, hsv[..., 1] / 255.0, hsv[..., 2] / 255.0
    by_hue = np.full(hue.shape, _INDEX["red"], np.int8)
    for start, name in _HUES:
        by_hue[hue >= start] = _INDEX[name]
    names: NDArray[np.int8] = by_hue.copy()
    warm = (hue < 68) | (hue >= 342)
    names[((hue >= 300) | (hue < 16)) & (val > 0.65) & (sat < 0.6)] = _INDEX["pink"]
    names[warm & (hue < 60) & (hue >= 10) & (val < 0.62)] = _INDEX["brown"]
    names[warm & (hue < 68) & (hue >= 16) & (sat < 0.45)] = _INDEX["brown"]
    names[warm & (hue < 68) & (hue >= 16) & (sat < 0.42) & (val > 0.65)] = _INDEX["beige"]
    dull = (sat < 0.16) | (sat * val < 0.07)
    names[dull] = _INDEX["grey"]
    names[dull & (val > 0.78)] = _INDEX["white"]
    names[val < 0.2] = _INDEX["black"]
    names[(val < 0.28) & (sat < 0.35)] = _INDEX["black"]
    return names


def shares(names: NDArray[np.int8], weights: NDArray[np.float32]) -> Mapping[str, float]:
    """The share 0..1 of each colour name under weights of the same shape H×W."""
    total = float(weights.sum()) or 1.0
    counts = np.bincount(names.ravel(), weights=weights.ravel(), minlength=len(NAMES))
    return {name: float(counts[i]) / total for i, name in enumerate(NAMES)}


def ellipse(shape: tuple[int, int], box: Box) -> NDArray[np.float32]:
    """Weights that are 1 inside the ellipse filling 80 % of a box given in shares; at least one pixel."""
    height, width = shape
    x0, y0, x1, y1 = box
    ys = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - (y0 + y1) / 2
    xs = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width - (x0 + x1) / 2
    half_x, half_y = max((x1 - x0) * 0.4, 0.5 / width), max((y1 - y0) * 0.4, 0.5 / height)
    distance = (xs / half_x) ** 2 + (ys / half_y) ** 2
    inside = (distance <= 1).astype(np.float32)
    if not inside.any():
        inside.flat[int(distance.argmin())] = 1
    return inside


def border(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Weights that are 1 in the outer 15 % on the left, on the right and at the top."""
    height, width = shape
    weights = np.zeros(shape, np.float32)
    margin_y, margin_x = max(1, height * 15 // 100), max(1, width * 15 // 100)
    weights[:margin_y] = 1
    weights[:, :margin_x] = 1
    weights[:, -margin_x:] = 1
    return weights


def ring(shape: tuple[int, int], box: Box) -> NDArray[np.float32]:
    """Weights that are 1 around a box given in shares, out to 1.4 times its size."""
    height, width = shape
    x0, y0, x1, y1 = box
    grow_x, grow_y = 0.2 * (x1 - x0), 0.2 * (y1 - y0)
    ys, xs = (np.arange(height) + 0.5)[:, None] / height, (np.arange(width) + 0.5)[None, :] / width
    near = (xs > x0 - grow_x) & (xs < x1 + grow_x) & (ys > y0 - grow_y) & (ys < y1 + grow_y)
    inside = (xs > x0) & (xs < x1) & (ys > y0) & (ys < y1)
    return (near & ~inside).astype(np.float32)


def patches(names: NDArray[np.int8], colours: Sequence[str]) -> int:
    """The number of separate patches of the colours that cover at least 0.3 % of the picture each."""
    mask = np.isin(names, [_INDEX[c] for c in colours]).astype(np.uint8)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, _, statistics, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    return int((statistics[1:, cv2.CC_STAT_AREA] >= 0.003 * names.size).sum())


def is_monochrome(image: NDArray[np.uint8]) -> bool:
    """True if an H×W×3 uint8 RGB picture is grey or has one faint tint throughout, like an old print."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    a, b = lab[..., 1] - 128, lab[..., 2] - 128
    spread = float(np.hypot(a - np.median(a), b - np.median(b)).mean())
    strength = float(np.hypot(a, b).mean())
    return spread < 4.5 and strength < 26
