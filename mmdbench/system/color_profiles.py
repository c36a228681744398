"""ICC profiles of pictures: found, and compared with the pixels that they are written beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdbench.system.digest import bytes_digest

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["fitting_profile", "profile_digest", "profile_to_write"]

_MAX_BYTES = 1 << 20
"""The largest profile that is kept; Pillow reads no larger one from a PNG."""

_HEADER_BYTES = 128
_COLOR_SPACES = {
    b"RGB ": ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "YCbCr", "HSV"),
    b"GRAY": ("1", "L", "LA", "La"),
    b"CMYK": ("CMYK",),
    b"Lab ": ("LAB",),
}
_RGB_ONLY = ("WEBP", "AVIF")


def fitting_profile(image: Image.Image, mode: str) -> bytes:
    """The ICC profile of a picture, if it describes pixels of a mode; empty without one, or for another mode.

    >>> from PIL import Image
    >>> fitting_profile(Image.new("RGB", (1, 1)), "RGB")
    b''
    """
    profile = image.info.get("icc_profile") or b""
    whole = isinstance(profile, bytes) and _HEADER_BYTES <= len(profile) <= _MAX_BYTES
    if not whole or profile[36:40] != b"acsp":
        return b""
    return profile if mode in _COLOR_SPACES.get(profile[16:20], ()) else b""


def profile_to_write(image: Image.Image, file_format: str) -> bytes:
    """The ICC profile for a file of a picture; `file_format` is Pillow's name, such as JPEG.

    Formats that hold RGB alone are written without the profile of a grey or CMYK picture.
    """
    return fitting_profile(image, "RGB" if file_format.upper() in _RGB_ONLY else image.mode)


def profile_digest(profile: bytes) -> str:
    """SHA-256 of a profile; empty for none."""
    return bytes_digest(profile) if profile else ""
