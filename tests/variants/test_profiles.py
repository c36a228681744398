"""ICC profiles: a clean and a degraded picture have the same one; recipes without one are as before."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mmdbench.benches import decode_image
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import CLEAN, RECODED, Cell, Recipe, RunPlan
from mmdbench.system.color_profiles import profile_digest
from mmdbench.variants.codec import Codec, encode
from mmdbench.variants.recipes import apply_recipe, clean_image, make_variant, recipe_for
from mmdbench.variants.restoration import Restorer, restored
from profiled_pictures import ORIENTATION, encoded, opened, photo, profile_of, rgb_profile

SPEC = load_spec()
KINDS = ["JPEG", "PNG", "WEBP"]
CODECS = ["jpeg:95", "webp:80", "png"]


def variant(data: bytes, level: str, codec: str = "jpeg:95"):
    clean = clean_image(data, "here")
    cell = Cell("toy", 1, level, "graffiti" if level == "hard" else None)
    plan = RunPlan("m", ("toy",), codec=codec)
    return make_variant(clean, recipe_for(cell, clean.digest, plan, SPEC, clean.icc_digest))


def profile(image) -> bytes:
    return opened(image.data).info.get("icc_profile", b"")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", KINDS)
def test_both_arms_have_the_profile_of_the_benchmark(kind, codec):
    data = encoded(photo(), kind, icc=rgb_profile())
    arms = [variant(data, level, codec) for level in (CLEAN, RECODED, "hard")]
    assert {profile(arm.image) for arm in arms} == {rgb_profile()}
    assert {arm.recipe.icc for arm in arms} == {profile_digest(rgb_profile())}
    assert arms[0].image.data is data
    for arm in arms:
        decode_image(arm.image.data, "")


@pytest.mark.parametrize("codec", CODECS)
def test_a_profile_changes_no_pixel_and_no_other_byte_of_the_recipe(codec):
    plain, profiled = (
        variant(encoded(photo(), "PNG", icc=icc), "hard", codec) for icc in (b"", rgb_profile())
    )
    assert plain.pixels == profiled.pixels
    assert plain.params == profiled.params
    assert profiled.recipe.as_dict() == plain.recipe.as_dict() | {"icc": profile_digest(rgb_profile())}
    assert "icc" not in plain.recipe.as_dict()
    assert not profile(plain.image)


def test_a_picture_that_is_sent_anew_keeps_its_profile_and_lies_no_more():
    clean = clean_image(encoded(photo(), "JPEG", 6, rgb_profile()), "here")
    sent = opened(clean.source.data)
    assert (sent.format, sent.size, sent.info["icc_profile"]) == ("PNG", (40, 60), rgb_profile())
    assert ORIENTATION not in sent.getexif()


@pytest.mark.parametrize(
    ("mode", "space"), [("CMYK", b"CMYK"), ("L", b"GRAY"), ("RGB", b"CMYK"), ("RGB", b"GRAY"), ("L", b"RGB ")]
)
def test_a_profile_of_other_colours_is_sent_with_neither_arm(mode, space):
    data = encoded(photo(mode=mode), "JPEG", icc=profile_of(space))
    arms = [variant(data, level) for level in (CLEAN, "hard")]
    fits = space == b"RGB "
    assert [bool(profile(arm.image)) for arm in arms] == [fits, fits]
    assert arms[0].recipe.icc == (profile_digest(profile_of(space)) if fits else "")


@pytest.mark.parametrize(
    "junk",
    [b"no profile", rgb_profile()[:100], b"\0" * 200, rgb_profile() + bytes(1 << 20)],
    ids=["text", "cut", "zeros", "large"],  # a profile holds the time at which it was made
)
def test_what_is_no_profile_is_sent_with_neither_arm(junk):
    data = encoded(photo(), "JPEG", icc=junk)
    arms = [variant(data, level) for level in (CLEAN, "hard")]
    assert not any(profile(arm.image) for arm in arms)
    assert not any(arm.recipe.icc for arm in arms)


def test_a_large_profile_goes_into_several_segments_of_a_jpeg():
    large = rgb_profile() + bytes(range(256)) * 800  # 200 KB
    pixels = np.asarray(photo())
    made = encode(pixels, Codec("jpeg", 95), large)
    assert profile(made) == large
    plain = encode(pixels, Codec("jpeg", 95)).data
    with Image.open(io.BytesIO(plain)) as one, Image.open(io.BytesIO(made.data)) as other:
        assert one.tobytes() == other.tobytes()
    assert len(made.data) == len(plain) + len(large) + 4 * (4 + 14)


def test_a_recipe_from_before_profiles_were_kept_gives_its_own_bytes():
    clean = clean_image(encoded(photo(), "PNG", icc=rgb_profile()), "here")
    bare = clean_image(encoded(photo(), "PNG"), "here")
    made = variant(encoded(photo(), "PNG"), "hard")
    old = Recipe(**{k: v for k, v in made.recipe.as_dict().items() if k != "icc"})
    assert (
        apply_recipe(clean, old, made.params).image
        == apply_recipe(bare, old, made.params).image
        == made.image
    )
    assert replace(old, icc="x").digest() != old.digest()


def test_a_restored_picture_keeps_the_profile():
    restorer = Restorer("inverted", {}, lambda pixels: 255 - pixels)
    for icc in (b"", rgb_profile()):
        for level in (CLEAN, "hard"):
            made = restored(variant(encoded(photo(), "PNG", icc=icc), level), restorer)
            assert profile(made.image) == icc
