"""Corrupt picture files: one, or every picture below a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdbench.corruptions import corrupt
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ImageDecodeError, UsageError
from mmdbench.system.color_profiles import profile_to_write
from mmdbench.system.files import MANIFEST_FILE, make_folder, write_atomic
from mmdbench.system.images import (
    MAX_PIXELS,
    PICTURE_SUFFIXES,
    decoded_size,
    opened_picture,
    picture_files,
    refuse_large,
)
from mmdbench.system.json_text import parse_json

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["corrupt_file", "mark_folder", "pair_files"]

_QUALITY = 95
"""Quality of JPEG and WebP files."""


def pair_files(source: Path, target: Path, names: Sequence[str] = ("",)) -> list[tuple[str, Path, Path]]:
    """Each corruption with each picture of a file or folder, and the place of its corrupted copy in `target`.

    Runs, builds, training sets and folders of corrupted pictures that mmdbench wrote inside the folder, and
    `target`, are left out.

    Args:
        source: A picture, or a folder of pictures.
        target: File or folder to write; several corruptions have a folder each in it.
        names: The corruptions.

    Returns:
        The corruptions, pictures and places.

    Raises:
        UsageError: `source` does not exist or holds no picture, or `target` is a file that cannot hold
            several.
    """
    pictures = [source] if source.is_file() else _foreign_pictures(source, target)
    if not pictures:
        raise UsageError(f"{source} holds no pictures ({', '.join(PICTURE_SUFFIXES)}).")
    several = len(names) > 1
    if target.is_file() and (several or not source.is_file()):
        raise UsageError(f"OUT must be a folder for several pictures, got the file {target}.")
    if source.is_file() and not several and not target.is_dir():
        return [(names[0], source, target)]
    base = source.parent if source.is_file() else source
    places = {name: target / name if several else target for name in names}
    return [(name, path, places[name] / path.relative_to(base)) for name in names for path in pictures]


def mark_folder(target: Path, names: Sequence[str], **call: Any) -> None:
    """Write a manifest into a new folder for corrupted pictures, so that `pair_files` leaves it out later.

    A folder that already has files of others is left as it is: its pictures may be someone's originals.

    Args:
        target: The folder.
        names: The corruptions.
        call: Level or intensity, seed and profile, as `corrupt` takes them.
    """
    file = target / MANIFEST_FILE
    if target.is_dir() and any(target.iterdir()) and not (file.is_file() and _is_own(file)):
        return
    how = {"spec": load_spec().record(names), "corruptions": list(names), **call}
    make_folder(target)
    write_atomic(file, json.dumps({"kind": "mmdbench pictures", **how}, indent=1) + "\n")


def _foreign_pictures(source: Path, target: Path) -> list[Path]:
    """The pictures of a folder that are in no folder that mmdbench wrote, nor in `target` inside it."""
    found = picture_files(source)
    own = {path.parent for path in source.rglob(MANIFEST_FILE) if path.parent != source and _is_own(path)}
    if source.resolve() in target.resolve().parents:
        own |= {folder for path in found for folder in path.parents if _same(folder, target)}
    return [path for path in found if own.isdisjoint(path.parents)]


def _same(folder: Path, target: Path) -> bool:
    return folder.name == target.name and folder.resolve() == target.resolve()


def _is_own(manifest: Path) -> bool:
    """True if a file is the manifest of a folder that mmdbench wrote."""
    try:
        made = parse_json(manifest.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(made, dict) and str(made.get("kind")).startswith("mmdbench ")


def corrupt_file(source: Path, target: Path, name: str, *, max_pixels: int = MAX_PIXELS, **call: Any) -> None:
    """Write the corrupted copy of a picture, upright; size, mode and ICC profile are kept.

    Args:
        source: The picture.
        target: File to write; its suffix names the format.
        name: The corruption.
        max_pixels: The largest picture to read, in pixels.
        call: Level or intensity, seed and profile, as `corrupt` takes them.

    Raises:
        UsageError: `target` is the source, or of a format that cannot hold the picture.
        ImageDecodeError: The source cannot be read.
    """
    from PIL import Image

    if source.resolve() == target.resolve():
        raise UsageError(f"OUT must not be the picture itself, got {target}.", hint="Name another file.")
    form = Image.registered_extensions().get(target.suffix.lower())
    if form is None:
        raise UsageError(
            f"OUT must end in the suffix of a picture format, got {target}.",
            hint="Write .png, .jpg or .webp.",
        )
    degraded = corrupt(_read_picture(source, max_pixels), name, **call)
    options: dict[str, Any] = {"icc_profile": profile_to_write(degraded, form) or None}
    options |= {"quality": _QUALITY} if form in ("JPEG", "WEBP") else {}
    buffer = io.BytesIO()
    try:
        degraded.save(buffer, form, **options)
    except OSError as error:
        raise UsageError(
            f"Cannot write a picture of mode {degraded.mode} as {target.suffix}.",
            hint="Use .tif." if form == "PNG" else "Use .png.",
        ) from error
    make_folder(target.parent)
    write_atomic(target, buffer.getvalue())


def _read_picture(path: Path, max_pixels: int) -> Image.Image:
    """The picture, upright and in its own mode: unlike a benchmark's, it is not made RGB."""
    from PIL import ImageOps

    try:
        with opened_picture(path) as opened:
            refuse_large(decoded_size(opened), str(path), max_pixels)
            image = ImageOps.exif_transpose(opened)
            image.load()
            return image
    except ImageDecodeError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every built-in kind on broken data
        raise ImageDecodeError(f"Cannot read {path} as a picture: {error}.") from error
