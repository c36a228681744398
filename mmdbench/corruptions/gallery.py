"""One picture under every corruption, on a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdbench.corruptions import corrupt, get_corruption_names
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.errors import UsageError
from mmdbench.records import CLEAN, LEVELS
from mmdbench.system.bounds import require_between
from mmdbench.system.contact_sheet import contact_sheet, thumbnail
from mmdbench.system.images import decode_image, encoding_of

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["corruption_sheet"]


def corruption_sheet(
    path: Path, *, names: Sequence[str] = (), width: int = 240, seed: int = 0, profile: str = "paper"
) -> Image:
    """An RGB sheet: a row for each corruption, a column for clean and for each level.

    Args:
        path: The picture. It is corrupted at its own size and then made smaller.
        names: Corruptions, as `use_corruptions` takes them; all of mmdbench if empty.
        width: Width of one picture on the sheet in px, from 16 to 2000.
        seed: The seed that `corrupt` takes.
        profile: "paper" or "scaled".

    Returns:
        The sheet.

    Raises:
        UsageError: The file cannot be read, or the width is out of range.
    """
    require_between("--width", width, 16, 2000)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    pixels = decode_image(data, str(path))
    clean = thumbnail(pixels, width)
    rows = []
    for name in use_corruptions(names) or get_corruption_names():
        degraded = [corrupt(pixels, name, level=level, seed=seed, profile=profile) for level in LEVELS]
        rows.append((name, [clean, *(thumbnail(one, width) for one in degraded)]))
    return contact_sheet((CLEAN, *LEVELS), rows, encoding_of(data, str(path))[1])
