"""Filters whose sums are exact integers, so that every CPU and every OpenCV give the same result.

Weights are whole numbers and small enough that every partial sum stays below 2²⁴: single
precision adds them without rounding, in any order, fused or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["correlate_directly", "gaussian_blur", "gaussian_weights", "line_kernel", "sparse_correlate"]

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

_ONE = np.ones(1, np.float32)
_STRIP = 288
# In single precision: stays in the second-level cache.
_VALUES_PER_STRIP = 1 << 16
# Blurring 1/f-size averages costs 1/f²; (least sigma in px, f) keeps the error below half a level.
_STEPS = ((24.0, 8), (14.0, 4), (4.0, 2))
# From this many weights on, OpenCV uses Fourier transforms, which are not exact.
_DIRECT_WEIGHTS = 129
_TALLER_THAN_INTEL = 8
_CORNERS = np.arange(2)[:, None, None]
# Rows and columns that are summed at a time.
_TILE = (128, 256)


def gaussian_blur(image: Image, kernel_size: int, sigma: float, gain: float = 1.0) -> Image:
    """trunc(gain · Gaussian blur) of H×W or H×W×3 uint8, reflect-101 borders, sigma in px.

    Within one level of the floating-point definition: weights have 12 or 16 bits, rows are kept
    to 1/16 level, and a wide kernel that reaches 2.5 sigma works on averages of f×f pixels.
    """
    factor = next((f for least, f in _STEPS if sigma >= least and kernel_size >= 5 * sigma), 1)
    strips = _coarse_blur if factor > 1 else _fine_blur
    out = np.empty_like(image)
    for start, sixteenths in strips(image, kernel_size, sigma, factor):
        levels = np.multiply(sixteenths, np.float32(gain / 16), out=sixteenths)
        if gain > 1:
            np.minimum(levels, 255, out=levels)
        rows = out[start : start + len(levels)]
        np.copyto(rows, levels.reshape(rows.shape), casting="unsafe")
    return out


def _fine_blur(image: Image, kernel_size: int, sigma: float, _factor: int) -> Iterator[tuple[int, Floats]]:
    """The first row of a strip of rows, and the blurred strip in 1/16 levels; here, the whole image."""
    # 255 · 2¹⁶ is just below 2²⁴.
    first = _along_rows(image.astype(np.float32), _taps(kernel_size, sigma, 16))
    first *= np.float32(2**-12)
    second = _along_columns(np.rint(first, out=first), _taps(kernel_size, sigma, 12))
    second *= np.float32(2**-12)
    yield 0, second


def _along_rows(image: Floats, taps: Floats) -> Floats:
    """Sums along each row, by the faster of two OpenCV functions; both are exact."""
    if taps.size < _DIRECT_WEIGHTS:
        sums = cv2.filter2D(image, cv2.CV_32F, taps.reshape(1, -1), borderType=cv2.BORDER_REFLECT_101)
    else:
        sums = cv2.sepFilter2D(image, cv2.CV_32F, taps, _ONE, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(sums, dtype=np.float32).reshape(image.shape)


def _along_columns(image: Floats, taps: Floats) -> Floats:
    """Sums along each column, in strips narrow enough that the rows needed stay in the cache."""
    flat = image.reshape(image.shape[0], -1)
    sums = np.empty_like(flat)
    for left in range(0, flat.shape[1], _STRIP):
        strip = slice(left, left + _STRIP)
        sums[:, strip] = cv2.sepFilter2D(
            flat[:, strip], cv2.CV_32F, _ONE, taps, borderType=cv2.BORDER_REFLECT_101
        ).reshape(image.shape[0], -1)
    return sums.reshape(image.shape)


def _coarse_blur(image: Image, kernel_size: int, sigma: float, factor: int) -> Iterator[tuple[int, Floats]]:
    """As `_fine_blur`: average f×f, blur the small image, interpolate linearly."""
    height, width = image.shape[:2]
    border = math.ceil(kernel_size / 2 / factor) + 3
    small = _averages(image, factor, border)
    taps = _coarse_taps(kernel_size, sigma, factor)
    for sums in (_along_rows, _along_columns):
        small = sums(small, taps)
        small *= np.float32(2**-12)
        np.rint(small, out=small)
    # One more on each side than is seen, to interpolate with.
    small = small[border - 1 :, border - 1 : border + 1 + -(-width // factor)]
    full_width = factor * small.shape[1]
    step = max(1, _VALUES_PER_STRIP // (factor * small[0].size))
    for start in range(0, -(-height // factor), step):
        part = np.ascontiguousarray(small[start : start + step + 2])
        large = cv2.resize(part, (full_width, factor * len(part)), interpolation=cv2.INTER_LINEAR)
        stop = min(factor * step, height - factor * start)
        yield factor * start, np.asarray(large[factor:, factor : factor + width][:stop], np.float32)


def _averages(image: Image, factor: int, border: int) -> Floats:
    """Averages of f×f pixels in 1/16 levels, with a border of so many of them."""
    height, width = image.shape[:2]
    pad = factor * border
    below, right = pad + -height % factor, pad + -width % factor
    padded = cv2.copyMakeBorder(image, pad, below, pad, right, cv2.BORDER_REFLECT_101)
    rows, columns = padded.shape[0] // factor, padded.shape[1] // factor
    small = np.empty((rows, columns, *padded.shape[2:]), np.float32)
    step = max(1, _VALUES_PER_STRIP // (factor * padded[0].size))
    for start in range(0, rows, step):
        part = small[start : start + step]
        pixels = padded[factor * start : factor * (start + len(part))].astype(np.float32)
        cv2.resize(pixels, (columns, len(part)), dst=part, interpolation=cv2.INTER_AREA)
    small *= np.float32(16)
    return np.rint(small, out=small)


@lru_cache(maxsize=128)
def _taps(kernel_size: int, sigma: float, bits: int) -> Floats:
    return _whole(gaussian_weights(kernel_size, sigma), bits)


def gaussian_weights(kernel_size: int, sigma: float) -> NDArray[np.float64]:
    """A Gaussian of sum 1; OpenCV computes it in software doubles, alike on every machine."""
    # OpenCV takes 0 for "choose one", and the square of a tiny sigma underflows.
    return np.asarray(cv2.getGaussianKernel(kernel_size, max(sigma, 1e-3), cv2.CV_64F), np.float64).ravel()


@lru_cache(maxsize=128)
def _coarse_taps(kernel_size: int, sigma: float, factor: int) -> Floats:
    """Weights between averages of f pixels that, with averaging and interpolation, blur by sigma."""
    # Averaging adds (f²−1)/12 to the variance, interpolating and gathering the weights (f²−1)/6 each.
    inner = math.sqrt(sigma**2 - (factor**2 - 1) * 5 / 12)
    fine = gaussian_weights(kernel_size, inner)
    reach = kernel_size // 2 // factor + 1
    distance = np.abs(
        np.arange(-reach, reach + 1)[:, None] * factor - (np.arange(kernel_size) - kernel_size // 2)
    )
    coarse = (np.maximum(0.0, 1 - distance / factor) * fine).sum(axis=1)
    return _whole(coarse, 12)


def _whole(weights: NDArray[np.float64], bits: int) -> Floats:
    """Symmetric weights as whole numbers with the sum 2^bits; outer zeros are cut."""
    half = len(weights) // 2
    outer = np.rint(np.cumsum(weights[:half]) / weights.sum() * 2**bits)
    side = np.diff(outer, prepend=0.0)
    side = side[int(np.argmax(side > 0)) if side.any() else half :]
    taps = np.concatenate([side, [2**bits - 2 * side.sum()], side[::-1]])
    return np.asarray(taps, dtype=np.float32)


def line_kernel(size: int, angle_deg: float) -> NDArray[np.float64]:
    """The weights, sum 1, of a diagonal line turned counter-clockwise about (size/2, size/2), size×size.

    The diagonal is sampled as OpenCV 4's `warpAffine` samples doubles: bilinear, positions in
    1/32 px, zero outside; written out because OpenCV 5 samples otherwise.
    """
    angle, centre = math.radians(angle_deg), size / 2
    cos, sin = math.cos(angle), math.sin(angle)
    shift_x, shift_y = (1 - cos) * centre - sin * centre, sin * centre + (1 - cos) * centre
    # The inverse of [cos sin shift_x; −sin cos shift_y].
    back_x, back_y = -cos * shift_x + sin * shift_y, -sin * shift_x - cos * shift_y
    step = np.arange(size, dtype=np.float64)
    x = _fixed(step * cos, -sin * step + back_x)
    y = _fixed(step * sin, cos * step + back_y)
    dy, dx = _CORNERS[:, None], _CORNERS
    column, row = (x >> 5) + dx, (y >> 5) + dy
    weights = np.abs((1 - dx) * 32 - (x & 31)) * np.abs((1 - dy) * 32 - (y & 31))
    weights *= (column == row) & (column >= 0) & (column < size)
    kernel = weights.sum(axis=(0, 1))
    return np.asarray(kernel / kernel.sum())


def _fixed(along: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.int64]:
    """Source positions in 1/32 px for every (row, column)."""
    columns = np.rint(along * 1024).astype(np.int64)
    rows = np.rint(across * 1024).astype(np.int64) + 16
    return (rows[:, None] + columns[None, :]) >> 5


def sparse_correlate(image: Image, kernel: NDArray[np.float64]) -> Image:
    """round(correlation) with a kernel of few non-zero weights (sum 1), reflect-101 borders."""
    weights = np.rint(kernel * 65536)
    weights.flat[int(np.argmax(weights))] += 65536 - weights.sum()
    # Whole numbers of 2⁻¹⁶: sums of their products with bytes have 24 bits.
    shares = (weights / 65536).astype(np.float32)
    centre = kernel.shape[0] // 2
    rows, columns = np.nonzero(shares)
    top, left = min(int(rows.min()), centre), min(int(columns.min()), centre)
    box = shares[top : max(int(rows.max()), centre) + 1, left : max(int(columns.max()), centre) + 1]
    if box.size > _DIRECT_WEIGHTS:
        return _correlate_by_boxes(image, shares)
    return correlate_directly(image, box, (centre - left, centre - top))


def correlate_directly(image: Image, weights: Floats, anchor: tuple[int, int]) -> Image:
    """round(correlation) by OpenCV's own sum in single precision; reflect-101 borders.

    Args:
        image: H×W×3 uint8.
        weights: At most 129.
        anchor: Column and row of the weight of the pixel itself.

    Returns:
        The sums, rounded half to even and clipped to 0..255.
    """
    height, width = weights.shape
    # Intel's library, which OpenCV uses for small kernels, does not say in which precision it sums.
    rows = height if max(weights.shape) >= _TALLER_THAN_INTEL else _TALLER_THAN_INTEL
    kernel = np.zeros((rows, width), np.float32)
    kernel[:height] = weights
    sums = cv2.filter2D(image, cv2.CV_8U, kernel, anchor=anchor, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(sums, np.uint8).reshape(image.shape)


def _correlate_by_boxes(image: Image, shares: Floats) -> Image:
    """The correlation with boxes of the kernel small enough for OpenCV's direct sum, which skips zeros.

    In tiles whose single-precision copies and sums stay in the cache.
    """
    size = shares.shape[0]
    before = size // 2
    after = size - 1 - before
    padded = cv2.copyMakeBorder(image, before, after, before, after, cv2.BORDER_REFLECT_101)
    boxes, out = _boxes(shares), np.empty_like(image)
    for y in range(0, image.shape[0], _TILE[0]):
        for x in range(0, image.shape[1], _TILE[1]):
            tile = out[y : y + _TILE[0], x : x + _TILE[1]]
            height, width = tile.shape[:2]
            around = padded[y : y + height + size - 1, x : x + width + size - 1].astype(np.float32)
            total = np.zeros(tile.shape, np.float32)
            for top, left, box in boxes:
                rows, columns = box.shape
                part = around[top : top + height + rows - 1, left : left + width + columns - 1]
                found = cv2.filter2D(part, cv2.CV_32F, box, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
                total += found[:height, :width]
            tile[:] = np.rint(total, out=total)
    return out


def _boxes(weights: Floats) -> list[tuple[int, int, Floats]]:
    """(top, left, weights) of boxes that hold every non-zero weight once, each small enough."""
    rows = np.flatnonzero(weights.any(axis=1))
    boxes: list[tuple[int, int, Floats]] = []
    start = int(rows[0])
    for row in range(start + 1, int(rows[-1]) + 2):
        part = _trim(weights, start, row + 1)
        if row > rows[-1] or part[2].size > _DIRECT_WEIGHTS:
            boxes.append(_trim(weights, start, row))
            start = row
    return boxes


def _trim(weights: Floats, start: int, stop: int) -> tuple[int, int, Floats]:
    columns = np.flatnonzero(weights[start:stop].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    return start, left, np.ascontiguousarray(weights[start:stop, left:right])
