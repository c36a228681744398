"""`mmdbench cite`: BibTeX entries, and a paragraph of methods for each run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_rendering
from mmdbench.cli._shared.urls import FOLDER

__all__ = ["cite"]


def cite(
    runs: Annotated[list[Path] | None, typer.Argument(parser=FOLDER, help="Folders of runs.")] = None,
    judge: opts.Judge = "",
) -> None:
    """Print BibTeX entries, and for each run a paragraph of methods."""
    from mmdbench.report.cite import citations, methods
    from mmdbench.results.graded_run import load_results

    results = [load_results(folder, judged_by=judge) for folder in runs or ()]
    for run in results:
        print_rendering(methods(run) + "\n")
    print_rendering(citations(results))
