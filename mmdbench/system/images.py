"""Decoding of images to pixels, the same for clean and degraded images."""

from __future__ import annotations

import io
import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdbench.errors import ImageDecodeError, MmdbenchError, UnknownNameError, UsageError
from mmdbench.system.bounds import require_at_least
from mmdbench.system.color_profiles import fitting_profile
from mmdbench.system.pixel_budget import PIXELS_AT_WORK, out_of_memory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

__all__ = [
    "MAX_PIXELS",
    "NO_LIMIT",
    "ON_BAD_IMAGE",
    "PICTURE_SUFFIXES",
    "check_bad_image",
    "decode_image",
    "decoded_size",
    "encoding_of",
    "opened_picture",
    "picture_files",
    "picture_size",
    "refuse_large",
]

MAX_PIXELS = 50_000_000
"""The largest picture that is decoded, in pixels, and the most that threads work on at once.

A frame of 8K video has 33 million, a page of A4 at 600 dpi 35 million. Degrading 50 million takes up to
2.8 GB.
"""

NO_LIMIT = sys.maxsize
"""No limit of pixels, for an image that a limit has let pass before."""

ON_BAD_IMAGE = ("count", "error")
"""Treatment of a picture that cannot be used: counted as failed, or an error that ends the command."""

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm")
"""Suffixes of the files that are taken for pictures in a folder."""

_LARGE = "A small file of that many pixels is often made to exhaust memory; if it is not: --max-pixels"
_PILLOW_LIMIT = threading.Lock()  # Pillow's limit is one for the process

_TILE_SIDES = (322, 323)  # tags of TIFF

# Only raster formats that benchmarks use: some others (EPS) would start a program.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000")


def decode_image(data: bytes, where: str, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode an image to RGB pixels, turned upright as its EXIF orientation says.

    JPEG (CMYK too), PNG, GIF and WebP (the first frame), AVIF, BMP, TIFF, PPM, JPEG 2000.
    Transparency is dropped, not blended: hidden colours show, as they do in other tools.
    Of 16-bit samples, grey or colour, the high byte is kept.

    Args:
        data: The encoded image.
        where: The place of the image, for messages.
        max_pixels: The largest width × height to decode, and the most that threads work on at once.

    Returns:
        The pixels, uint8 H×W×3.

    Raises:
        ImageDecodeError: The data is truncated, too large or not an image.
        MmdbenchError: There is not enough memory for it.
    """
    import numpy as np
    from PIL import ImageOps

    with _reading(data, where), opened_picture(data) as image:
        width, height = decoded_size(image)
        refuse_large((width, height), where, max_pixels)
        with PIXELS_AT_WORK.hold(width * height, max_pixels):
            try:
                image.load()
                upright = ImageOps.exif_transpose(image)
                pixels = np.array(_to_rgb(upright), dtype=np.uint8, order="C")
            except MemoryError as error:
                raise out_of_memory(where, width, height) from error
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageDecodeError(f"{where}: the picture has no pixels.")
    return pixels


def decoded_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of what is unpacked at once: the picture, or a larger tile of a TIFF."""
    tags: Any = getattr(image, "tag_v2", {})
    width, height = (tags.get(tag, 0) for tag in _TILE_SIDES)
    return max(image.size, (int(width), int(height)), key=math.prod)


def refuse_large(size: tuple[int, int], where: str, max_pixels: int) -> None:
    """Refuse a picture that is too large.

    Args:
        size: Its width and height, in pixels.
        where: The place of the picture, for messages.
        max_pixels: The most pixels allowed.

    Raises:
        ImageDecodeError: It has more.
    """
    width, height = size
    if width * height > max_pixels:
        raise ImageDecodeError(
            f"{where}: a picture of {width}×{height} pixels is above the limit of {max_pixels}.",
            hint=_LARGE,
        )


def check_bad_image(on_bad_image: str, max_pixels: int) -> None:
    """Raise UsageError unless the two options about pictures that cannot be used have a value of theirs."""
    if on_bad_image not in ON_BAD_IMAGE:
        raise UnknownNameError("value of --on-bad-image", on_bad_image, ON_BAD_IMAGE)
    require_at_least("--max-pixels", max_pixels, 1, whole=True)


def picture_size(data: bytes, where: str) -> tuple[int, int]:
    """Width and height in px from an image's header, before its EXIF orientation is applied.

    No pixel is decoded, so there is no limit on the size. Raises ImageDecodeError if the data is not
    an image.
    """
    with _reading(data, where), opened_picture(data) as image:
        return int(image.width), int(image.height)


def encoding_of(data: bytes, where: str) -> tuple[str, bytes]:
    """MIME type of a picture for which every decoder gives the same pixels, and the ICC profile of its RGB.

    Such a picture is an RGB JPEG, PNG or WebP that is upright, not animated and without a profile of other
    colours than RGB; for any other the MIME type is empty. The profile is empty if there is none for RGB.
    Raises ImageDecodeError if the data is not an image, or one with a damaged page or frame.
    """
    from PIL import Image

    with _reading(data, where), opened_picture(data) as image:
        still = getattr(image, "n_frames", 1) == 1
        upright = image.getexif().get(0x0112, 1) == 1
        profile = fitting_profile(image, "RGB")
        fits = bool(profile) or not image.info.get("icc_profile")
        plain = still and upright and fits and image.mode == "RGB" and image.format in ("JPEG", "PNG", "WEBP")
        return Image.MIME[str(image.format)] if plain else "", profile


def picture_files(source: Path) -> list[Path]:
    """The files below a folder that have a picture's suffix, in order; of a file, the file itself.

    Raises:
        UsageError: There is no such file or folder.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UsageError(f"There is no file or folder {source}.")
    return sorted(p for p in source.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file())


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB; grey with more than 8 bits is reduced to 8 first, or else Pillow would clip it."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("floating-point samples have no defined range")
    if image.mode.startswith("I"):
        import numpy as np

        wide = np.asarray(image).astype(np.int64)
        if wide.size and (wide.min() < 0 or wide.max() > 0xFFFF):
            raise ValueError("samples of more than 16 bits")
        return Image.fromarray((wide >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.convert("RGBA")  # the same colours, of which Pillow warns otherwise
    return image if image.mode == "RGB" else image.convert("RGB")


@contextmanager
def opened_picture(data: bytes | Path) -> Iterator[Image.Image]:
    """Context of the picture of encoded data or of a file; only its header is read, however large it is."""
    from PIL import Image

    # Pillow warns of large pictures and refuses larger ones, by a limit of the whole process; ours is checked
    # on the header, before any pixel is unpacked.
    with _PILLOW_LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(data if isinstance(data, Path) else io.BytesIO(data), formats=_formats())
        finally:
            Image.MAX_IMAGE_PIXELS = before
    with image:
        yield image


@contextmanager
def _reading(data: bytes, where: str) -> Iterator[None]:
    try:
        yield
    except MmdbenchError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every built-in kind on broken data
        raise _unreadable(data, where, error) from error


def _unreadable(data: bytes, where: str, error: Exception) -> ImageDecodeError:
    from PIL import UnidentifiedImageError

    if not data:
        return ImageDecodeError(f"{where}: no picture, the data is empty.")
    head = data[:64].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return ImageDecodeError(f"{where}: this is a web page or a drawing, not a picture.")
    if data[4:12] in (b"ftypavif", b"ftypavis") and "AVIF" not in _formats():
        return ImageDecodeError(f"{where}: an AVIF picture.", hint="Reading AVIF needs Pillow 11.3 or newer.")
    unknown = isinstance(error, UnidentifiedImageError)
    reason = "not a picture of a known kind" if unknown else f"cannot be decoded ({error})"
    return ImageDecodeError(
        f"{where}: {len(data)} bytes, {reason}.",
        hint="The file may be incomplete; a picture of your own can be saved anew, as PNG or JPEG.",
    )


@lru_cache(maxsize=1)
def _formats() -> tuple[Any, ...]:
    return (*_FORMATS, "AVIF") if find_spec("PIL.AvifImagePlugin") else _FORMATS
