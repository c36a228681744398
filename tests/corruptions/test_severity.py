"""SSIM and PSNR, and the search for an intensity by its effect."""

from __future__ import annotations

import builtins
import math

import numpy as np
import pytest
from PIL import Image

from mmdbench import corrupt
from mmdbench.corruptions import apply
from mmdbench.corruptions.severity import _search, corrupt_to_ssim, psnr, ssim
from mmdbench.errors import ImageInputError, MissingExtraError, UnknownNameError, UsageError
from pictures import picture

pytest.importorskip("skimage", reason="scikit-image is not installed (extra calibrate)")

IMAGE = picture(1, 64, 96)


def ssim_by_hand(first, second):
    """One window position after another, one channel after another, from the definition."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        x = np.lib.stride_tricks.sliding_window_view(first[..., channel].astype(float), (7, 7))
        y = np.lib.stride_tricks.sliding_window_view(second[..., channel].astype(float), (7, 7))
        mx, my = x.mean((2, 3)), y.mean((2, 3))
        vx, vy = x.var((2, 3), ddof=1), y.var((2, 3), ddof=1)
        cov = ((x * y).mean((2, 3)) - mx * my) * 49 / 48
        values.append(((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    return float(np.mean(values))


def test_ssim_is_its_definition():
    degraded = corrupt(IMAGE, "gaussian_noise", level="mid")
    assert ssim(IMAGE, IMAGE) == 1
    assert ssim(IMAGE, degraded) == pytest.approx(ssim_by_hand(IMAGE, degraded), abs=1e-9)


def test_psnr_is_its_definition_and_infinite_for_equals():
    degraded = corrupt(IMAGE, "gaussian_noise", level="mid")
    error = np.mean((IMAGE.astype(float) - degraded) ** 2)
    assert psnr(IMAGE, degraded) == pytest.approx(10 * math.log10(255**2 / error))
    assert psnr(IMAGE, IMAGE) == math.inf


@pytest.mark.parametrize("name", ["gaussian_noise", "dark_illumination", "lens_flare"])
@pytest.mark.parametrize("target", [0.6, 0.85])
def test_a_target_is_reached_and_the_picture_is_the_one_of_its_intensity(name, target):
    found = corrupt_to_ssim(IMAGE, name, target, seed=2, tolerance=0.02)
    assert found.ok, found.why
    assert found.ssim == pytest.approx(ssim(IMAGE, found.image), abs=1e-12)
    assert abs(found.ssim - target) <= 0.02
    assert (found.image == corrupt(IMAGE, name, intensity=found.intensity, seed=2)).all()
    assert (found.image == apply(name, IMAGE, found.params)).all()


def test_a_lower_target_needs_more():
    weak, strong = (corrupt_to_ssim(IMAGE, "dark_illumination", target) for target in (0.9, 0.5))
    assert weak.intensity < strong.intensity


def test_a_target_out_of_reach_is_reported_with_the_nearest_picture():
    found = corrupt_to_ssim(IMAGE, "jpeg_compression", 0.05)
    assert not found.ok
    assert "lowest" in found.why
    assert found.ssim == pytest.approx(ssim(IMAGE, found.image), abs=1e-12)
    assert found.ssim > 0.06


def test_a_jump_across_the_target_is_reported():
    found = corrupt_to_ssim(IMAGE, "scan_lines", 0.95)
    assert not found.ok
    assert "jumps" in found.why


def test_the_search_survives_a_ladder_that_goes_up_and_down():
    def wavy(intensity):
        tried.append(intensity)
        return 1 - intensity + 0.15 * math.sin(40 * intensity)

    for target in (0.9, 0.7, 0.5, 0.3):
        tried: list[float] = []
        # Private: no corruption is as far from monotone as this function.
        _search(wavy, target, 0.001)
        assert abs(wavy(tried[-1]) - target) <= 0.001
        assert len(tried) < 30


def test_pil_images_come_back_as_they_went_in():
    image = Image.fromarray(IMAGE).convert("L")
    found = corrupt_to_ssim(image, "gaussian_noise", 0.8)
    assert (found.image.mode, found.image.size) == ("L", image.size)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ((IMAGE, "gaussian_noise", 1.0), UsageError),
        ((IMAGE, "gaussian_noise", 0), UsageError),
        ((IMAGE, "gausian_noise", 0.5), UnknownNameError),
        ((IMAGE[:5, :5], "gaussian_noise", 0.5), ImageInputError),
        (("photo.jpg", "gaussian_noise", 0.5), ImageInputError),
    ],
)
def test_invalid_targets_are_refused(call, error):
    with pytest.raises(error):
        corrupt_to_ssim(*call)


def test_pictures_of_other_shapes_or_kinds_are_not_compared():
    for other in (IMAGE[:40], IMAGE.astype(float)):
        with pytest.raises(ImageInputError):
            ssim(IMAGE, other)


def test_without_scikit_image_the_install_is_named(monkeypatch):
    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("skimage"):
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"mmdbench\[calibrate\]"):
        ssim(IMAGE, IMAGE)
