"""`mmdbench cite`: BibTeX entries, and a paragraph of methods for each run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.completion import complete_runs
from mmdbench.cli._shared.output import print_rendering
from mmdbench.cli._shared.urls import FOLDER

__all__ = ["cite"]


def cite(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(parser=FOLDER, help="Folders of runs.", autocompletion=complete_runs),
    ] = None,
    judge: opts.Judge = "",
) -> None:
    """Print BibTeX entries, and for each run a paragraph of methods."""
    from mmdbench.library.citing import cite as text_of

    print_rendering(text_of(*(runs or ()), judge=judge))
