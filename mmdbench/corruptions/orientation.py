"""Pillow images by their EXIF orientation: pixels turned upright and back, and files that keep the flag."""

from __future__ import annotations

import threading
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmdbench.system.color_profiles import profile_to_write

__all__ = ["DescribedImage", "described_as", "orientation_of", "stored", "upright"]

Pixels = NDArray[np.uint8]

_TAG = 0x0112
_READING = threading.Lock()  # Pillow marks the EXIF of an image as read before it has read it
# From the stored pixels to upright ones, by the values of EXIF 2.3: rows and columns are exchanged or not,
# then each is read forwards (1) or backwards (-1).
_TURNS = {
    1: (False, 1, 1),
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


class DescribedImage(Image.Image):
    """A degraded Pillow image whose `save` writes its EXIF orientation and its ICC profile.

    Pillow's own writes neither into a JPEG or WebP. Nothing else of the EXIF is written, and what `save` is
    given (`exif=`, `icc_profile=`) is written instead.
    """

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:  # noqa: A002  # Pillow's name
        """Save the image as Pillow does, with its orientation and its ICC profile.

        Args:
            fp: The file to write: its path, or an open file.
            format: Pillow's name of the format; None for that of the path's suffix.
            params: Options of the format.
        """
        if "exif" not in params and (orientation := orientation_of(self)) != 1:
            params["exif"] = Image.Exif()
            params["exif"][_TAG] = orientation
        if "icc_profile" not in params and self.info.get("icc_profile"):
            suffix = PurePath(str(getattr(fp, "name", fp))).suffix.lower()
            file_format = format or Image.registered_extensions().get(suffix, "")
            params["icc_profile"] = profile_to_write(self, file_format) or None
        super().save(fp, format, **params)


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 if it has none that is valid."""
    with _READING:
        orientation = image.getexif().get(_TAG, 1)
    return orientation if orientation in _TURNS else 1


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Stored pixels (H×W×C) turned as a viewer shows them."""
    exchanged, rows, columns = _TURNS[orientation]
    turned = pixels.swapaxes(0, 1) if exchanged else pixels
    return np.ascontiguousarray(turned[::rows, ::columns])


def stored(pixels: Pixels, orientation: int) -> Pixels:
    """Upright pixels (H×W×C) turned back: the inverse of `upright`."""
    exchanged, rows, columns = _TURNS[orientation]
    turned = pixels[::rows, ::columns]
    return np.ascontiguousarray(turned.swapaxes(0, 1) if exchanged else turned)


def described_as(result: Image.Image, original: Image.Image) -> Image.Image:
    """The result, with the orientation of the original, and saved with it and with its ICC profile."""
    orientation = orientation_of(original)
    if orientation == 1 and not result.info.get("icc_profile"):
        return result
    if orientation_of(result) != orientation:  # it was not in `info`: a TIFF's tag, or set by hand
        exif = result.getexif()
        exif[_TAG] = orientation
        result.info["exif"] = exif.tobytes()
    result.__class__ = DescribedImage
    return result
