"""Promises of each corruption: its distribution, shared layouts, replay, and pixels that stay put."""

from __future__ import annotations

import copy
import json
import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

# Private: users see these filters and streams only through the corruptions that use them.
from mmdbench.corruptions import _drawing, apply, corrupt, get_corruption_names, sample
from mmdbench.corruptions._blending import blend
from mmdbench.corruptions._filtering import gaussian_blur, line_kernel, sparse_correlate
from mmdbench.corruptions._random import Stream, normal_indices, normal_quantiles
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.corruptions.sets import set_members
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.system.digest import bytes_digest, pixel_digest, value_digest
from pictures import picture

NAMES = get_corruption_names()
LEVELS = ("low", "mid", "hard")
GOLDEN = Path(__file__).parents[1] / "golden"
EVERYDAY = tuple(set_members("everyday"))


@pytest.fixture(autouse=True)
def sets_in_use():
    use_corruptions(["everyday"])


def synthetic() -> np.ndarray:
    """64×96, from whole numbers only."""
    rows, columns = np.indices((64, 96))
    grain = (np.random.PCG64(7).random_raw(64 * 96 * 3) >> np.uint64(60)).astype(int).reshape(64, 96, 3)
    ramp = np.stack([rows * 3 + columns, columns * 2, (rows // 8 + columns // 8) % 2 * 200], axis=-1)
    return (ramp % 240 + grain).astype(np.uint8)


def computed_digests(names) -> dict[str, str]:
    with Image.open(GOLDEN / "corruptions" / "astronaut_256x192.png") as photo:
        images = {"synthetic": synthetic(), "astronaut": np.array(photo.convert("RGB"))}
    found = {}
    for image_name, image in images.items():
        for name in names:
            for level in LEVELS:
                params = sample(name, image.shape, level=level, seed=11)
                found[f"{image_name} {name} {level} params"] = value_digest(params)[:32]
                found[f"{image_name} {name} {level} pixels"] = pixel_digest(apply(name, image, params))[:32]
    return found


@pytest.mark.parametrize(("file", "names"), [("corruption", NAMES), ("everyday", EVERYDAY)])
def test_no_pixel_and_no_parameter_has_moved(file, names):
    """MMDBENCH_UPDATE=1 rewrites the file: only together with the spec's version."""
    found = {"spec version": load_spec().version_of(names[0]), "digests": computed_digests(names)}
    if names is NAMES:
        quantiles = bytes_digest(normal_quantiles().astype("<f8").tobytes())[:32]
        found["digests"]["normal quantiles"] = quantiles
    path = GOLDEN / f"{file}_digests.json"
    if os.environ.get("MMDBENCH_UPDATE"):
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    assert recorded["spec version"] == found["spec version"]
    moved = [key for key, value in found["digests"].items() if recorded["digests"].get(key) != value]
    assert not moved
    assert recorded["digests"].keys() == found["digests"].keys()


@pytest.mark.parametrize("name", [*NAMES, *EVERYDAY])
def test_params_survive_json_and_apply_is_pure(name):
    image = picture(1, 100, 130)
    for profile in ("paper", "scaled"):
        for intensity in (0.23, 0.45, 0.9, 0.95, 1.0):
            params = sample(name, image.shape, intensity=intensity, seed=4, profile=profile)
            kept, before = copy.deepcopy(params), image.copy()
            out = apply(name, image, params)
            again = apply(name, image.copy(), json.loads(json.dumps(params)))
            assert (out == again).all()
            assert params == kept
            assert (image == before).all()


def is_prefix(shorter: list, longer: list) -> bool:
    return longer[: len(shorter)] == shorter


@pytest.mark.parametrize("seed", range(5))
def test_levels_share_their_layout(seed):
    size = (300, 400)

    def at(name):
        return [sample(name, size, level=level, seed=seed) for level in LEVELS]

    for name, key in (
        ("lens_flare", "spots"),
        ("lens_flare", "rays"),
        ("dirty_lens", "ellipses"),
        ("watermark_damage", "boxes"),
    ):
        low, mid, hard = (params[key] for params in at(name))
        assert 0 < len(low) < len(mid) < len(hard)
        assert is_prefix(low, mid)
        assert is_prefix(mid, hard)
    discs = [params["circles"] for params in at("dirty_lens")]
    assert is_prefix(discs[0], discs[1])
    assert is_prefix(discs[1], discs[2])
    assert len({params["angle_deg"] for params in at("motion_blur")}) == 1
    assert len({params["seed"] for params in at("gaussian_noise")}) == 1
    ends = [[(s["start"], s["end"], s["rgb"]) for s in params["strokes"]] for params in at("graffiti")]
    assert is_prefix(ends[0], ends[1])
    assert is_prefix(ends[1], ends[2])
    exchanges = at("block_exchange")
    places = [
        [[k * p["block_size"] / side for k, side in zip(swap, size * 2, strict=True)] for swap in p["swaps"]]
        for p in exchanges
    ]
    for one, other in zip(places[0], places[2], strict=False):
        assert np.abs(np.subtract(one, other)).max() < 0.2  # the same places on a coarser grid


def test_the_noise_of_the_levels_is_one_field():
    image = np.full((60, 80, 3), 128, np.uint8)
    change = [corrupt(image, "gaussian_noise", level=level).astype(float) - 127.5 for level in LEVELS]
    assert np.corrcoef(change[0].ravel(), change[1].ravel())[0, 1] > 0.99


def test_severity_grows():
    """Mean change against the clean picture: low < mid < hard.

    Not so, as published: sharpness_change saturates, turbulence wraps around, and color_diffusion
    darkens most in the middle.
    """
    with Image.open(GOLDEN / "corruptions" / "astronaut_256x192.png") as photo:
        image = np.array(photo.convert("RGB"))
    for name in set(NAMES) - {"sharpness_change", "atmospheric_turbulence", "color_diffusion"}:
        change = [np.abs(corrupt(image, name, level=v).astype(int) - image).mean() for v in LEVELS]
        assert 0 < change[0] < change[1] < change[2], name


class TestDistributions:
    """Drawn values fill exactly their ranges."""

    SIZE = (300, 400)

    def rows(self, name, key, level="hard", seeds=200):
        return np.array(
            [row for s in range(seeds) for row in sample(name, self.SIZE, level=level, seed=s)[key]]
        )

    def test_lens_flare(self):
        spots, rays = self.rows("lens_flare", "spots"), self.rows("lens_flare", "rays")
        assert spots.min(0).tolist() == [0, 0, 10]
        assert spots.max(0).tolist() == [400, 300, 50]
        length = np.hypot(*(rays[:, 2:] - rays[:, :2]).T)
        assert 28 <= length.min() < 32
        assert 147 < length.max() < 152  # the ends are truncated towards the origin
        angles = np.arctan2(*(rays[:, 2:] - rays[:, :2])[:, ::-1].T)
        assert abs(np.exp(1j * angles).mean()) < 0.05

    def test_motion_blur(self):
        angles = [sample("motion_blur", self.SIZE, level="low", seed=s)["angle_deg"] for s in range(1000)]
        assert 0 <= min(angles) < 3
        assert 357 < max(angles) < 360
        assert abs(np.mean(angles) - 180) < 12

    def test_dirty_lens(self):
        ellipses, circles = self.rows("dirty_lens", "ellipses"), self.rows("dirty_lens", "circles", seeds=60)
        assert ellipses[:, 2].min() == 150
        assert ellipses[:, 2].max() == 300
        assert ellipses[:, 3].min() == 100
        assert ellipses[:, 3].max() == 200
        assert ellipses[:, 4].min() == 0
        assert ellipses[:, 4].max() == 180
        assert set(ellipses[:, 5]) == {50}
        discs = circles[circles[:, 3] <= 100]
        params = sample("dirty_lens", self.SIZE, level="hard", seed=0)["circles"]
        assert len(params) == 270 + 8
        assert [(c[:2], c[3]) for c in params[270:]] == [
            (params[270 + k - k % 2][:2], (80, 120)[k % 2]) for k in range(8)
        ]
        assert discs[:, 2].min() == 4
        assert set(circles[circles[:, 3] == 120][:, 2]) <= set(range(10, 31))
        assert max(circles[circles[:, 3] == 80][:, 2]) <= 50

    def test_block_exchange(self):
        swaps = self.rows("block_exchange", "swaps")
        assert swaps.min(0).tolist() == [0, 0, 0, 0]
        assert swaps.max(0).tolist() == [8, 11, 8, 11]

    def test_graffiti(self):
        drawn = [sample("graffiti", self.SIZE, level="hard", seed=s) for s in range(400)]
        strokes = [stroke for params in drawn for stroke in params["strokes"]]
        assert {stroke["thickness"] for stroke in strokes} == {1, 2, 3, 4}
        ends = np.array([stroke[key] for stroke in strokes for key in ("start", "end")])
        assert ends.min(0).tolist() == [0, 0]
        assert ends.max(0).tolist() == [399, 299]
        colors = np.array([stroke["rgb"] for stroke in strokes])
        assert colors.min() == 0
        assert colors.max() == 255
        strings = [params["text"]["string"] for params in drawn]
        words = {"X", "FAKE", "COPY", "VOID", "COPYRIGHT"}
        figures = [int(s) for s in strings if s not in words]
        assert words < set(strings)
        assert 40 < len(figures) < 100
        assert 1 <= min(figures) < 10
        assert 90 < max(figures) <= 100
        assert all(
            params["text"] is None for params in (sample("graffiti", self.SIZE, level=v) for v in LEVELS[:2])
        )
        assert sample("graffiti", (110, 400), level="hard")["text"] is None

    def test_watermark_damage(self):
        boxes = self.rows("watermark_damage", "boxes")
        assert boxes[:, :2].min(0).tolist() == [0, 0]
        assert boxes[:, :2].max(0).tolist() == [350, 250]
        sizes = boxes[:, 2:] - boxes[:, :2]
        assert sizes.min(0).tolist() == [50, 20]
        assert sizes.max(0).tolist() == [200, 80]

    def test_color_diffusion_has_discs_only_above_its_levels(self):
        assert sample("color_diffusion", self.SIZE, level="hard")["circles"] == []
        circles = np.array(sample("color_diffusion", self.SIZE, intensity=1.0)["circles"])
        assert len(circles) == 100
        assert set(circles[:, 2]) <= set(range(5, 20))
        assert circles[:, 3].max() <= 254

    def test_gaussian_noise(self):
        """Moments and the whole distribution function of a field of a million values."""
        values = normal_quantiles()[normal_indices(3, (1000, 1000))].ravel()
        assert abs(values.mean()) < 0.004
        assert abs(values.std() - 1) < 0.003
        assert abs((values**3).mean()) < 0.015
        assert abs((values**4).mean() - 3) < 0.03
        grid = np.linspace(-3, 3, 61)
        below = np.searchsorted(np.sort(values), grid) / values.size
        exact = [0.5 * (1 + math.erf(x / math.sqrt(2))) for x in grid]
        assert np.abs(below - exact).max() < 0.0016
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.005
        change = apply("gaussian_noise", np.full((500, 500, 3), 128, np.uint8), {"sigma": 20.0, "seed": 1})
        assert abs(change.astype(float).mean() - 127.5) < 0.1
        assert abs(change.astype(float).std() - math.hypot(20, 1 / math.sqrt(12))) < 0.1


def test_streams():
    one, other = Stream("a", 1), Stream("a", 1)
    first = [one.uniform() for _ in range(5)]
    other.child("b").uniform()
    assert [other.uniform() for _ in range(5)] == first
    assert Stream("a", 2).uniform() != first[0]
    assert Stream("a").child("b").word() != Stream("a").child("c").word()
    draws = [Stream(k).integer(-3, 4) for k in range(400)]
    assert set(draws) == set(range(-3, 5))


class TestAgainstPlainOpenCV:
    """Our exact forms against the plain floating-point calls, on difficult pictures."""

    IMAGES = (
        picture(1, 90, 131),
        np.where(np.indices((150, 171)).sum(0)[..., None] // 29 % 2, 255, 0)
        .astype(np.uint8)
        .repeat(3, axis=2),
        np.random.RandomState(0).randint(0, 256, (70, 83, 3)).astype(np.uint8),
        picture(2, 7, 9),
    )

    @pytest.mark.parametrize("intensity", [0.05, 0.19, 0.23, 0.45, 0.6, 0.7, 0.9, 1.0])
    def test_lens_blur(self, intensity):
        params = sample("lens_blur", (9, 9), intensity=intensity)
        for image in self.IMAGES:
            size = (params["kernel_size"],) * 2
            blurred = cv2.GaussianBlur(image.astype(np.float32), size, params["sigma"]).astype(np.uint8)
            plain = cv2.addWeighted(image, params["image_weight"], blurred, params["blur_weight"], 0)
            assert np.abs(apply("lens_blur", image, params).astype(int) - plain).max() <= 1

    @pytest.mark.parametrize(
        ("size", "sigma", "gain"), [(241, 30.0, 1.0), (39, 45.0, 0.81), (11, 11.5, 0.0529)]
    )
    def test_gaussian_blur(self, size, sigma, gain):
        kernel = np.outer(*[cv2.getGaussianKernel(size, sigma)] * 2) * gain
        for image in self.IMAGES:
            plain = np.clip(cv2.filter2D(image.astype(np.float32), -1, kernel), 0, 255).astype(np.uint8)
            assert np.abs(gaussian_blur(image, size, sigma, gain).astype(int) - plain).max() <= 1

    @pytest.mark.parametrize("size", [5, 6, 13, 27, 30])
    def test_motion_blur(self, size):
        for angle in (0.0, 3.7, 45.0, 90.0, 131.3, 359.9):
            kernel = line_kernel(size, angle)
            assert kernel.sum() == pytest.approx(1)
            for image in self.IMAGES:
                plain = np.rint(cv2.filter2D(image.astype(np.float64), -1, kernel))
                assert np.abs(sparse_correlate(image, kernel).astype(int) - plain).max() <= 1

    def test_line_kernel(self):
        angle = 25.0
        turned = cv2.getRotationMatrix2D((6.5, 6.5), angle, 1)
        plain = cv2.warpAffine(np.eye(13), turned, (13, 13))
        assert np.allclose(line_kernel(13, angle), plain / plain.sum(), atol=1e-9)

    def test_blend_rounds_half_to_even_once(self):
        values = np.arange(256, dtype=np.uint8)
        one, other = np.repeat(values, 256)[None], np.tile(values, 256)[None]
        for weights in ((0.7, 0.3), (0.77, 0.23), (0.5, 0.5), (0.37, 0.81)):
            exact = weights[0] * one.astype(float) + weights[1] * other.astype(float)
            found = blend(one, weights[0], other, weights[1])
            assert np.abs(found - np.minimum(exact, 255)).max() <= 0.5 + 1e-4

    def test_hsv_saturation(self):
        for image in self.IMAGES:
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
            hsv[..., 1] = (hsv[..., 1] * np.float32(0.55)).astype(np.uint8)
            plain = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
            assert np.abs(apply("hsv_saturation", image, {"gain": 0.55}).astype(int) - plain).max() <= 1
        grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        assert (apply("hsv_saturation", grey, {"gain": 0.1}) == grey).all()

    def test_turbulence_by_hand(self):
        """The definition in plain arithmetic, pixel by pixel."""
        image = picture(3, 20, 33)
        params = sample("atmospheric_turbulence", image.shape, level="mid")
        out = apply("atmospheric_turbulence", image, params)
        for y in range(20):
            sway = params["amplitude_px"] * math.sin(y / 30 + params["phase_rad"])
            for x in range(33):
                column = round(32 * float(np.float32(min(max(x + sway, 0), 32))))
                row = round(32 * float(np.float32(min(max(y + 0.7 * sway, 0), 19))))
                (x0, fx), (y0, fy) = divmod(column, 32), divmod(row, 32)
                x1, y1 = min(x0 + 1, 32), min(y0 + 1, 19)
                corners = [(y0, x0, (32 - fy) * (32 - fx)), (y0, x1, (32 - fy) * fx)]
                corners += [(y1, x0, fy * (32 - fx)), (y1, x1, fy * fx)]
                total = sum(weight * image[r, c].astype(int) for r, c, weight in corners)
                assert (out[y, x] == (total + 512) >> 10).all()


def test_lens_flare_by_its_definition():
    image = picture(4, 120, 140)
    params = sample("lens_flare", image.shape, level="mid", seed=5)
    layer = np.zeros(image.shape, np.float32)
    for (x, y, radius), (x0, y0, x1, y1) in zip(params["spots"], params["rays"], strict=True):
        cv2.circle(layer, (x, y), radius, (235, 255, 255), -1)
        points = np.array([[x0, y0], [x1, y1]], np.int32) << 16
        cv2.polylines(layer, [points], False, (235, 255, 255), 2, cv2.LINE_8, 16)
    layer = cv2.GaussianBlur(layer, (3, 3), params["blur_sigma"])
    expected = np.clip(image + params["flare_weight"] * layer, 0, 255).astype(np.uint8)
    assert (apply("lens_flare", image, params) == expected).all()


def test_text_has_opencv_4_s_sizes():
    assert _drawing.text_size("COPY", 4.5, 4) == (round(4.5 * (21 + 22 + 21 + 18) + 4), 96)
    canvas = np.zeros((200, 400, 3), np.uint8)
    _drawing.draw_text(canvas, "VOID", (10, 150), 4.5, (255, 0, 0), 4)
    rows, columns = np.nonzero(canvas[..., 0])
    assert 150 - 96 - 4 <= rows.min() < rows.max() <= 150 + 4
    assert 10 <= columns.min() < columns.max() <= 10 + _drawing.text_size("VOID", 4.5, 4)[0]
    assert not canvas[..., 1:].any()


def test_block_exchange_shrinks_below_one_block():
    assert sample("block_exchange", (20, 90), level="hard")["block_size"] == 10
    assert sample("block_exchange", (32, 90), level="hard")["block_size"] == 32
    assert sample("block_exchange", (1, 90), level="hard")["block_size"] == 1


def test_watermark_boxes_shrink_below_fifty_pixels():
    boxes = np.array(
        [b for s in range(200) for b in sample("watermark_damage", (40, 60), level="hard", seed=s)["boxes"]]
    )
    sizes = boxes[:, 2:] - boxes[:, :2]
    assert sizes.min(0).tolist() == [50, 4]
    assert sizes.max(0).tolist() == [200, 16]
    assert boxes[:, :2].max(0).tolist() == [10, 30]


def test_recorded_params_without_the_published_constants_still_apply():
    image = picture(5, 90, 90)
    for name, extra in (
        ("lens_flare", ("blur_size", "ray_thickness")),
        ("dirty_lens", ("blur_sigma",)),
        ("atmospheric_turbulence", ("period_px", "vertical_ratio")),
        ("watermark_damage", ("edge_gain",)),
        ("color_diffusion", ("circles",)),
    ):
        params = sample(name, image.shape, level="hard", seed=1)
        fewer = {key: value for key, value in params.items() if key not in extra}
        assert len(fewer) == len(params) - len(extra)
        assert (apply(name, image, fewer) == apply(name, image, params)).all()
