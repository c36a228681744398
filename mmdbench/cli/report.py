"""`mmdbench report`: print the tables of runs from their stored replies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_ages, print_next, print_page, print_paths, print_rendering
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.cli._shared.urls import LOCAL
from mmdbench.errors import UsageError
from mmdbench.system.files import require_writable

__all__ = ["report"]


def report(
    runs: opts.RunsOrPublished,
    table: opts.Tables = None,
    markdown: opts.Markdown = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX with booktabs.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV, one line for each number, unrounded.")
    ] = False,
    as_json: opts.Json = False,
    html: Annotated[
        Path | None,
        typer.Option(parser=LOCAL, help="Write one HTML page to this file; see: mmdbench page --help"),
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(parser=LOCAL, help="Write the numbers to this Parquet file.")
    ] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Print intervals in LaTeX too.")] = False,
    protocol: opts.Protocol = "",
    extraction: opts.Extraction = "",
    judge: opts.Judge = "",
    corruption: opts.CorruptionCode = None,
) -> None:
    """Print the tables of a run, or of several side by side; no model is asked."""
    if markdown + latex + as_csv + as_json > 1:
        raise UsageError("Only one of --markdown, --latex, --csv and --json may be given.")
    from mmdbench.library import load_report
    from mmdbench.library.screen import Screen

    for file in filter(None, (parquet, html)):
        require_writable(file)
    if corruption:  # most reports need none, and neither NumPy for it
        from mmdbench.corruptions.plugins import use_corruptions

        use_corruptions(opts.split_option(corruption))
    found = load_report(*runs, protocol=protocol, extraction=extraction, judge=judge)
    keys = opts.split_option(table)
    if parquet:
        found.parquet(parquet, keys)
    if html:
        print_page(found, html, Terminal())
        return
    forms = {"markdown": markdown, "latex": latex, "csv": as_csv, "json": as_json}
    for form in (name for name, wanted in forms.items() if wanted):
        print_rendering(found.text(form, keys, intervals=intervals))
        print_ages(found, err=True)
        return
    Screen().print(found.renderable(keys))
    print_ages(found)
    if len(found.results) == len(runs) == 1 and not (keys or protocol or extraction or judge):
        print_paths(found.write(runs[0]))
    if not keys:
        print_next(found, runs)
