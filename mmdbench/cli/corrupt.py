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
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", parser=LOCAL, help="File or folder to write; with several corruptions a folder."
        ),
    ],
    corruption: opts.Corruptions = None,
    corruption_set: opts.CorruptionSet = opts.DEFAULT_SET,
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

    Several corruptions are not applied on top of each other: OUT gets a folder for each.
    A picture of a folder that cannot be degraded is named, and the others are made.
    A new OUT also gets a manifest.json with the settings.
    """
    from mmdbench.corruptions import get_corruption_names, sample
    from mmdbench.corruptions.files import corrupt_file, mark_folder, pair_files
    from mmdbench.corruptions.plugins import use_corruptions

    given = opts.members(corruption, corruption_set)
    if not given:
        raise UsageError(
            "Name the corruption with --corruption.", hint="A name, a category, or all; see: mmdbench list."
        )
    if bool(level) == (intensity is not None):
        raise UsageError("Give either --level or --intensity.", hint="For example: --level hard")
    if "," in level:
        raise UsageError(f"--level takes one level here, got {level}.", hint="Run a command for each level.")
    call: dict[str, Any] = {"level": level or None, "intensity": intensity, "seed": seed, "profile": profile}
    check_bad_image(on_bad_image, max_pixels)
    names = use_corruptions(given) or get_corruption_names()
    for name in names:
        sample(name, (1, 1), **call)  # raises for a wrong call before any file is written
    pairs = pair_files(source, out, names)
    if not source.is_file():
        number = "1 picture is" if len(pairs) == 1 else f"{len(pairs)} pictures are"
        say(f"{number} made of {source}, the first is {pairs[0][2]}.", err=True)
        mark_folder(out, names, **call)
    broken: dict[Path, None] = {}
    for name, picture, result in pairs:
        if picture in broken:
            continue
        try:
            corrupt_file(picture, result, name, max_pixels=max_pixels, **call)
        except (ImageDecodeError, UsageError) as error:
            if source.is_file() or on_bad_image == "error":
                raise
            broken[picture] = None
            say(f"{picture}: {error}", err=True)
    made = len(pairs) - len(broken) * len(names)
    say(f"{made} picture{'s' * (made != 1)} written to {out}")
    if broken:
        failed = ", ".join(str(picture.relative_to(source)) for picture in broken)
        raise ImageDecodeError(
            f"{len(broken)} of {len(pairs) // len(names)} pictures could not be degraded: {failed}."
        )
