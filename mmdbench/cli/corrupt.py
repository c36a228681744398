"""`mmdbench corrupt`: degrade a picture, or a folder of pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.errors import ImageDecodeError, UsageError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["corrupt"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def corrupt(
    source: Annotated[Path, typer.Argument(help="A picture, or a folder of pictures.", metavar="IN")],
    target: Annotated[Path, typer.Argument(help="File or folder to write.", metavar="OUT")],
    name: Annotated[
        str,
        typer.Option(
            help="Name of the corruption; see: mmdbench list corruptions", rich_help_panel=opts.PICTURES
        ),
    ],
    level: Annotated[str, typer.Option(help="Level: low, mid or hard.", rich_help_panel=opts.PICTURES)] = "",
    intensity: Annotated[
        float | None,
        typer.Option(help="Strength instead of a level: above 0, at most 1.", rich_help_panel=opts.PICTURES),
    ] = None,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
) -> None:
    """Degrade a picture, or every picture of a folder."""
    from mmdbench.corruptions import sample

    if bool(level) == (intensity is not None):
        raise UsageError("Give either --level or --intensity.", hint="For example: --level hard")
    call: dict[str, Any] = {"level": level or None, "intensity": intensity, "seed": seed, "profile": profile}
    sample(name, (1, 1), **call)  # says what is wrong with the call before any file is touched
    pairs = _pairs(source, target)
    broken: list[ImageDecodeError] = []
    for picture, result in pairs:
        try:
            _corrupt_file(picture, result, {"name": name, **call})
        except ImageDecodeError as error:
            if source.is_file():
                raise
            broken.append(error)  # one broken picture of a folder is no reason to leave out the others
    made = len(pairs) - len(broken)
    typer.echo(f"{made} picture{'s' * (made != 1)} written to {target}")
    if broken:
        raise ImageDecodeError(f"{len(broken)} of {len(pairs)} could not be read. {_first_of(broken)}")


def _first_of(errors: Sequence[ImageDecodeError], most: int = 5) -> str:
    more = f" And {len(errors) - most} more." if len(errors) > most else ""
    return " ".join(error.message for error in errors[:most]) + more


def _pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    if not source.exists():
        raise UsageError(f"There is no file or folder {source}.")
    if source.is_file():
        return [(source, target / source.name if target.is_dir() else target)]
    pictures = sorted(p for p in source.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not pictures:
        raise UsageError(f"{source} holds no pictures ({', '.join(_SUFFIXES)}).")
    return [(p, target / p.relative_to(source)) for p in pictures]


def _corrupt_file(picture: Path, result: Path, call: dict[str, Any]) -> None:
    import io

    from PIL import Image

    import mmdbench
    from mmdbench.system.files import make_folder, write_atomic

    if picture.resolve() == result.resolve():
        raise UsageError(f"{picture} would be overwritten by its own corruption.", hint="Name another OUT.")
    formats = Image.registered_extensions()
    if result.suffix.lower() not in formats:
        raise UsageError(f"Cannot tell the format of {result}.", hint="End OUT with .png, .jpg or .webp.")
    image = _read_picture(picture)
    options: dict[str, Any] = {"quality": 95} if formats[result.suffix.lower()] in ("JPEG", "WEBP") else {}
    degraded = mmdbench.corrupt(image, **call)
    buffer = io.BytesIO()
    try:
        degraded.save(buffer, formats[result.suffix.lower()], **options)
    except OSError as error:
        raise UsageError(
            f"Cannot write a picture of mode {degraded.mode} as {result.suffix}.", hint="Use .png."
        ) from error
    make_folder(result.parent)
    write_atomic(result, buffer.getvalue())


def _read_picture(path: Path) -> Image.Image:
    """The picture, upright and in its own mode: unlike a benchmark's, it is not made RGB."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            # A picture that somebody names is meant; only what Pillow refuses outright is refused.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                image = ImageOps.exif_transpose(opened)
                image.load()
                return image
    except Exception as error:  # Pillow's decoders raise nearly every built-in kind on broken data
        raise ImageDecodeError(f"Cannot read {path} as a picture: {error}.") from error
