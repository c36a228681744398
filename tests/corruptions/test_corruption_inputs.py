"""Every kind of image comes back as the kind it was; everything else is refused with advice."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdbench.corruptions import apply, corrupt, get_corruption_names, image_seed, sample
from mmdbench.corruptions.images import grey_of
from mmdbench.errors import (
    ImageDecodeError,
    ImageInputError,
    IntensityError,
    ParamsError,
    UnknownNameError,
    UsageError,
)
from pictures import picture

NAMES = get_corruption_names()
SIZES = [(1, 1), (1, 64), (64, 1), (2, 2), (8, 8), (31, 50), (49, 49)]


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and bool((one == other).all())


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("name", NAMES)
def test_any_size_from_one_pixel(name, size):
    image = picture(1, *size)
    for profile in ("paper", "scaled"):
        for level in ("low", "mid", "hard"):
            out = corrupt(image, name, level=level, profile=profile)
            assert out.shape == image.shape
            assert out.dtype == np.uint8
            assert same(out, corrupt(image, name, level=level, profile=profile))
    assert corrupt(image, name, intensity=1.0).shape == image.shape
    assert corrupt(image, name, intensity=1e-6).shape == image.shape


@pytest.mark.parametrize("name", NAMES)
def test_arrays_keep_shape_layout_and_alpha(name):
    rgb = picture(2)
    grey = grey_of(rgb)
    three = np.repeat(grey[..., None], 3, axis=2)
    expected = grey_of(corrupt(three, name, level="hard"))
    assert same(corrupt(grey, name, level="hard"), expected)
    assert same(corrupt(grey[..., None], name, level="hard"), expected[..., None])
    alpha = picture(3)[..., :1]
    out = corrupt(np.concatenate([rgb, alpha], axis=2), name, level="hard")
    assert same(out, np.concatenate([corrupt(rgb, name, level="hard"), alpha], axis=2))


@pytest.mark.parametrize("name", NAMES)
def test_inputs_of_any_layout_are_read_and_never_written(name):
    image = picture(4, 60, 90)
    expected = corrupt(image.copy(), name, level="hard")
    fortran = np.asfortranarray(image)
    wider = np.zeros((60, 180, 3), np.uint8)
    wider[:, ::2] = image
    backwards = image[:, ::-1].copy()[:, ::-1]
    frozen = image.copy()
    frozen.flags.writeable = False
    for given in (image, fortran, wider[:, ::2], backwards, frozen):
        before = given.copy()
        out = corrupt(given, name, level="hard")
        assert same(out, expected)
        assert (given == before).all()
        assert not np.shares_memory(out, given)
        assert out.flags.writeable


PIL_MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]


def in_mode(mode: str) -> Image.Image:
    rgb = Image.fromarray(picture(5))
    alpha = Image.fromarray(np.ascontiguousarray(picture(6)[..., 0]))
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.applyTransform(rgb, ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    if mode in ("LA", "RGBA"):
        image = rgb.convert(mode)
        image.putalpha(alpha)
        return image
    if mode in ("La", "RGBa"):
        return in_mode(mode.upper()).convert(mode)
    if mode == "PA":
        index = rgb.quantize(64)
        image = Image.frombytes("PA", rgb.size, np.stack([np.array(index), np.array(alpha)], -1).tobytes())
        image.putpalette(index.getpalette())
        return image
    if mode == "P":
        return rgb.quantize(64)
    return rgb.convert(mode)


@pytest.mark.parametrize("mode", PIL_MODES)
@pytest.mark.parametrize("name", ["dark_illumination", "graffiti", "gaussian_noise"])
def test_pil_modes_come_back(mode, name):
    image = in_mode(mode)
    image.info["dpi"] = (72, 72)
    before = image.tobytes()
    out = corrupt(image, name, level="hard")
    assert isinstance(out, Image.Image)
    assert (out.mode, out.size, out.info.get("dpi")) == (mode, image.size, (72, 72))
    assert out.tobytes() != before
    assert image.tobytes() == before
    if mode in ("LA", "PA", "RGBA", "RGBX"):
        bands = len(image.getbands())
        alpha = [np.frombuffer(i.tobytes(), np.uint8).reshape(-1, bands)[:, -1] for i in (image, out)]
        assert (alpha[0] == alpha[1]).all()


def test_pil_and_array_give_the_same_pixels():
    image = picture(7)
    for name in NAMES:
        assert same(
            np.array(corrupt(Image.fromarray(image), name, level="mid")), corrupt(image, name, level="mid")
        )


def test_a_palette_of_few_colours_is_exact_and_its_transparency_stays():
    index = Image.fromarray((picture(8)[..., 0] // 64).astype(np.uint8)).convert("P")
    index.putpalette([10, 20, 30, 90, 80, 70, 200, 100, 0, 255, 255, 250])
    index.info["transparency"] = bytes([0, 255, 128, 255])
    out = corrupt(index, "dark_illumination", level="hard")
    rgba, expected = np.array(out.convert("RGBA")), np.array(index.convert("RGBA"))
    assert out.mode == "P"
    assert (rgba[..., 3] == expected[..., 3]).all()
    assert same(
        rgba[..., :3], corrupt(np.ascontiguousarray(expected[..., :3]), "dark_illumination", level="hard")
    )


def test_a_palette_of_many_colours_is_reduced_to_256():
    out = corrupt(in_mode("P"), "gaussian_noise", level="hard")
    exact = corrupt(np.array(in_mode("P").convert("RGB")), "gaussian_noise", level="hard")
    difference = np.abs(np.array(out.convert("RGB")).astype(int) - exact)
    assert len(np.unique(np.array(out))) > 200
    assert difference.mean() < 25


def test_files_opened_by_pil(tmp_path: Path):
    path = tmp_path / "photo.png"
    Image.fromarray(picture(9)).save(path)
    with Image.open(path) as image:
        assert np.array(corrupt(image, "lens_blur", level="low")).shape == (48, 64, 3)


def test_a_file_that_turns_out_to_be_broken_is_an_error_of_ours(tmp_path: Path):
    path = tmp_path / "photo.png"
    Image.fromarray(picture(9)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with Image.open(path) as image, pytest.raises(ImageDecodeError, match=r"photo.png cannot be decoded"):
        corrupt(image, "lens_blur", level="low")
    closed = Image.fromarray(picture(9))
    closed.close()
    with pytest.raises(ImageDecodeError, match="closed"):
        corrupt(closed, "lens_blur", level="low")


def test_lists_and_tuples_give_lists():
    images = [picture(1), Image.fromarray(picture(2)), picture(3)[..., 0]]
    for given in (images, tuple(images)):
        out = corrupt(given, "motion_blur", severity=2)
        assert isinstance(out, list)
        assert [type(one) for one in out] == [np.ndarray, Image.Image, np.ndarray]
        assert same(out[0], corrupt(images[0], "motion_blur", level="mid"))
    assert corrupt([], "motion_blur", level="mid") == []


@pytest.fixture(scope="module")
def large():
    """A picture of 12 megapixels."""
    return np.repeat(np.repeat(picture(10, 750, 1000), 4, axis=0), 4, axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_large_photograph(name, large):
    image = large
    if name == "mean_shift":  # one that looks at each pixel's neighbours only, and takes longest
        image = large[:, :1000] if find_spec("numba") else large[:500, :1000]
    params = sample(name, image.shape, level="low", seed=1)
    if name == "watermark_damage":
        params["boxes"] = params["boxes"][:2]
    out = apply(name, image, params)
    assert out.shape == image.shape
    assert (out != image).any()


BAD_ARRAYS = [
    (np.zeros((4, 5, 3), np.float32), r"uint8.*\* 255"),
    (np.zeros((4, 5, 3), np.uint16), r">> 8"),
    (np.zeros((4, 5, 3), np.int64), r"astype\('uint8'\)"),
    (np.zeros((4, 5), bool), r"\* 255"),
    (np.zeros((4, 5), object), r"Give a PIL\.Image or a uint8 array"),
    (np.zeros((0, 5, 3), np.uint8), r"empty.*1×1"),
    (np.zeros((5, 0), np.uint8), r"empty"),
    (np.zeros((4, 5, 2), np.uint8), r"\(4, 5, 2\)"),
    (np.zeros((3, 40, 50), np.uint8), r"channels last"),
    (np.zeros((2, 4, 5, 3), np.uint8), r"list\(array\)"),
    (np.zeros(7, np.uint8), r"\(7,\)"),
    (np.uint8(3), r"uint8 is not an image"),
    (np.zeros((1, 40_000), np.uint8), r"32766"),
    ("photo.png", r"PIL\.Image\.open"),
    (Path("photo.png"), r"PIL\.Image\.open"),
    (b"\xff\xd8", r"PIL\.Image\.open"),
    (None, r"NoneType is not an image"),
    (3.5, r"float is not an image"),
    (Image.new("I", (4, 4)), r"mode 'I'.*8 bits"),
    (Image.new("I;16", (4, 4)), r"mode 'I;16'.*8 bits"),
    (Image.new("F", (4, 4)), r"mode 'F'.*255"),
    (Image.new("RGB", (0, 4)), r"empty"),
]


@pytest.mark.parametrize(("image", "message"), BAD_ARRAYS)
def test_other_images_are_refused_with_advice(image, message):
    for call in (
        lambda: corrupt(image, "lens_blur", level="low"),
        lambda: apply("dark_illumination", image, {"gain": 0.5}),
        lambda: corrupt([picture(1), image], "lens_blur", level="low"),
    ):
        with pytest.raises(ImageInputError, match=message) as caught:
            call()
        assert caught.value.hint
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("intensity", [0, -0.1, 1.0001, float("nan"), float("inf"), "0.5", True, [0.5], 1j])
def test_other_intensities_are_refused(intensity):
    with pytest.raises(IntensityError, match=r"\(0, 1\]"):
        corrupt(picture(1), "lens_blur", intensity=intensity)
    with pytest.raises(IntensityError, match=r"\(0, 1\]"):
        sample("lens_blur", (4, 5), intensity=intensity)


@pytest.mark.parametrize("severity", [0, 4, 2.0, True, -1])
def test_other_severities_are_refused(severity):
    with pytest.raises(IntensityError, match="1 is low"):
        corrupt(picture(1), "lens_blur", severity=severity)


def test_names_are_checked_with_suggestions():
    image = picture(1)
    with pytest.raises(UnknownNameError, match=r"'motionblur'.*'motion_blur'.*mmdbench list corruptions"):
        corrupt(image, "motionblur", level="low")
    with pytest.raises(UnknownNameError, match=r"'lens_flair'.*'lens_flare'"):
        apply("lens_flair", image, {})
    with pytest.raises(UnknownNameError, match=r"'hrad'.*'hard'"):
        corrupt(image, "lens_blur", level="hrad")
    with pytest.raises(UnknownNameError, match=r"'Hard'.*'hard'"):
        corrupt(image, "lens_blur", severity="Hard")
    with pytest.raises(UnknownNameError, match=r"'papre'.*'paper'"):
        corrupt(image, "lens_blur", level="low", profile="papre")
    with pytest.raises(UnknownNameError, match=r"'captrue'.*'capture'"):
        get_corruption_names("captrue")
    with pytest.raises(UnknownNameError, match="corruption 3"):
        corrupt(image, 3, level="low")


def test_exactly_one_name_and_one_level():
    image = picture(1)
    for wrong in ({}, {"level": "low", "severity": 1}, {"level": "low", "intensity": 0.5}):
        with pytest.raises(UsageError, match="exactly one of level, intensity and severity, got "):
            corrupt(image, "lens_blur", **wrong)
    with pytest.raises(UsageError, match="name and corruption_name, got neither"):
        corrupt(image, level="low")
    with pytest.raises(UsageError, match="name and corruption_name, got both"):
        corrupt(image, "lens_blur", corruption_name="lens_blur", level="low")
    with pytest.raises(UsageError, match="seed must be a whole number, got 'x'"):
        corrupt(image, "lens_blur", level="low", seed="x")
    for shape in ((4,), (0, 4), "45", (4, 5, 3, 1), (4.0, 5)):
        with pytest.raises(ImageInputError, match="shape"):
            sample("lens_blur", shape, level="low")


def test_the_habits_of_other_packages_work():
    image = picture(1)
    expected = corrupt(image, "graffiti", level="hard")
    assert same(corrupt(image, corruption_name="graffiti", severity="hard"), expected)
    assert same(corrupt(image, corruption_name="graffiti", severity=3), expected)
    assert same(corrupt(image, corruption_name="graffiti", severity=np.arange(4)[3]), expected)
    assert same(corrupt(image, "graffiti", intensity=0.9), expected)


BAD_PARAMS = [
    ("lens_blur", {"sigma": 3.0}, r"lacks the key 'kernel_size'"),
    ("dark_illumination", {"gain": "0.5"}, r"\['gain'\] is '0\.5'"),
    ("dark_illumination", {"gain": float("nan")}, r"is nan"),
    ("dark_illumination", {"gian": 0.5}, r"unknown key 'gian'.*'gain'"),
    ("dark_illumination", [0.5], r"a mapping of gain"),
    ("dark_illumination", None, r"is None"),
    ("jpeg_compression", {"quality": 50.0}, r"whole number"),
    ("jpeg_compression", {"quality": True}, r"whole number"),
    ("block_exchange", {"block_size": 8, "swaps": [[0, 0, 1]]}, r"\['swaps'\]\[0\].*4 whole numbers"),
    ("block_exchange", {"block_size": 8, "swaps": [[0, 0, 99, 0]]}, r"outside the grid of 6×8"),
    ("block_exchange", {"block_size": 8, "swaps": 5}, r"a list"),
    ("graffiti", {"strokes": [{"start": [0, 0]}], "text": None}, r"\['strokes'\]\[0\] lacks the key 'end'"),
    ("graffiti", {"strokes": [], "text": {"string": "Zebra"}}, r"letters"),
    ("gaussian_noise", {"sigma": 5, "seed": -1}, r"\['seed'\] is -1"),
    ("lens_blur", {"kernel_size": 10**9, "sigma": 1, "image_weight": 1, "blur_weight": 1}, r"from 1 to 8191"),
    ("lens_blur", {"kernel_size": 4, "sigma": 1, "image_weight": 1, "blur_weight": 1}, r"odd"),
]


@pytest.mark.parametrize(("name", "params", "message"), BAD_PARAMS)
def test_params_are_checked(name, params, message):
    with pytest.raises(ParamsError, match=message) as caught:
        apply(name, picture(1), params)
    assert caught.value.hint
    assert name in str(caught.value)


def test_order_and_threads_do_not_matter():
    images = [picture(k, 40 + k, 70) for k in range(6)]
    cells = [(k, name) for k in range(6) for name in NAMES]
    expected = {cell: corrupt(images[cell[0]], cell[1], level="mid") for cell in cells}
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda cell: corrupt(images[cell[0]], cell[1], level="mid"), reversed(cells))
        for cell, out in zip(reversed(cells), found, strict=True):
            assert same(out, expected[cell]), cell


def test_the_global_generator_is_neither_read_nor_moved():
    np.random.seed(3)
    state = np.random.get_state()[1].copy()
    first = corrupt(picture(1), "gaussian_noise", level="low")
    assert (np.random.get_state()[1] == state).all()
    np.random.seed(4)
    assert same(corrupt(picture(1), "gaussian_noise", level="low"), first)


def test_corrupt_is_sample_and_apply_with_the_image_seed():
    image = picture(2, 80, 100)
    for name in NAMES:
        params = sample(name, image.shape, level="hard", seed=image_seed(image, name, 5))
        assert same(apply(name, image, params), corrupt(image, name, level="hard", seed=5))


@pytest.mark.parametrize("name", get_corruption_names("stochastic"))
def test_image_and_seed_change_what_is_drawn(name):
    size = (128, 160)  # more than one block at every level
    image = picture(1, *size)
    assert image_seed(image, name, 0) != image_seed(image, name, 1)
    assert image_seed(image, name, 0) != image_seed(picture(2, *size), name, 0)
    drawn = sorted(str(sample(name, size, intensity=0.95, seed=s)) for s in range(50))
    assert len(set(drawn)) == 50


@pytest.mark.parametrize(
    ("version", "fits"),
    [("4.7.0", False), ("4.10.0", False), ("4.11.0", True), ("4.12.0-dev", True), ("5.0.0", True)],
)
def test_an_opencv_that_makes_other_pixels_is_refused(monkeypatch, version, fits):
    import cv2

    from mmdbench.system.opencv import check_opencv

    monkeypatch.setattr(cv2, "__version__", version)
    check_opencv.cache_clear()
    try:
        if fits:
            corrupt(picture(1), "scan_lines", level="low")
        else:
            with pytest.raises(UsageError, match=f"4.11 or later, got {version}, .*pip install"):
                corrupt(picture(1), "scan_lines", level="low")
    finally:
        check_opencv.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_hashed_only_where_something_is_drawn(name, monkeypatch):
    from mmdbench.corruptions import operations

    hashed = []
    original = operations.pixel_digest
    monkeypatch.setattr(operations, "pixel_digest", lambda pixels: hashed.append(1) or original(pixels))
    expected = corrupt(picture(1), name, level="hard")
    drawn = name in get_corruption_names("stochastic") and name != "color_diffusion"
    assert bool(hashed) == drawn
    assert same(np.array(corrupt(Image.fromarray(picture(1)), name, level="hard")), expected)
    corrupt(picture(1), name, intensity=1.0)
    assert bool(hashed) == (name in get_corruption_names("stochastic"))
    with pytest.raises(UsageError, match="seed must be a whole number"):
        corrupt(picture(1), name, level="hard", seed=1.5)
