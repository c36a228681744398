"""`mmdbench figures`: the report as pictures for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared.urls import RUN

__all__ = ["figures"]


def figures(
    runs: Annotated[
        list[str],
        typer.Argument(parser=RUN, help="Folders of runs, and published results such as paper:clear-rl."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the figures.")],
    formats: Annotated[list[str] | None, typer.Option("--format", help="svg or pdf; repeatable.")] = None,
) -> None:
    """Draw scores by level, drops by benchmark, and the map of corruptions × levels, as SVG and PDF."""
    from mmdbench.cli.report import open_runs
    from mmdbench.report.render.figures import FORMATS, draw_figures

    _, tables = open_runs(runs)
    for path in draw_figures(tables, out, formats or FORMATS):
        typer.echo(f"  {path}")
