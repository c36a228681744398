"""`mmdbench figures`: the report as figures for a paper."""

from __future__ import annotations

from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_paths

__all__ = ["figures"]


def figures(
    runs: opts.RunsOrPublished,
    out: opts.FilesOut,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="Formats: svg, pdf; with commas or repeated.")
    ] = None,
    judge: opts.Judge = "",
) -> None:
    """Draw the figures of a report as SVG and PDF.

    Scores by level, drops by benchmark, and a map of corruptions × levels.
    """
    from mmdbench.library import load_report

    print_paths(load_report(*runs, judge=judge).figures(out, opts.split_option(formats)))
