"""A recipe becomes the same picture everywhere."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdbench import corrupt
from mmdbench.benches import decode_image
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ImageDecodeError, MmdbenchError, ParamsError, UsageError
from mmdbench.records import Cell, Recipe, RunPlan
from mmdbench.system.digest import pixel_digest
from mmdbench.system.opencv import single_threaded_opencv
from mmdbench.variants import recipes
from mmdbench.variants.codec import Codec, encode, parse_codec
from mmdbench.variants.recipes import clean_image, make_variant, recipe_for
from pictures import picture, png

SPEC = load_spec()


def variant(clean, level="hard", corruption="graffiti", **plan):
    cell = Cell("toy", 1, level, corruption if level in ("low", "mid", "hard") else None)
    return make_variant(clean, recipe_for(cell, clean.digest, RunPlan("m", ("toy",), **plan), SPEC))


def test_a_variant_is_what_corrupt_makes_of_the_pixels():
    clean = clean_image(png(picture(1)), "here")
    for name in SPEC.corruptions:
        made = variant(clean, corruption=name, codec="png")
        assert np.array_equal(decode_image(made.image.data, ""), corrupt(picture(1), name, level="hard"))
        assert made.pixels == pixel_digest(corrupt(picture(1), name, level="hard"))


def test_the_default_codec_is_jpeg_95_with_chroma_at_half_size():
    made = variant(clean_image(png(picture(1)), "here"))
    with Image.open(io.BytesIO(made.image.data)) as image:
        assert (image.format, image.layer[0][1:3], image.layer[1][1:3]) == ("JPEG", (2, 2), (1, 1))
        assert np.array_equal(np.asarray(image.quantization[0])[:1], [2])
    assert made.recipe.codec == "jpeg:95"
    assert made.pixels == pixel_digest(decode_image(made.image.data, ""))


def test_clean_passes_the_benchmarks_own_bytes_on():
    data = encode(picture(2), Codec("jpeg", 80)).data
    clean = clean_image(data, "here")
    made = variant(clean, level="clean")
    assert made.image.data is data
    assert made.image.mime == "image/jpeg"
    assert (made.recipe.codec, made.recipe.spec_version, made.recipe.profile) == ("source", "", "")


def test_recoded_is_clean_through_the_codec():
    clean = clean_image(png(picture(2)), "here")
    made = variant(clean, level="recoded", codec="jpeg:50")
    assert made.image.data == encode(picture(2), Codec("jpeg", 50)).data
    assert variant(clean, level="recoded", codec="png").pixels == clean.digest


@pytest.mark.parametrize("kind", ["rotated", "palette", "alpha", "cmyk", "gif"])
def test_clean_and_degraded_use_the_same_pixels_of_any_file(kind):
    image = Image.fromarray(picture(3, 40, 60))
    buffer = io.BytesIO()
    if kind == "rotated":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(buffer, "JPEG", exif=exif)
    elif kind == "cmyk":
        image.convert("CMYK").save(buffer, "JPEG")
    elif kind == "gif":
        image.save(buffer, "GIF")
    else:
        image.convert("P" if kind == "palette" else "RGBA").save(buffer, "PNG")
    clean = clean_image(buffer.getvalue(), "here")
    assert clean.pixels.shape == ((60, 40, 3) if kind == "rotated" else (40, 60, 3))
    shown = variant(clean, level="clean").image
    assert shown.mime == "image/png"
    with Image.open(io.BytesIO(shown.data)) as seen:
        assert seen.mode == "RGB"
        assert np.array_equal(np.asarray(seen), clean.pixels)


def test_the_layout_depends_on_the_seed_and_the_pixels_but_not_on_the_level():
    one, two = (clean_image(png(picture(i)), "here") for i in (1, 2))
    angle = variant(one, corruption="motion_blur").params["angle_deg"]
    assert variant(one, level="low", corruption="motion_blur").params["angle_deg"] == angle
    assert variant(one, corruption="motion_blur", seed=1).params["angle_deg"] != angle
    assert variant(two, corruption="motion_blur").params["angle_deg"] != angle


def test_a_corruption_that_changes_nothing_is_marked():
    grey = clean_image(png(np.full((20, 30, 3), 90, np.uint8)), "here")
    assert variant(grey, corruption="hsv_saturation").no_op
    assert not variant(grey, corruption="dark_illumination").no_op
    assert not variant(grey, level="recoded").no_op
    pixels = np.full((20, 30, 3), 90, np.uint8)
    pixels[-1, -1] = 200, 0, 0
    one_changes = clean_image(png(pixels), "here")
    assert not variant(one_changes, corruption="hsv_saturation").no_op


def test_any_number_of_threads_makes_the_same_pictures():
    clean = clean_image(png(picture(5, 120, 160)), "here")
    names = list(SPEC.corruptions) * 2
    alone = [variant(clean, corruption=n).pixels for n in names]
    with single_threaded_opencv(), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: variant(clean, corruption=n).pixels, names)) == alone


def test_opencvs_threads_are_given_back():
    before = cv2.getNumThreads()
    with single_threaded_opencv():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("jpeg", Codec("jpeg", 95)),
        ("jpeg:30", Codec("jpeg", 30)),
        ("webp:7", Codec("webp", 7)),
        ("png", Codec("png")),
    ],
)
def test_codecs_are_read(text, codec):
    assert parse_codec(text) == codec


@pytest.mark.parametrize("text", ["", "jpg", "jpeg:0", "jpeg:101", "jpeg:x", "png:3", "jpeg:95:2"])
def test_an_unknown_codec_names_the_known_ones(text):
    with pytest.raises(UsageError, match=r"must be jpeg:Q, webp:Q or png, got .*1 to 100"):
        parse_codec(text)


@pytest.mark.parametrize(("height", "width", "profile"), [(3, 1000, "scaled"), (4, 32_766, "paper")])
def test_a_strip_is_degraded(height, width, profile):
    clean = clean_image(png(np.zeros((height, width, 3), np.uint8)), "t.tsv, line 2")
    recipe = Recipe(clean.digest, "lens_flare", 0.9, profile, "1", 41, "png")
    assert make_variant(clean, recipe).image != clean.source


def test_drawn_numbers_that_do_not_fit_are_an_error_with_the_row(monkeypatch):
    def unfit(*_):
        raise ParamsError("lens_flare: params['rays'] is 32828")

    monkeypatch.setattr(recipes.corruptions, "apply", unfit)
    clean = clean_image(png(np.zeros((4, 4, 3), np.uint8)), "t.tsv, line 2")
    recipe = Recipe(clean.digest, "lens_flare", 0.9, "paper", "1", 41, "png")
    with pytest.raises(ImageDecodeError, match=r"t\.tsv, line 2: no picture .*rays.* is 32828"):
        make_variant(clean, recipe)


def test_too_little_memory_for_the_png_of_a_clean_picture_is_an_error_with_its_name(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(recipes, "encode", full)
    buffer = io.BytesIO()
    Image.fromarray(picture(1)).convert("P").save(buffer, "PNG")
    with pytest.raises(
        MmdbenchError, match=r"t\.tsv, line 2: not enough memory for a picture of 64×48 pixels"
    ):
        clean_image(buffer.getvalue(), "t.tsv, line 2")


def test_a_picture_that_is_none_is_named():
    with pytest.raises(ImageDecodeError, match="row 7"):
        clean_image(b"not a picture", "row 7")
