"""Layers that cover a picture: a mix by shares, smooth fields, things that fall; whole numbers throughout."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions._random import normal_indices

__all__ = ["GRID", "cover", "draw_clouds", "draw_falling", "enlarged", "grid", "spread"]

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

GRID = 128
"""Samples along each side of a smooth field, before it is spread over the picture."""

_VALUES_PER_STRIP = 1 << 17
_DEPTHS = 6
_SHIFT = 8


def cover(image: Image, layer: Image | int, share: Image) -> Image:
    """Mix a layer, or one grey level, into the image by a share (H×W or H×W×3): 255 leaves only the layer."""
    out = np.empty_like(image)
    rows = max(1, _VALUES_PER_STRIP // image[0].size)
    for start in range(0, len(image), rows):
        strip = slice(start, start + rows)
        part = share[strip] if share.ndim == 3 else cv2.merge([share[strip]] * 3)
        weight = np.asarray(part, np.uint16).reshape(out[strip].shape)
        weight += weight >> 7  # 0..256
        total = weight * (np.uint16(layer) if isinstance(layer, int) else layer[strip])
        total += image[strip] * (256 - weight)
        total += 128
        np.right_shift(total, 8, out=out[strip], casting="unsafe")
    return out


def grid() -> tuple[Floats, Floats]:
    """(x, y) of the samples of a smooth field, as a row and a column; both from 0 to 1."""
    place = (np.arange(GRID) + 0.5) / GRID
    return place[None, :], place[:, None]


def spread(field: Floats, shape: tuple[int, ...]) -> Image:
    """A smooth field of shares in 0..1 over the whole picture, H×W, 255 for 1."""
    levels = np.rint(np.clip(field, 0, 1) * 255).astype(np.uint8)
    return enlarged(levels, shape)


def enlarged(layer: Image, shape: tuple[int, ...]) -> Image:
    """A layer brought to the height and width of a shape by the bilinear resizing that is exact in OpenCV."""
    made = cv2.resize(layer, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(made, np.uint8).reshape(*shape[:2], *layer.shape[2:])


def draw_clouds(seed: int) -> Floats:
    """A smooth random field of 0..1: four octaves of values on a lattice, each half as strong."""
    total, strength = np.zeros((GRID, GRID)), 0.5
    for octave, cells in enumerate((3, 6, 12, 24)):
        lattice = normal_indices(seed + octave, (cells + 1, cells + 1)) / 65535
        place = np.arange(GRID) * cells / GRID
        whole = place.astype(np.intp)
        part = place - whole
        part = part * part * (3 - 2 * part)
        rows = lattice[whole] * (1 - part)[:, None] + lattice[whole + 1] * part[:, None]
        total += strength * (rows[:, whole] * (1 - part) + rows[:, whole + 1] * part)
        strength /= 2
    return np.clip((total / (1 - strength * 2) - 0.25) * 2, 0, 1)


def draw_falling(
    shape: tuple[int, ...], seed: int, count: int, fall: tuple[float, float], width: float
) -> Image:
    """Streaks at random places in one direction, H×W: near ones are longer, wider and brighter.

    Args:
        shape: The picture's.
        seed: Of the places and depths; the first streaks are the same for every count.
        count: Number of streaks.
        fall: (x, y) in px from the start of the nearest streaks to their end.
        width: Width of the nearest streaks in px.

    Returns:
        The brightness of the streaks, 0 where there is none.
    """
    layer = np.zeros(shape[:2], np.uint8)
    x, y, depth, _ = normal_indices(seed, (count, 4)).T.astype(np.int64)
    near = depth**3 * _DEPTHS >> 48  # few are near
    middle = np.stack([x * shape[1], y * shape[0]], axis=-1) >> 16 - _SHIFT
    for k in range(_DEPTHS):
        size = (k + 1.5) / (_DEPTHS + 0.5)
        half = np.rint(np.array(fall) * (size * 2 ** (_SHIFT - 1))).astype(np.int64)
        chosen = middle[near == k]
        thickness = max(1, round(width * size))
        # OpenCV draws lines of 1 px alike in all versions only between whole pixels.
        shift = _SHIFT if thickness > 1 else 0
        ends = (np.stack([chosen - half, chosen + half], axis=1) >> _SHIFT - shift).astype(np.int32)
        cv2.polylines(layer, list(ends), False, (int(128 + 127 * size),), thickness, cv2.LINE_8, shift)
    return layer
