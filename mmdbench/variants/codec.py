"""Image codecs: `jpeg:Q`, `webp:Q` and `png`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdbench.errors import ImageInputError, UsageError
from mmdbench.records import ImageBytes
from mmdbench.system.images import NO_LIMIT, decode_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Codec", "decode_encoded", "encode", "parse_codec"]

_LIMITS = {"jpeg": (1, 100), "webp": (1, 100)}
_SIDE_LIMITS = {"jpeg": 65_500, "webp": 16_383}
_APP2_BYTES = 65_519
"""The most bytes of an ICC profile in one segment, which has 65,535 with its length and its head."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec and its quality: `jpeg:Q` (baseline, 4:2:0), `webp:Q` or `png` (lossless, quality 0)."""

    name: str
    quality: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.quality}" if self.quality else self.name

    @property
    def mime(self) -> str:
        """The media type, for example `image/jpeg`."""
        return f"image/{self.name}"


def parse_codec(text: str) -> Codec:
    """Read `jpeg:95`, `jpeg` (95), `webp:80`, `webp` (80) or `png`."""
    name, colon, quality = text.partition(":")
    default = {"jpeg": 95, "webp": 80, "png": 0}
    if name in default and not colon:
        return Codec(name, default[name])
    if name in _LIMITS and quality.isascii() and quality.isdigit():
        low, high = _LIMITS[name]
        if low <= int(quality) <= high:
            return Codec(name, int(quality))
    raise UsageError(
        f"The codec must be jpeg:Q, webp:Q or png, got {text!r}.",
        hint="For example jpeg:95; the quality is from 1 to 100.",
    )


def encode(pixels: NDArray[np.uint8], codec: Codec, icc: bytes = b"") -> ImageBytes:
    """Encode RGB pixels; JPEG is baseline with 4:2:0 chroma, as in the release.

    Args:
        pixels: H×W×3, uint8.
        codec: The codec.
        icc: The ICC profile of the pixels, which the file then holds; empty for none.

    Returns:
        The encoded image.

    Raises:
        ImageInputError: The image has more pixels per side than the format allows.
    """
    if codec.name != "png" and max(pixels.shape[:2]) > _SIDE_LIMITS[codec.name]:
        height, width = pixels.shape[:2]
        raise ImageInputError(
            f"{codec.name} cannot store an image of {width}×{height} px.", hint="Use the codec png."
        )
    if codec.name == "jpeg":
        data = _with_profile(_encode_jpeg(pixels, codec.quality), icc)
    else:
        data = _encode_by_pillow(pixels, codec, icc)
    return ImageBytes(data, codec.mime)


def _encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    # Pillow writes the same bytes, but takes half as long again and holds the interpreter's lock.
    import cv2

    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)
    assert done
    return bytes(data)


def _with_profile(jpeg: bytes, icc: bytes) -> bytes:
    """A JPEG that begins with a JFIF segment, with the profile in APP2 segments after that one."""
    parts = [icc[start : start + _APP2_BYTES] for start in range(0, len(icc), _APP2_BYTES)]
    heads = [b"ICC_PROFILE\0" + bytes([number, len(parts)]) for number in range(1, len(parts) + 1)]
    segments = b"".join(
        b"\xff\xe2" + (2 + len(head) + len(part)).to_bytes(2, "big") + head + part
        for head, part in zip(heads, parts, strict=True)
    )
    end = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:end] + segments + jpeg[end:]


def _encode_by_pillow(pixels: NDArray[np.uint8], codec: Codec, icc: bytes) -> bytes:
    from PIL import Image

    options: dict[str, Any] = {"webp": {"quality": codec.quality, "method": 4}, "png": {"compress_level": 1}}[
        codec.name
    ]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, codec.name.upper(), icc_profile=icc or None, **options)
    return buffer.getvalue()


def decode_encoded(image: ImageBytes) -> NDArray[np.uint8]:
    """The RGB pixels of an image that `encode` made: those of `decode_image`, three times as fast."""
    if image.mime != "image/jpeg":
        return decode_image(image.data, "a variant just encoded", max_pixels=NO_LIMIT)
    import cv2
    import numpy as np

    found = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert found is not None
    return np.asarray(found, np.uint8)
