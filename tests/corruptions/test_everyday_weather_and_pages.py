"""Promises of the set `everyday` about its weather, and about turned, covered and photographed pages."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from mmdbench.corruptions import apply, corrupt, get_corruption_names, sample
from mmdbench.corruptions.operations import draw
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import LEVELS
from pictures import picture

CATEGORIES = ("everyday.environmental", "everyday.post_processing")
BLACK = np.zeros((300, 400, 3), np.uint8)


@pytest.fixture(autouse=True)
def everyday():
    use_corruptions(["everyday"])


def names():
    return [name for category in CATEGORIES for name in get_corruption_names(category)]


def test_there_are_four_of_each_category():
    assert names() == [
        *(f"everyday.{name}" for name in ("rain", "snow", "fog", "glare")),
        *(f"everyday.{name}" for name in ("perspective", "rotation", "occlusion", "moire")),
    ]


def test_levels_share_what_is_drawn():
    """Only numbers that the stanza calibrates differ, and those that follow from them."""
    follows = {"everyday.rotation": {"angle_deg"}, "everyday.perspective": {"insets"}}
    for name in names():
        numbers = load_spec().corruption(name).numbers
        calibrated = {key for key, number in numbers.items() if number.points} | follows.get(name, set())
        low, *others = (sample(name, BLACK.shape, level=level, seed=3) for level in LEVELS)
        for other in others:
            changed = {key for key in low if low[key] != other[key]}
            assert changed, name
            assert changed <= calibrated, name
    angles = [sample("everyday.rotation", BLACK.shape, level=level, seed=3)["angle_deg"] for level in LEVELS]
    assert len({math.copysign(1, angle) for angle in angles}) == 1
    low, _, hard = (sample("everyday.perspective", BLACK.shape, level=v, seed=3)["insets"] for v in LEVELS)
    assert np.corrcoef(low, hard)[0, 1] > 0.99


def test_at_the_weak_end_of_their_ranges_pictures_stay_as_they_are():
    image = picture(1, 60, 90)
    for name in names():
        params = draw(load_spec(), name, image.shape, intensity=0, seed=2)
        assert (apply(name, image, params) == image).all(), name


def test_a_layer_of_share_one_hides_the_picture():
    image = picture(1, 60, 90)
    params = {"seed": 1, "density": 1.0, "patchiness": 0.0, "clearing": 0.0, "grey": 200}
    assert (apply("everyday.fog", image, params) == 200).all()
    half = apply("everyday.fog", image, params | {"density": 0.5}).astype(int)
    assert np.abs(half - (image.astype(int) + 200) / 2).max() <= 1


def test_streaks_of_rain_share_one_direction():
    params = sample("everyday.rain", BLACK.shape, level="low", seed=5)
    params |= {"count": 40, "blur_px": 0.0, "veil": 0.0, "opacity": 1.0}
    across, down = params["fall_px"]
    streaks, labels = cv2.connectedComponents(apply("everyday.rain", BLACK, params)[..., 0])
    found = []
    for streak in range(1, streaks):
        y, x = np.nonzero(labels == streak)
        if np.ptp(y) > 15 and 0 < y.min() < y.max() < 299:
            found.append(math.degrees(np.polyfit(y, x, 1)[0]))
    assert len(found) > 10
    assert max(abs(angle - math.degrees(across / down)) for angle in found) < 8
    drawn = [sample("everyday.rain", (2000, 2000), level="low", seed=s)["fall_px"] for s in range(100)]
    degrees = [math.degrees(math.atan2(*fall)) for fall in drawn]
    assert -25.1 < min(degrees) < -20
    assert 20 < max(degrees) < 25.1


@pytest.mark.parametrize("name", ["everyday.rain", "everyday.snow"])
def test_what_falls_at_low_falls_at_hard_too(name):
    low, hard = (
        apply(name, BLACK, sample(name, BLACK.shape, level=level, seed=2) | {"veil": 0.0, "blur_px": 0.0})
        for level in ("low", "hard")
    )
    assert low.any()
    assert ((hard > 0) >= (low > 0)).all()
    assert (hard > 0).mean() > 1.5 * (low > 0).mean()


@pytest.mark.parametrize("name", ["everyday.rain", "everyday.snow"])
def test_counts_follow_the_shape_and_not_the_size(name):
    def count(*size):
        return sample(name, size, level="hard", seed=1)["count"]

    assert count(300, 300) == count(3000, 3000)
    assert count(300, 900) == pytest.approx(3 * count(300, 300), abs=3)
    assert count(1, 30) <= 30
    assert count(100, 32766) <= 256 * count(100, 100)


def test_fog_is_densest_at_the_top_and_uneven():
    layer = corrupt(BLACK, "everyday.fog", level="hard")[..., 0].astype(float)
    assert layer[:60].mean() > layer[-60:].mean() + 15
    assert layer[:60].mean(axis=0).std() > 3


def test_glare_is_white_at_its_centre_and_dark_on_the_side_of_the_shadow():
    grey = np.full((300, 400, 3), 128, np.uint8)
    params = sample("everyday.glare", grey.shape, level="hard", seed=1)
    params |= {"centre": [500, 500], "towards": [1000, 0]}
    made = apply("everyday.glare", grey, params)[..., 0]
    assert made[150, 200] == 255
    shadow_only = apply("everyday.glare", grey, params | {"light": 0.0, "haze": 0.0})[..., 0]
    assert (shadow_only[:, :100] == 128).all()
    assert (shadow_only[:, 300:] < 80).all()
    assert (np.diff(shadow_only[150].astype(int)) <= 0).all()


def test_a_page_in_perspective_is_wholly_there():
    white = np.full((300, 400, 3), 255, np.uint8)
    for seed in range(5):
        params = sample("everyday.perspective", white.shape, level="hard", seed=seed) | {"rgb": [0, 0, 0]}
        inset = np.array(params["insets"]).reshape(4, 2) / 1000
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + inset * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
        x, y = corners.T
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        assert (apply("everyday.perspective", white, params) > 127).mean() == pytest.approx(area, abs=0.004)
        # A mark in the upper left quarter of the page stays in that corner of the quadrangle.
        marked = white.copy()
        marked[:20, :20] = [255, 0, 0]
        rows, columns = np.nonzero(apply("everyday.perspective", marked, params)[..., 1] < 100)
        red = apply("everyday.perspective", marked, params)[rows, columns, 0] > 150
        centre = np.array([columns[red].mean() / 400, rows[red].mean() / 300])
        assert np.linalg.norm(corners - centre, axis=1).argmin() == 0


def test_a_turned_picture_is_turned_by_the_angle_about_its_centre():
    image = BLACK.copy()
    image[140:160, 320:340] = 255  # 130 px to the right of the centre
    for angle in (5.0, 20.0, -35.0):
        made = apply("everyday.rotation", image, {"angle_deg": angle, "rgb": [0, 0, 0]})
        rows, columns = np.nonzero(made[..., 0] > 127)
        found = math.degrees(math.atan2(149.5 - rows.mean(), columns.mean() - 199.5))
        assert found == pytest.approx(angle, abs=0.3)
        assert math.hypot(149.5 - rows.mean(), columns.mean() - 199.5) == pytest.approx(130, abs=0.5)


def test_pages_move_further_from_level_to_level():
    for name, key in (("everyday.rotation", "angle_deg"), ("everyday.perspective", "insets")):
        for seed in range(5):
            at = [sample(name, BLACK.shape, level=level, seed=seed)[key] for level in LEVELS]
            moved = [np.abs(value).mean() for value in at]
            assert 0 < moved[0] < moved[1] < moved[2]


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_occlusion_covers_the_share_that_it_states(kind):
    image = picture(3, 300, 400)
    for level in LEVELS:
        covered = []
        for seed in range(12):
            params = sample("everyday.occlusion", image.shape, level=level, seed=seed) | {"kind": kind}
            made = apply("everyday.occlusion", image, params)
            covered.append((np.abs(made.astype(int) - image).max(axis=2) > 8).mean())
        assert np.mean(covered) == pytest.approx(params["covered"], abs=0.03)
        assert covered == pytest.approx([params["covered"]] * len(covered), abs=0.09)


def test_occlusion_draws_all_three_kinds():
    kinds = [sample("everyday.occlusion", BLACK.shape, level="low", seed=s)["kind"] for s in range(60)]
    assert {kinds.count(kind) > 10 for kind in (0, 1, 2)} == {True}


def test_moire_has_fringes_of_colour_and_a_grid():
    grey = np.full((300, 400, 3), 128, np.uint8)
    params = sample("everyday.moire", grey.shape, level="hard", seed=1)
    fringes = apply("everyday.moire", grey, params | {"gaps": 0.0}).astype(int)
    assert np.ptp(fringes, axis=2).mean() > 10
    grid = apply("everyday.moire", grey, params | {"depth": 0.0})[..., 0]
    assert (grid.min(axis=0) == grid.min()).all()
    assert np.unique(grid).size == 2


def test_what_geometry_takes_is_stated():
    lost = {name: load_spec().corruption(name).loses for name in names()}
    assert {name.partition(".")[2]: kinds for name, kinds in lost.items() if kinds} == {
        "rotation": ("left_right", "counting"),
        "occlusion": ("counting",),
    }


@pytest.mark.parametrize("level", LEVELS)
def test_params_are_small(level):
    for name in names():
        assert len(str(sample(name, (4000, 3000), level=level, seed=1))) < 300
