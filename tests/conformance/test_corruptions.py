"""The golden cases: recorded parameters give the recorded picture, at the tier of each corruption."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdbench.corruptions import apply, get_corruption_names, sample

from .conftest import GOLDEN

TOLERANCE = dict.fromkeys(get_corruption_names(), 0) | dict.fromkeys(
    ("lens_blur", "motion_blur", "dirty_lens", "hsv_saturation", "color_diffusion", "sharpness_change"), 1
)


def cases() -> list[dict]:
    path = GOLDEN / "corruptions" / "cases.json"
    return json.loads(path.read_text(encoding="utf-8"))["cases"] if path.exists() else []


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def case_id(case: dict) -> str:
    return (
        f"{case['image'].partition('.')[0]}-{case['corruption']}-{case.get('level', case.get('intensity'))}"
    )


PICTURES = [case for case in cases() if "expected" in case]
NOISES = [case for case in cases() if "expected" not in case]


def test_the_folder_holds_cases_of_every_corruption(golden: Path):
    assert golden == GOLDEN
    assert {case["corruption"] for case in cases()} == set(get_corruption_names())


@pytest.mark.parametrize("case", PICTURES, ids=case_id)
def test_picture(case: dict, golden: Path):
    image, expected = (pixels(golden / "corruptions" / case[key]) for key in ("image", "expected"))
    out = apply(case["corruption"], image, case["params"])
    assert out.shape == expected.shape
    difference = np.abs(out.astype(int) - expected)
    assert difference.max() <= TOLERANCE[case["corruption"]], (
        f"{(difference > 0).mean():.2%} of values differ"
    )


@pytest.mark.parametrize("case", NOISES, ids=case_id)
def test_noise(case: dict, golden: Path):
    """Another stream of numbers: mean and spread of the change agree within what chance allows."""
    image = pixels(golden / "corruptions" / case["image"])
    sigma, chance = case["params"]["sigma"], case["params"]["sigma"] / np.sqrt(image.size)
    for seed in (1, 2, 3):
        change = apply("gaussian_noise", image, {"sigma": sigma, "seed": seed}).astype(int) - image
        assert abs(change.mean() - case["mean_difference"]) < 6 * chance
        assert abs(change.std() - case["std_difference"]) < 6 * chance


@pytest.mark.parametrize("case", cases(), ids=case_id)
def test_drawn_parameters_have_the_names_and_fixed_values_of_the_recorded_ones(case: dict, golden: Path):
    """Parameters that do not depend on chance are drawn as recorded, to the last bit."""
    image = pixels(golden / "corruptions" / case["image"])
    drawn = sample(case["corruption"], image.shape, intensity=case["intensity"], seed=1)
    assert case["params"].keys() <= drawn.keys()
    for key, value in case["params"].items():
        if isinstance(value, list) and key != "rgb":
            assert len(drawn[key]) == len(value), key
        elif key not in ("angle_deg", "text"):
            assert drawn[key] == value, key
