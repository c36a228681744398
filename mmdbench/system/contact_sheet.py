"""Contact sheets: rows of labelled pictures under column titles, as one image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from mmdbench.errors import UsageError
from mmdbench.system.files import write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["contact_sheet", "save_sheet", "thumbnail"]

_GAP = 6
_LABEL_HEIGHT = 22


def thumbnail(pixels: NDArray[np.uint8], width: int) -> Image.Image:
    """RGB pixels (H×W×3 uint8) as a picture of this width in px."""
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)


def contact_sheet(
    columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Image.Image]]], icc: bytes = b""
) -> Image.Image:
    """An RGB sheet of pictures of equal width.

    Args:
        columns: The titles of the columns.
        rows: A label and one picture for each column.
        icc: The ICC profile of the pictures; empty without one, or if they have several.

    Returns:
        The sheet.
    """
    width = rows[0][1][0].width
    heights = [max(picture.height for picture in pictures) + _LABEL_HEIGHT + _GAP for _, pictures in rows]
    size = (_GAP + (width + _GAP) * len(columns), _LABEL_HEIGHT + sum(heights))
    sheet = Image.new("RGB", size, "white")
    sheet.info["icc_profile"] = icc
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    lefts = [_GAP + column * (width + _GAP) for column in range(len(columns))]
    for left, title in zip(lefts, columns, strict=True):
        draw.text((left, 2), title, fill="black", font=font)
    top = _LABEL_HEIGHT
    for (label, pictures), height in zip(rows, heights, strict=True):
        draw.text((_GAP, top), label, fill="black", font=font)
        for left, picture in zip(lefts, pictures, strict=True):
            sheet.paste(picture, (left, top + _LABEL_HEIGHT - 2))
        top += height
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write the sheet to a .png or .jpg file, with its ICC profile."""
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if path.suffix.lower() not in formats:
        raise UsageError(
            f"A sheet must be a .png or .jpg file, got {path.name}.", hint="End the name with .png or .jpg."
        )
    buffer = io.BytesIO()
    options: dict[str, Any] = {"icc_profile": sheet.info.get("icc_profile") or None}
    options |= {"quality": 90} if path.suffix != ".png" else {}
    sheet.save(buffer, formats[path.suffix.lower()], **options)
    write_atomic(path, buffer.getvalue())
