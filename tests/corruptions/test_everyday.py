"""The set `everyday`: its form, and what holds for every member."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdbench.corruptions import apply, corrupt, sample
from mmdbench.corruptions.calibration import resized
from mmdbench.corruptions.images import grey_of
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.corruptions.sets import set_members
from mmdbench.corruptions.severity import ssim
from mmdbench.corruptions.spec_file import load_spec, read_stanza, shipped_spec
from mmdbench.errors import ParamsError, SpecError
from mmdbench.records import LEVELS
from mmdbench.system.images import decode_image
from pictures import picture

MEMBERS = set_members("everyday")
NAMES = list(MEMBERS)
SET = MEMBERS[NAMES[0]].of_set
PAGE = Path(__file__).parents[2] / "docs" / "everyday_severity.md"
PHOTO = Path(__file__).parents[1] / "data" / "dog.jpg"
GEOMETRIC = {f"everyday.{name}" for name in ("elastic", "perspective", "rotation")}
DERIVED = {
    "sensor_noise": {"white"},
    "low_resolution": {"size"},
    "re_encoding": {"generations"},
    "perspective": {"insets"},
    "rotation": {"angle_deg"},
}
"""Parameters that follow from a calibrated number of another name."""


@pytest.fixture(autouse=True)
def in_use():
    use_corruptions(["everyday"])


def number_of(**number):
    stanza = {"category": "capture", "meaning": "m", "numbers": {"gain": {"unit": "gain", **number}}}
    return read_stanza("x", stanza, "", SET).numbers["gain"]


def test_a_calibrated_number_is_linear_between_its_levels_and_the_ends_of_the_plausible_range():
    number = number_of(plausible=[10, 0], at=[8, 5, 0.1])
    low, mid, hard = (SET.intensities[level] for level in LEVELS)
    assert [number.at(i) for i in (0.0, low, mid, hard, 1.0)] == [10, 8, 5, 0.1, 0]
    assert number.at((low + mid) / 2) == pytest.approx(6.5)
    assert number.at(low / 2) == pytest.approx(9)
    assert number.depends_on_intensity
    assert not number.is_range


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ({"plausible": [0, 1], "at": [0.1, 0.2]}, "at: .* list of the values at low, mid, hard"),
        ({"plausible": [0, 1]}, "at: None where the list"),
        ({"plausible": [0, 1], "at": [0.1, 0.2, 1.5]}, "at: 1.5 where a number from 0 to 1"),
        ({"plausible": [1], "at": [0.1, 0.2, 0.3]}, "plausible: .*a list of two ends"),
        ({"plausible": [0, 1], "formula": "i", "at": [0.1, 0.2, 0.3]}, "exactly one of"),
    ],
)
def test_a_wrong_calibrated_number_is_refused(number, message):
    with pytest.raises(SpecError, match=message):
        number_of(**number)


def test_every_member_says_what_it_is_and_has_a_calibrated_number():
    for name in NAMES:
        entry = load_spec().corruption(name)
        assert entry.category in shipped_spec().categories
        assert entry.source
        assert entry.meaning
        assert entry.look != entry.meaning
        assert any(number.points for number in entry.numbers.values())
        assert entry.stochastic or name == "everyday.overexposure"


def test_things_at_the_border_of_a_bent_picture_cannot_be_counted():
    assert load_spec().corruption("everyday.elastic").loses == ("counting",)


@pytest.mark.parametrize("name", NAMES)
def test_levels_share_everything_but_what_is_calibrated(name):
    calibrated = {key for key, number in load_spec().corruption(name).numbers.items() if number.points}
    changing = calibrated | DERIVED.get(name.partition(".")[2], set())
    for seed in range(3):
        drawn = [sample(name, (300, 400), level=level, seed=seed) for level in LEVELS]
        for params in drawn:
            assert len(json.dumps(params)) < 600
            assert params.keys() == drawn[0].keys()
        same = drawn[0].keys() - changing
        assert all(params[key] == drawn[0][key] for params in drawn for key in same)
        assert len({json.dumps(params) for params in drawn}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_any_size_and_kind_of_picture_is_kept(name):
    for height, width in ((1, 1), (1, 40), (40, 1), (2, 3), (7, 200)):
        pixels = picture(3, height, width)
        kept = pixels.copy()
        for level in LEVELS:
            for profile in ("paper", "scaled"):
                made = corrupt(pixels, name, level=level, profile=profile)
                assert (made.shape, made.dtype) == (pixels.shape, np.uint8)
        assert (pixels == kept).all()
    colour = picture(3, 60, 80)
    grey, alpha = grey_of(colour), picture(4, 60, 80)[..., :1]
    assert corrupt(grey, name, level="mid").shape == (60, 80)
    assert (corrupt(np.dstack([colour, alpha]), name, level="mid")[..., 3:] == alpha).all()
    made = corrupt(Image.fromarray(grey), name, level="mid")
    assert (made.mode, made.size) == ("L", (80, 60))


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_gets_less_like_the_clean_one_from_level_to_level(name):
    pytest.importorskip("skimage", reason="scikit-image is not installed (extra calibrate)")
    photo = resized(decode_image(PHOTO.read_bytes(), PHOTO.name), 192)
    low, mid, hard = (ssim(photo, corrupt(photo, name, level=level, profile="scaled")) for level in LEVELS)
    step = 0.0 if name in GEOMETRIC else 0.03  # SSIM is near its lowest once edges have moved
    assert 1 > low > mid + step
    assert mid > hard + step
    if name not in GEOMETRIC:
        for found, recorded in zip((low, mid, hard), reached()[name.partition(".")[2]], strict=True):
            assert abs(found - recorded) < 0.25, (found, recorded)  # one photograph, smaller


def reached():
    """The three numbers of each member on the page that the calibration wrote: SSIM, or displacement in %."""
    rows = re.findall(
        r"^\| (\w+) \| (?:SSIM|displacement) \| ([^|]*) \|", PAGE.read_text("utf-8"), re.MULTILINE
    )
    return {name: [float(text) for text in re.findall(r"[\d.]+", numbers)] for name, numbers in rows}


def test_all_are_calibrated_to_one_ladder():
    assert reached().keys() == {name.partition(".")[2] for name in NAMES}
    for name, found in reached().items():
        if f"everyday.{name}" in GEOMETRIC:
            assert found == pytest.approx([4, 8, 12], abs=0.21)
        else:
            lowest = max(found[2], 0.4)
            assert found == pytest.approx([1 - (1 - lowest) * step / 3 for step in (1, 2, 3)], abs=0.021)
            numbers = [n for n in load_spec().corruption(f"everyday.{name}").numbers.values() if n.points]
            # Not at .4: then the plausible range ends there.
            assert lowest < 0.42 or all(n.at(0.9) == n.at(1.0) for n in numbers)


@pytest.mark.parametrize("name", sorted(GEOMETRIC & set(NAMES)))
def test_things_move_by_the_share_of_the_short_side_that_the_ladder_names(name):
    rows, columns = np.indices((256, 256), dtype=np.uint8)
    places = np.stack([columns, rows, np.full_like(rows, 255)], axis=-1)
    for level, share in zip(LEVELS, (0.04, 0.08, 0.12), strict=True):
        moved = []
        for seed in range(6):
            made = corrupt(places, name, level=level, seed=seed)
            inside = made[..., 2] == 255
            moved.append(np.hypot(*(made.astype(float) - places)[inside][:, :2].T).mean() / 256)
        assert np.mean(moved) == pytest.approx(share, rel=0.25)


def test_a_recorded_size_larger_than_the_picture_is_refused():
    with pytest.raises(ParamsError, match=r"\[90, 20\] is larger than the image"):
        apply("everyday.low_resolution", picture(1, 60, 80), {"size": [90, 20], "down": 1, "up": 0})


def test_the_small_picture_is_made_and_enlarged_in_three_ways_each():
    drawn = [sample("everyday.low_resolution", (60, 80), level="mid", seed=seed) for seed in range(60)]
    assert {(params["down"], params["up"]) for params in drawn} == {
        (d, u) for d in range(3) for u in range(3)
    }
    stripes = np.where(np.arange(80)[None, :, None] % 2, 255, 0).repeat(60, 0).repeat(3, 2).astype(np.uint8)
    small = {"size": [20, 15]}
    nearest, area = (
        apply("everyday.low_resolution", stripes, small | {"down": way, "up": 0}) for way in (0, 1)
    )
    assert set(np.unique(nearest)) <= {0, 255}
    assert np.unique(area).tolist() == [128]


def test_noise_is_of_counted_light_and_of_the_read_out():
    """Variance of Poisson's electrons and of reading; the mean light stays."""
    light = np.where((v := np.arange(256) / 255) <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    for value in (128, 188):
        flat = np.full((300, 300, 3), value, np.uint8)
        made = light[apply("everyday.sensor_noise", flat, {"white": 400.0, "read_noise": 5.0, "seed": 3})]
        assert made.mean() == pytest.approx(light[value], rel=0.01)
        assert (400 * made).var() == pytest.approx(400 * light[value] + 25, rel=0.05)


def test_light_is_multiplied_and_clipped():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert (apply("everyday.overexposure", ramp, {"stops": 0.0}) == ramp).all()
    made = apply("everyday.overexposure", ramp, {"stops": 1.0}).ravel()[::3]
    assert made[188] == 255  # half of white's light
    assert made[137] == 188
    assert (np.diff(made.astype(int)) >= 0).all()


def test_red_grows_and_blue_shrinks_about_the_centre():
    image = np.zeros((101, 101, 3), np.uint8)
    image[48:53, 88:93] = 255
    made = apply("everyday.chromatic_aberration", image, {"centre": [50, 50], "magnification": 0.1})
    red, green, blue = (np.average(np.arange(101), weights=made[50, :, k]) for k in range(3))
    assert (red, green, blue) == (pytest.approx(94, abs=0.3), 90, pytest.approx(86, abs=0.3))


def test_glass_only_moves_pixels_and_none_further_than_its_reach():
    image = np.zeros((61, 61, 3), np.uint8)
    image[30, 30] = [255, 128, 7]
    params = {"reach": 4.0, "seed": 5}
    made = apply("everyday.glass_blur", image, params)
    assert {tuple(pixel) for pixel in made.reshape(-1, 3)} <= {(0, 0, 0), (255, 128, 7)}
    rows, columns = np.nonzero(made[..., 0])
    assert max(np.abs(rows - 30).max(initial=0), np.abs(columns - 30).max(initial=0)) <= 4
    assert (apply("everyday.glass_blur", image, params | {"reach": 0.0}) == image).all()


def test_lost_blocks_keep_their_mean_and_the_others_their_pixels():
    image = picture(2, 96, 128)
    params = {"lost": 0.5, "block": 16, "run": 2, "motion": 10, "seed": 1}
    made = apply("everyday.video_blocks", image, params)
    blocks = [one.reshape(6, 16, 8, 16, 3).astype(float) for one in (image, made)]
    same = (blocks[0] == blocks[1]).all(axis=(1, 3, 4))
    assert 0.25 < same.mean() < 0.75
    assert np.abs(blocks[0].mean(axis=(1, 3)) - blocks[1].mean(axis=(1, 3))).max() < 6  # clipped at white
    assert (apply("everyday.video_blocks", image, params | {"lost": 0.0}) == image).all()


def test_a_chain_of_copies_is_its_jpegs_in_turn():
    image = picture(4, 64, 64)
    once = apply("everyday.re_encoding", image, {"generations": [[64, 64, 30]]})
    assert (once == apply("jpeg_compression", image, {"quality": 30})).all()
    twice = apply("everyday.re_encoding", image, {"generations": [[64, 64, 30], [64, 64, 50]]})
    assert (twice == apply("jpeg_compression", once, {"quality": 50})).all()
    drawn = [
        sample("everyday.re_encoding", (900, 900), level=level, seed=4)["generations"] for level in LEVELS
    ]
    widths = np.array([[width for width, _, _ in generations] for generations in drawn])
    assert np.ptp(widths / widths[:, :1], axis=0).max() < 0.02
