"""`mmdbench corrupt`: degrade a picture, or a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.urls import LOCAL
from mmdbench.errors import ImageDecodeError, UsageError
from mmdbench.system.images import MAX_PIXELS, check_bad_image

__all__ = ["corrupt"]


def corrupt(
    source: Annotated[
        Path, typer.Argument(parser=LOCAL, help="A picture, or a folder of pictures.", metavar="IN")
    ],
    target: Annotated[Path, typer.Argument(parser=LOCAL, help="File or folder to write.", metavar="OUT")],
    name: Annotated[str, opts.picture_option(help="Name of the corruption; see: mmdbench list corruptions")],
    level: Annotated[str, opts.picture_option(help="Level: low, mid or hard.")] = "",
    intensity: Annotated[
        float | None, opts.picture_option(help="Strength instead of a level: above 0, at most 1.")
    ] = None,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
    on_bad_image: opts.OnBadImage = "count",
    max_pixels: opts.MaxPixels = MAX_PIXELS,
) -> None:
    """Degrade a picture, or every picture in a folder.

    A picture of a folder that cannot be degraded is named, and the others are made.
    """
    from mmdbench.corruptions import sample, use_corruption
    from mmdbench.corruptions.files import corrupt_file, pair_files

    if bool(level) == (intensity is not None):
        raise UsageError("Give either --level or --intensity.", hint="For example: --level hard")
    call: dict[str, Any] = {"level": level or None, "intensity": intensity, "seed": seed, "profile": profile}
    check_bad_image(on_bad_image, max_pixels)
    name = use_corruption(name)
    sample(name, (1, 1), **call)  # raises for a wrong call before any file is written
    pairs = pair_files(source, target)
    broken: list[Path] = []
    for picture, result in pairs:
        try:
            corrupt_file(picture, result, name, max_pixels=max_pixels, **call)
        except (ImageDecodeError, UsageError) as error:
            if source.is_file() or on_bad_image == "error":
                raise
            broken.append(picture)
            say(f"{picture}: {error}", err=True)
    made = len(pairs) - len(broken)
    say(f"{made} picture{'s' * (made != 1)} written to {target}")
    if broken:
        names = ", ".join(str(picture.relative_to(source)) for picture in broken)
        raise ImageDecodeError(f"{len(broken)} of {len(pairs)} pictures could not be degraded: {names}.")
