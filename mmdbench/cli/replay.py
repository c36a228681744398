"""`mmdbench replay`: make one picture of a build again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.urls import FOLDER, LOCAL
from mmdbench.errors import UsageError
from mmdbench.system.files import require_writable
from mmdbench.system.images import MAX_PIXELS

__all__ = ["replay"]


def replay(
    manifest: Annotated[
        Path, typer.Argument(parser=FOLDER, help="A build's folder, its manifest.json, or one of its logs.")
    ],
    index: Annotated[str, typer.Option(help="Index of the row.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", parser=LOCAL, help="Picture to write: .png, or the build's format.")
    ],
    bench: Annotated[str, typer.Option(help="Benchmark of the row, if the build has several.")] = "",
    level: Annotated[str, typer.Option(help="Level of the picture, if the build has several.")] = "",
    corruption: Annotated[
        list[str] | None, typer.Option(help="Corruption of the picture, if the build has several.")
    ] = None,
    picture: Annotated[int, typer.Option(help="Number of the picture in the row, from 1.", min=1)] = 1,
    source: opts.SourceFiles = None,
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    max_pixels: opts.MaxPixels = MAX_PIXELS,
) -> None:
    """Make one picture of a build again, from its source and manifest."""
    from mmdbench.corruptions.plugins import use_corruptions
    from mmdbench.library.building import ImageQuery
    from mmdbench.library.building import replay as make_again

    names = use_corruptions(opts.split_option(corruption))
    if len(names) > 1:
        raise UsageError(f"--corruption must name one corruption here, got {', '.join(names)}.")
    require_writable(out)
    query = ImageQuery(index, bench, level, "".join(names), picture - 1)
    made = make_again(
        manifest,
        query,
        out,
        sources=source or (),
        data_dir=data_dir,
        image_root=image_root,
        max_pixels=max_pixels,
    )
    same = "" if made.same_bytes else " (the same pixels, encoded in other bytes)"
    say(f"{made.row}: {made.made}, pixels as logged{same} → {out}")
