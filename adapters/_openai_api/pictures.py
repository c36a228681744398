"""Pictures of a request: the variant's exact bytes, unless a rule of the server forbids them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mmdbench.errors import UnknownNameError
from mmdbench.models.failures import AttemptError
from mmdbench.records import ImageBytes
from mmdbench.system.base64_text import encode
from mmdbench.system.bounds import require_at_least
from mmdbench.system.color_profiles import fitting_profile

__all__ = ["PictureRules", "data_uri", "fit"]

_KNOWN = ("max_bytes", "max_side", "formats", "tokens")
_SMALLEST = 32
_SHRINK = 0.85


@dataclass(frozen=True, slots=True)
class PictureRules:
    """The pictures that a server accepts: bytes of a file, pixels of a side, formats (0 or empty: any).

    A picture that is too large fails its request (`oversize="fail"`), or is made smaller, which is
    recorded (`"resize"`). `jpeg75` re-encodes every picture as VLMEvalKit does for its API models, without
    an ICC profile.
    """

    max_bytes: int = 0
    max_side: int = 0
    formats: tuple[str, ...] = ()
    oversize: str = "fail"
    jpeg75: bool = False

    @classmethod
    def read(cls, table: Mapping[str, Any], *, jpeg75: bool, oversize: str) -> PictureRules:
        """Read the `images` table of a card.

        Args:
            table: The table.
            jpeg75: True to re-encode every picture.
            oversize: `fail` or `resize`.

        Returns:
            The rules.

        Raises:
            UnknownNameError: A key of the table, or the value of `oversize`, is not known.
            UsageError: A value is not a whole number of at least 0.
        """
        for key in table:
            if key not in _KNOWN:
                raise UnknownNameError("image rule", key, _KNOWN)
        if oversize not in ("fail", "resize"):
            raise UnknownNameError("way to treat oversize images", oversize, ("fail", "resize"))
        for key in ("max_bytes", "max_side"):
            require_at_least(f"The image rule {key}", table.get(key, 0), 0, whole=True)
        formats = tuple(str(name).lower() for name in table.get("formats", ()))
        return cls(table.get("max_bytes", 0), table.get("max_side", 0), formats, oversize, jpeg75)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: for the fingerprint."""
        return {**asdict(self), "formats": list(self.formats)}


def fit(image: ImageBytes, rules: PictureRules) -> tuple[ImageBytes, dict[str, Any] | None]:
    """The picture to send, and a record of its changes (None: there are none).

    Raises AttemptError `too_large` for a picture that is too large and may not be resized.
    """
    if rules.jpeg75:
        made = _encode(_open(image), "jpeg", 75, keep_profile=False)
        return _fit_size(made, image, rules, {"jpeg75": True})
    if rules.formats and _format(image) not in rules.formats:
        wanted = "png" if "png" in rules.formats else rules.formats[0]
        return _fit_size(_encode(_open(image), wanted, 95), image, rules, {"format": wanted})
    return _fit_size(image, image, rules, {})


def data_uri(image: ImageBytes) -> str:
    """The picture as a data URI."""
    return f"data:{image.mime};base64,{encode(image.data).decode('ascii')}"


def _fit_size(
    image: ImageBytes, original: ImageBytes, rules: PictureRules, done: dict[str, Any]
) -> tuple[ImageBytes, dict[str, Any] | None]:
    problem = _too_large(image, rules)
    if not problem:
        return image, {**done, "bytes": len(image.data)} if done else None
    if rules.oversize != "resize":
        raise AttemptError(
            "too_large", f"{problem}; --set oversize=resize makes it smaller (recorded with the reply)"
        )
    picture = _open(original)
    width, height = picture.size
    scale = min(1.0, rules.max_side / max(picture.size)) if rules.max_side else 1.0
    if scale == 1.0:
        scale = _SHRINK
    while True:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        quality = 75 if rules.jpeg75 else 95
        smaller = picture.resize(size, resample=3)
        made = _encode(smaller, _format(image), quality, keep_profile=not rules.jpeg75)
        if not _too_large(made, rules):
            return made, {
                **done,
                "resized": {"from": [width, height], "to": list(size)},
                "bytes": len(made.data),
            }
        scale *= _SHRINK
        if max(size) < _SMALLEST:
            raise AttemptError("too_large", f"{problem}, also at {_SMALLEST} pixels to a side")


def _too_large(image: ImageBytes, rules: PictureRules) -> str:
    if rules.max_bytes and len(image.data) > rules.max_bytes:
        return f"the picture has {len(image.data)} bytes, the server takes {rules.max_bytes}"
    if rules.max_side:
        width, height = _open(image).size
        if max(width, height) > rules.max_side:
            return f"the picture has {width}×{height} pixels, the server takes {rules.max_side} to a side"
    return ""


def _open(image: ImageBytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(image.data))


def _encode(picture: Any, name: str, quality: int, *, keep_profile: bool = True) -> ImageBytes:
    buffer = io.BytesIO()
    options: dict[str, Any] = {} if name == "png" else {"quality": quality}
    profile = fitting_profile(picture, "RGB") if keep_profile else b""
    picture.convert("RGB").save(buffer, name.upper(), icc_profile=profile or None, **options)
    return ImageBytes(buffer.getvalue(), f"image/{name}")


def _format(image: ImageBytes) -> str:
    return image.mime.rpartition("/")[2]
