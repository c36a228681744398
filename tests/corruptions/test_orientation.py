"""A picture is corrupted as it is seen: turned by its EXIF orientation, and given back as it was stored."""

from __future__ import annotations

import copy
import io
import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmdbench import corrupt
from mmdbench.corruptions import apply, image_seed, sample
from mmdbench.corruptions.batches import corrupt_batch
from mmdbench.corruptions.chain import Chain
from mmdbench.corruptions.choices import choice_of
from mmdbench.corruptions.files import corrupt_file
from mmdbench.corruptions.gallery import corruption_sheet
from mmdbench.integrations.datasets import MMDCorruption
from mmdbench.system.contact_sheet import save_sheet
from pictures import png
from profiled_pictures import ORIENTATION, encoded, opened, photo, profile_of, rgb_profile, shown

NAME, LEVEL = "motion_blur", "hard"  # it has a direction: lying and upright pictures differ
EVERY = range(1, 9)


def phone(orientation: int = 6, kind: str = "PNG", mode: str = "RGB", icc: bytes = b"") -> Image.Image:
    return opened(encoded(photo(mode=mode), kind, orientation, icc))


def upright(image: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(shown(image))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", EVERY)
def test_it_is_corrupted_as_it_is_seen_and_keeps_its_shape_and_its_flag(orientation, kind):
    image = phone(orientation, kind)
    made = corrupt(image, NAME, level=LEVEL)
    assert (made.size, made.mode) == ((60, 40), "RGB")
    assert made.getexif().get(ORIENTATION, 1) == orientation
    assert np.array_equal(upright(made), corrupt(upright(image), NAME, level=LEVEL))
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(made)), upright(made))


def test_a_tiff_which_pillow_turns_itself_stays_as_pillow_gives_it():
    made = corrupt(phone(6, "TIFF"), NAME, level=LEVEL)
    assert (made.size, ORIENTATION in made.getexif()) == ((40, 60), False)
    assert np.array_equal(np.asarray(made), corrupt(upright(phone(6)), NAME, level=LEVEL))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_every_mode_is_turned_with_its_alpha(mode):
    image = phone(8, mode=mode)
    made = corrupt(image, "dark_illumination", level="mid")
    assert (made.size, made.mode) == ((60, 40), mode)
    turned = ImageOps.exif_transpose(phone(8, mode=mode))
    expected = corrupt(turned, "dark_illumination", level="mid")
    assert np.array_equal(
        np.asarray(ImageOps.exif_transpose(made).convert("RGBA")), np.asarray(expected.convert("RGBA"))
    )


def test_a_palette_with_transparency_is_turned_too():
    image = photo(mode="P")
    image.info["transparency"] = 3
    exif = Image.Exif()
    exif[ORIENTATION] = 5
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    made = ImageOps.exif_transpose(corrupt(opened(buffer.getvalue()), NAME, level=LEVEL)).convert("RGBA")
    expected = corrupt(ImageOps.exif_transpose(opened(buffer.getvalue())), NAME, level=LEVEL).convert("RGBA")
    assert np.array_equal(np.asarray(made), np.asarray(expected))


def test_the_flag_counts_wherever_pillow_finds_it():
    by_hand = photo()
    by_hand.getexif()[ORIENTATION] = 6
    by_xmp = photo()
    by_xmp.info["xmp"] = b'<rdf:Description tiff:Orientation="6"/>'
    for image in (by_hand, by_xmp):
        made = corrupt(image, NAME, level=LEVEL)
        assert made.getexif()[ORIENTATION] == made.copy().getexif()[ORIENTATION] == 6
        assert np.array_equal(upright(made), corrupt(upright(image), NAME, level=LEVEL))


@pytest.mark.parametrize("value", [0, 9, 6000])
def test_a_flag_of_no_meaning_turns_nothing(value):
    made = corrupt(phone(value), NAME, level=LEVEL)
    assert np.array_equal(np.asarray(made), corrupt(np.asarray(photo()), NAME, level=LEVEL))


def test_batches_in_threads_and_one_picture_many_times():
    pictures = [phone(6)] * 4 + [phone(k) for k in EVERY]
    one = pictures[0]
    one.load()
    for made, image in zip(
        corrupt_batch(pictures, NAME, level=LEVEL, workers=4), [one] * 4 + pictures[4:], strict=True
    ):
        assert np.array_equal(upright(made), corrupt(upright(image), NAME, level=LEVEL))


def test_chains_and_their_replay():
    image, chain = phone(6), Chain.of((NAME, 0.9), ("scan_lines", 0.5))
    made, record = chain.recorded(image, seed=3)
    assert record["size"] == [60, 40]  # as it is seen
    assert made.size == (60, 40)  # as it is stored
    assert np.array_equal(upright(made), chain(upright(image), seed=3))
    assert Chain.replay(image, record).tobytes() == made.tobytes()
    assert np.array_equal(Chain.replay(upright(image), record), upright(made))


def test_apply_and_drawn_corruptions_take_the_size_that_is_seen():
    image = phone(6)
    seen = upright(image)
    params = sample(NAME, seen.shape, level=LEVEL, seed=image_seed(seen, NAME))
    assert np.array_equal(upright(apply(NAME, image, params)), corrupt(seen, NAME, level=LEVEL))
    drawn = choice_of("lens_flare", level="hard", profile="scaled").for_key("a", 1)
    assert np.array_equal(upright(drawn.corrupted(image)), drawn.corrupted(seen))


@pytest.mark.skipif(find_spec("skimage") is None, reason="scikit-image is not installed (extra calibrate)")
def test_a_search_by_ssim_sees_the_picture_upright():
    from mmdbench.corruptions.severity import corrupt_to_ssim

    image = phone(6)
    found = corrupt_to_ssim(image, NAME, 0.7, tolerance=0.2)
    assert found.image.getexif()[ORIENTATION] == 6
    assert np.array_equal(
        upright(found.image), corrupt_to_ssim(upright(image), NAME, 0.7, tolerance=0.2).image
    )


def test_cells_of_datasets_come_back_upright_and_pictures_with_their_flag():
    function = MMDCorruption(NAME, level=LEVEL)
    expected = corrupt(upright(phone(6)), NAME, level=LEVEL)
    data = encoded(photo(), "PNG", 6, rgb_profile())
    cell = function({"image": {"bytes": data, "path": None}})["image"]
    assert ORIENTATION not in cell.getexif()
    assert np.array_equal(np.asarray(cell), expected)
    assert cell.info["icc_profile"] == rgb_profile()
    given = function({"image": opened(data)})["image"]
    assert given.getexif()[ORIENTATION] == 6
    assert np.array_equal(upright(given), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_saved_result_is_seen_upright_in_its_own_colours(tmp_path, kind):
    made = corrupt(phone(6, icc=rgb_profile()), NAME, level=LEVEL)
    made.save(tmp_path / f"out.{kind.lower()}")
    with Image.open(tmp_path / f"out.{kind.lower()}") as saved:
        assert ImageOps.exif_transpose(saved).size == (40, 60)
        assert saved.info["icc_profile"] == rgb_profile()
        assert 0x010F not in saved.getexif()  # nothing else of the phone's EXIF


def test_save_writes_what_it_is_told():
    made = corrupt(phone(6, icc=rgb_profile()), NAME, level=LEVEL)
    buffer = io.BytesIO()
    made.save(buffer, "JPEG", exif=b"", icc_profile=None)
    assert not {"exif", "icc_profile"} & opened(buffer.getvalue()).info.keys()
    made = ImageOps.exif_transpose(made)
    buffer = io.BytesIO()
    made.save(buffer, "JPEG")
    assert opened(buffer.getvalue()).size == (40, 60)


def test_a_result_can_be_copied_and_sent_to_another_process():
    made = corrupt(phone(6), NAME, level=LEVEL)
    for same in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), made.copy()):
        assert same.getexif()[ORIENTATION] == 6
        assert np.array_equal(upright(same), upright(made))


def written(tmp_path: Path, data: bytes, source: str = "in.jpg", target: str = "out.jpg") -> Image.Image:
    (tmp_path / source).write_bytes(data)
    corrupt_file(tmp_path / source, tmp_path / target, NAME, level=LEVEL)
    return opened((tmp_path / target).read_bytes())


@pytest.mark.parametrize("target", ["out.jpg", "out.png", "out.webp", "out.tif"])
@pytest.mark.parametrize("orientation", EVERY)
def test_a_command_writes_upright_files_with_the_profile(tmp_path, orientation, target):
    data = encoded(photo(), "PNG", orientation, rgb_profile())
    made = written(tmp_path, data, "in.png", target)
    assert made.getexif().get(ORIENTATION, 1) == 1
    assert made.size == ((60, 40) if orientation < 5 else (40, 60))
    assert made.info["icc_profile"] == rgb_profile()
    if target == "out.png":
        assert np.array_equal(np.asarray(made), corrupt(upright(opened(data)), NAME, level=LEVEL))


@pytest.mark.parametrize(
    ("mode", "space", "target", "kept"),
    [
        ("L", b"GRAY", "out.jpg", True),
        ("L", b"GRAY", "out.png", True),
        ("L", b"GRAY", "out.webp", False),  # which holds RGB alone
        ("L", b"RGB ", "out.jpg", False),
        ("CMYK", b"CMYK", "out.jpg", True),
        ("CMYK", b"CMYK", "out.webp", False),
        ("RGB", b"CMYK", "out.png", False),
        ("RGB", b"GRAY", "out.jpg", False),
    ],
)
def test_a_profile_of_other_colours_than_the_files_is_left_out(tmp_path, mode, space, target, kept):
    data = encoded(photo(mode=mode), "JPEG", icc=profile_of(space))
    made = written(tmp_path, data, target=target)
    assert ("icc_profile" in made.info) is kept
    result = corrupt(opened(data), NAME, level=LEVEL)
    result.save(tmp_path / f"saved-{target}")
    assert ("icc_profile" in opened((tmp_path / f"saved-{target}").read_bytes()).info) is kept


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_sheet_has_the_profile_of_its_picture(tmp_path, suffix):
    (tmp_path / "in.jpg").write_bytes(encoded(photo(), "JPEG", 6, rgb_profile()))
    sheet = corruption_sheet(tmp_path / "in.jpg", names=["graffiti"], width=16)
    save_sheet(sheet, tmp_path / f"sheet{suffix}")
    made = opened((tmp_path / f"sheet{suffix}").read_bytes())
    assert made.info["icc_profile"] == rgb_profile()
    assert made.getexif().get(ORIENTATION, 1) == 1


def test_pictures_without_flag_and_profile_are_plain_as_before():
    made = corrupt(opened(png(np.asarray(photo()))), NAME, level=LEVEL)
    assert type(made) is Image.Image
    assert np.array_equal(np.asarray(made), corrupt(np.asarray(photo()), NAME, level=LEVEL))
