"""`mmdbench figures`: the report as figures for a paper."""

from __future__ import annotations

from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_paths
from mmdbench.system.files import require_folder

__all__ = ["figures"]


def figures(
    runs: opts.RunsOrPublished,
    out: opts.FilesOut,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="Formats: svg, pdf, png; with commas or repeated.")
    ] = None,
    columns: Annotated[int, typer.Option("--columns", help="Columns of a paper each spans: 1 or 2.")] = 1,
    judge: opts.Judge = "",
) -> None:
    """Draw the figures of a report for a paper: as SVG and PDF, of one column.

    Scores by level, drops by benchmark, and a map of corruptions × levels.
    """
    from mmdbench.library import load_report

    require_folder(out)
    print_paths(load_report(*runs, judge=judge).figures(out, opts.split_option(formats), columns))
