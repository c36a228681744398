"""The fast forms of mixing, sharpening, motion blur and saturation give the bytes of exact arithmetic."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

# Private: users see these filters only through the corruptions that use them.
from mmdbench.corruptions import apply
from mmdbench.corruptions._blending import blend
from mmdbench.corruptions._filtering import gaussian_blur, line_kernel, sparse_correlate


def noise(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("width", [1, 8, 16, 65536, 303])
@pytest.mark.parametrize("weights", [(0.7, 0.3), (0.839, 0.207), (0.19, 0.81), (0.5, 0.5), (1.0, 16.0)])
def test_an_opencv_that_rounds_one_pair_otherwise_is_not_used(weights, width, monkeypatch):
    first, second = noise(1, 65536).reshape(-1), noise(1, 65536, seed=2).reshape(-1)
    first, second = (one[: one.size // width * width].reshape(-1, width) for one in (first, second))
    mixed = blend(first, weights[0], second, weights[1])
    exact = cv2.addWeighted

    def one_off(one, one_weight, other, other_weight, gamma, dst=None):
        found = exact(one, one_weight, other, other_weight, gamma, dst=dst)
        # One vector and the rest of a row may be computed in another way.
        found[(one == 200) & (other == 100)] += one.shape[1] in (width, 65536 * (width == 303))
        return found

    monkeypatch.setattr(cv2, "addWeighted", one_off)
    # Equal in single precision, and not looked at before.
    other = [weight + 1e-14 * width for weight in weights]
    assert (blend(first, other[0], second, other[1]) == mixed).all()
    assert blend(first, other[0], second, other[1], out=second) is second
    assert (second == mixed).all()


@pytest.mark.parametrize("gain", [0.3, 0.99, 1.0, 1.5, 7.5, 18.4, 33.3, 36.0, 37.123, 72.0, 80.0, 300.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (37, 53)])
def test_sharpening_in_whole_numbers(gain, size):
    # Smooth, so that sharpened values are small and do not all saturate.
    image = (np.cumsum(noise(*size).astype(int) % 3 - 1, axis=0) + 9).clip(0, 255).astype(np.uint8)
    around = np.pad(image.astype(int), ((1, 1), (1, 1), (0, 0)), mode="reflect")
    edges = 5 * image.astype(int) - around[:-2, 1:-1] - around[2:, 1:-1]
    edges -= around[1:-1, :-2] + around[1:-1, 2:]
    sharp = np.vectorize(lambda edge: min(255, max(0, round(gain * int(edge)))))(edges)
    params = {"kernel_gain": gain, "image_weight": 0.0, "sharp_weight": 1.0}
    assert (apply("sharpness_change", image, params) == sharp).all()


def test_a_picture_sharpened_in_strips():
    image = noise(1200, 400)
    params = {"kernel_gain": 18.4, "image_weight": 0.7, "sharp_weight": 0.3}
    whole = apply("sharpness_change", image, params)
    for start in range(0, 1100, 100):
        part = apply("sharpness_change", image[start : start + 102], params)
        assert (part[1:-1] == whole[start + 1 : start + 101][: len(part) - 2]).all()


@pytest.mark.parametrize("length", [2, 5, 6, 13, 27, 30])
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (140, 270)])
def test_motion_blur_in_whole_numbers(length, size):
    image, middle = noise(*size), length // 2
    pad = ((middle, length - 1 - middle), (middle, length - 1 - middle), (0, 0))
    around = np.pad(image.astype(np.int64), pad, mode="reflect")
    for angle in (0.0, 10.0, 45.0, 130.0, 300.0):
        kernel = line_kernel(length, angle)
        weights = np.rint(kernel * 65536).astype(np.int64)
        weights.flat[weights.argmax()] += 65536 - weights.sum()
        total = np.zeros(image.shape, np.int64)
        for row, column in np.argwhere(weights):
            total += weights[row, column] * around[row : row + size[0], column : column + size[1]]
        # In doubles, which hold the sums; half to even.
        assert (sparse_correlate(image, kernel) == np.rint(total / 65536)).all(), angle


@pytest.mark.parametrize(("size", "sigma"), [(73, 4.6), (101, 14.0), (241, 30.0)])
def test_a_blurred_row_does_not_depend_on_the_strip_it_is_in(size, sigma):
    rows = noise(1, 331)[0]
    tall = np.repeat(noise(700, 1), 5, axis=1)
    # Columns are alike and so are rows: what a strip does at its edges would show.
    assert (np.ptp(gaussian_blur(np.tile(rows, (700, 1, 1)), size, sigma).astype(int), axis=0) == 0).all()
    blurred = gaussian_blur(tall, size, sigma)
    wide = gaussian_blur(np.repeat(tall[:, :1], 400, axis=1), size, sigma)
    assert (wide == blurred[:, :1]).all()
