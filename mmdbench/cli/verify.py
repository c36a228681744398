"""`mmdbench verify`: compare a build with its manifest and its source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.completion import complete_runs
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.cli._shared.urls import FOLDER
from mmdbench.system.images import MAX_PIXELS

__all__ = ["verify"]

_DAMAGED = 1
_CANNOT_TELL = 3


def verify(
    folder: Annotated[
        Path,
        typer.Argument(parser=FOLDER, help="Folder of a build.", metavar="DIR", autocompletion=complete_runs),
    ],
    sample: Annotated[int, typer.Option(help="Make only so many pictures again; 0: all.", min=0)] = 0,
    source: opts.SourceFiles = None,
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Check the files only, without the source.")
    ] = False,
    workers: opts.Workers = 0,
    max_pixels: opts.MaxPixels = MAX_PIXELS,
    quiet: opts.Quiet = False,
    corruption: opts.CorruptionCode = None,
) -> None:
    """Check the files of a build, and make its pictures again to compare them.

    Exit code: 0 all right, 1 damage was found, 3 only files were checked, as a source is missing.
    """
    from mmdbench.corruptions.plugins import use_corruptions
    from mmdbench.library.building import VerifySettings
    from mmdbench.library.building import verify as verify_build

    use_corruptions(opts.split_option(corruption))
    with Terminal(quiet=quiet).bar("Verifying") as bar:
        result = verify_build(
            folder,
            VerifySettings(sample, workers, max_pixels, bar.update),
            sources=source or (),
            data_dir=data_dir,
            image_root=image_root,
            files_only=files_only,
        )
    for problem in result.problems:
        say(str(problem))
    for name, reason in result.missing.items():
        say(f"{name}: without its source, only the files were checked. {reason}", err=True)
    say(
        f"{result.files} files, {result.rows} rows; "
        f"{result.remade} pictures made again, {result.decoded} decoded: "
        + (f"{len(result.problems)} wrong." if result.problems else "all right.")
    )
    if result.problems:
        raise typer.Exit(_DAMAGED)
    if result.missing:
        raise typer.Exit(_CANNOT_TELL)
