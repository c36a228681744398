"""Photographs of `mini` with an EXIF orientation or an ICC profile, as cameras write them."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from build_samples import photograph

ORIENTATION = 0x0112


@lru_cache
def rgb_profile() -> bytes:
    """A whole ICC profile, of sRGB; made once, because it holds the time."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile_of(space: bytes) -> bytes:
    """A profile that says to be of another colour space: `GRAY`, `CMYK`."""
    made = rgb_profile()
    return made[:16] + space + made[20:]


def photo(number: int = 0, mode: str = "RGB", width: int = 60, height: int = 40) -> Image.Image:
    """A photograph in memory."""
    return Image.open(io.BytesIO(photograph(number, width, height))).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", orientation: int = 1, icc: bytes = b"") -> bytes:
    """A file of the image, with everything else that a phone writes into its EXIF."""
    options: dict[str, object] = {"icc_profile": icc} if icc else {}
    if orientation != 1:
        exif = Image.Exif()
        exif[ORIENTATION], exif[0x010F] = orientation, "A maker of phones"
        options["exif"] = exif
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """The file as Pillow opens it: nothing is decoded yet."""
    return Image.open(io.BytesIO(data))


def shown(image: Image.Image) -> np.ndarray:
    """The pixels as a viewer shows them, turned by code of this file alone."""
    pixels = np.asarray(image)
    turn = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.fliplr(np.rot90(a, -1)),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.fliplr(np.rot90(a)),
        8: np.rot90,
    }
    return turn[image.getexif().get(ORIENTATION, 1)](pixels)
