"""A contact sheet: one picture under every corruption, clean to hard, each row one corruption."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mmdbench.corruptions import corrupt, get_corruption_names
from mmdbench.errors import UsageError
from mmdbench.records import CLEAN, LEVELS
from mmdbench.system.bounds import require_between
from mmdbench.system.files import write_atomic
from mmdbench.system.images import decode_image

__all__ = ["contact_sheet", "save_sheet"]

_GAP = 6
_HEAD = 22


def contact_sheet(
    path: Path, *, names: Sequence[str] = (), width: int = 240, seed: int = 0, profile: str = "paper"
) -> Image.Image:
    """An RGB sheet: a row for each corruption, a column for clean and for each level.

    The picture is corrupted at its own size and only then made `width` pixels wide.
    """
    require_between("width, in px,", width, 16, 2000)
    try:
        pixels = decode_image(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    rows = list(names) or list(get_corruption_names())
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    columns = (CLEAN, *LEVELS)
    size = (_GAP + (width + _GAP) * len(columns), _HEAD + (height + _HEAD + _GAP) * len(rows))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for column, level in enumerate(columns):
        left = _GAP + column * (width + _GAP)
        draw.text((left, 2), level, fill="black", font=font)
        for row, name in enumerate(rows):
            top = _HEAD + row * (height + _HEAD + _GAP)
            shown = (
                pixels if level == CLEAN else corrupt(pixels, name, level=level, seed=seed, profile=profile)
            )
            picture = Image.fromarray(shown).resize((width, height), Image.Resampling.LANCZOS)
            if column == 0:
                draw.text((left, top), name, fill="black", font=font)
            sheet.paste(picture, (left, top + _HEAD - 2))
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write the sheet to a .png or .jpg file."""
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if path.suffix.lower() not in formats:
        raise UsageError(f"Cannot write a sheet as {path.name}.", hint="End the name with .png or .jpg.")
    buffer = io.BytesIO()
    sheet.save(buffer, formats[path.suffix.lower()], **({"quality": 90} if path.suffix != ".png" else {}))
    write_atomic(path, buffer.getvalue())
