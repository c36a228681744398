"""Decoding: the same upright RGB pixels from every kind of file, or an error that names the place."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image, features

from mmdbench.benches import decode_image
from mmdbench.corruptions.files import corrupt_file
from mmdbench.errors import ImageDecodeError
from mmdbench.system.images import picture_size
from pictures import tiled_tiff

DATA = Path(__file__).parents[1] / "data"


def ramp(height: int = 20, width: int = 30) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 8, y * 12, (x + y) * 5], axis=-1).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("PPM", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 100, "subsampling": 0}, 4),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 6),
    ],
)
def test_formats(kind: str, options: dict[str, object], tolerance: int) -> None:
    if kind == "AVIF" and not (
        hasattr(features, "check") and "avif" in features.modules and features.check("avif")
    ):
        pytest.skip("this Pillow has no AVIF")
    pixels = decode_image(saved(Image.fromarray(ramp()), kind, **options), "x")
    assert (pixels.dtype, pixels.shape, pixels.flags.c_contiguous) == (np.uint8, (20, 30, 3), True)
    assert np.abs(pixels.astype(int) - ramp()).max() <= tolerance


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_modes_are_converted_plainly(mode: str) -> None:
    image = Image.fromarray(ramp()).convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert np.array_equal(decode_image(saved(image, kind), "x"), np.asarray(image.convert("RGB")))


def test_transparency_is_dropped_and_not_blended() -> None:
    image = Image.fromarray(ramp()).convert("RGBA")
    image.putalpha(0)
    assert np.array_equal(decode_image(saved(image, "PNG"), "x"), ramp())
    palette = Image.fromarray(ramp()).convert("P", palette=Image.Palette.ADAPTIVE)
    pixels = decode_image(saved(palette, "PNG", transparency=3), "x")
    assert np.array_equal(pixels, np.asarray(palette.convert("RGB")))


def test_cmyk_jpeg() -> None:
    image = Image.fromarray(np.full((16, 16, 3), (200, 30, 60), np.uint8)).convert("CMYK")
    pixels = decode_image(saved(image, "JPEG", quality=100), "x")
    assert np.abs(pixels.astype(int) - (200, 30, 60)).max() <= 6


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP"):
        pixels = decode_image(saved(frames[0], kind, save_all=True, append_images=frames[1:]), "x")
        assert pixels.shape == (7, 9, 3)
        assert np.abs(pixels[3, 4].astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    turned = {
        1: ramp(), 2: ramp()[:, ::-1], 3: ramp()[::-1, ::-1], 4: ramp()[::-1],
        5: ramp().transpose(1, 0, 2), 6: ramp()[::-1].transpose(1, 0, 2),
        7: ramp()[::-1, ::-1].transpose(1, 0, 2), 8: ramp()[:, ::-1].transpose(1, 0, 2),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode_image(saved(Image.fromarray(ramp()), "PNG", exif=exif), "x"), turned)


def test_sixteen_bit_samples_keep_their_high_byte() -> None:
    wide = (np.arange(600, dtype=np.uint32).reshape(20, 30) * 109).astype(np.uint16)
    pixels = decode_image(saved(Image.fromarray(wide), "PNG"), "x")
    assert np.array_equal(pixels, np.repeat((wide >> 8).astype(np.uint8)[..., None], 3, axis=2))
    assert np.array_equal(decode_image(_png16(), "x"), np.full((2, 2, 3), (0x12, 0x56, 0x9A), np.uint8))


def _png16() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes.fromhex("1234 5678 9abc") * 2
    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(row * 2))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the data is empty"),
        (b"not a picture", "not a picture of a known kind"),
        (b"<html>404</html>", "web page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture of a known kind"),
        (saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "floating-point"),
        (saved(Image.fromarray(np.full((4, 4), 1 << 20, np.int32)), "TIFF"), "more than 16 bits"),
    ],
)
def test_data_that_is_not_an_image_is_an_error_with_its_place(data: bytes, problem: str) -> None:
    with pytest.raises(ImageDecodeError, match=f"^t.tsv, line 3, index 7: .*{problem}"):
        decode_image(data, "t.tsv, line 3, index 7")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_truncated_image_is_an_error(kind: str) -> None:
    data = saved(Image.fromarray(np.random.RandomState(0).randint(0, 255, (60, 80, 3), np.uint8)), kind)
    for share in (0.2, 0.5, 0.9):
        with pytest.raises(ImageDecodeError, match="here"):
            decode_image(data[: int(len(data) * share)], "here")


def test_bombs_are_refused_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.new("1", (4000, 3000)), "PNG")
    with pytest.raises(ImageDecodeError, match="4000×3000 pixels is above the limit of 1000000"):
        decode_image(data, "x", max_pixels=1_000_000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    assert decode_image(data, "x").shape == (
        3000,
        4000,
        3,
    )  # our limit, not Pillow's, whose own stays as it was
    assert Image.MAX_IMAGE_PIXELS == 1_000_000


def test_a_tile_that_is_larger_than_its_picture_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    side, tile = 16, b"\0" * (16 * 16 * 3)
    small, large = tiled_tiff(side, 16, tile), tiled_tiff(side, 2000, tile)
    assert decode_image(small, "x", max_pixels=1_000_000).shape == (side, side, 3)
    with pytest.raises(ImageDecodeError, match="2000×2000 pixels is above the limit of 1000000"):
        decode_image(large, "x", max_pixels=1_000_000)
    path = tmp_path / "x.tif"
    path.write_bytes(large)
    with pytest.raises(ImageDecodeError, match="above the limit of 1000000"):
        corrupt_file(path, tmp_path / "y.png", "motion_blur", level="low", max_pixels=1_000_000)


def test_a_file_that_would_start_a_program_is_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("a program starts"))
    path = tmp_path / "x.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(ImageDecodeError, match=r"x\.png"):
        corrupt_file(path, tmp_path / "y.png", "motion_blur", level="low")
    with pytest.raises(ImageDecodeError, match="not a picture of a known kind"):
        decode_image(path.read_bytes(), "x")


def test_the_size_of_a_picture_is_read_without_unpacking_it() -> None:
    data = saved(Image.new("1", (10_000, 9_500)), "PNG")  # above what is decoded
    assert picture_size(data, "x") == (10_000, 9_500)
    assert picture_size(data[:60], "x") == (10_000, 9_500)
    for broken, problem in ((b"", "the data is empty"), (b"GIF8", "not a picture of a known kind")):
        with pytest.raises(ImageDecodeError, match=f"^t.tsv, line 3: .*{problem}"):
            picture_size(broken, "t.tsv, line 3")


@given(
    st.binary(max_size=300),
    st.integers(0, 200),
    st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]),
)
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_a_picture_or_an_error_of_ours(noise: bytes, at: int, kind: str) -> None:
    data = saved(Image.fromarray(ramp()), kind)
    for candidate in (noise, data[:at] + noise + data[at + len(noise) :]):
        with contextlib.suppress(ImageDecodeError):
            assert decode_image(candidate, "here").shape[2] == 3
