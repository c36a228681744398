"""`mmdbench corrupt`: degrade a picture, or a folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.errors import ImageDecodeError, UsageError

__all__ = ["corrupt"]


def corrupt(
    source: Annotated[Path, typer.Argument(help="A picture, or a folder of pictures.", metavar="IN")],
    target: Annotated[Path, typer.Argument(help="File or folder to write.", metavar="OUT")],
    name: Annotated[str, opts.picture_option(help="Name of the corruption; see: mmdbench list corruptions")],
    level: Annotated[str, opts.picture_option(help="Level: low, mid or hard.")] = "",
    intensity: Annotated[
        float | None, opts.picture_option(help="Strength instead of a level: above 0, at most 1.")
    ] = None,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
) -> None:
    """Degrade a picture, or every picture in a folder."""
    from mmdbench.corruptions import sample
    from mmdbench.corruptions.files import corrupt_file, pair_files

    if bool(level) == (intensity is not None):
        raise UsageError("Give either --level or --intensity.", hint="For example: --level hard")
    call: dict[str, Any] = {"level": level or None, "intensity": intensity, "seed": seed, "profile": profile}
    sample(name, (1, 1), **call)  # raises for a wrong call before any file is written
    pairs = pair_files(source, target)
    broken: list[ImageDecodeError] = []
    for picture, result in pairs:
        try:
            corrupt_file(picture, result, name, **call)
        except ImageDecodeError as error:
            if source.is_file():
                raise
            broken.append(error)  # the other pictures of the folder are made all the same
    made = len(pairs) - len(broken)
    typer.echo(f"{made} picture{'s' * (made != 1)} written to {target}")
    if broken:
        raise ImageDecodeError(f"{len(broken)} of {len(pairs)} could not be read. {_first_of(broken)}")


def _first_of(errors: Sequence[ImageDecodeError], most: int = 5) -> str:
    more = f" And {len(errors) - most} more." if len(errors) > most else ""
    return " ".join(error.message for error in errors[:most]) + more
