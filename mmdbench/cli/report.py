"""`mmdbench report`: print the tables of runs from their stored replies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_freshness, print_paths, print_rendering
from mmdbench.cli._shared.urls import LOCAL
from mmdbench.errors import UsageError

if TYPE_CHECKING:
    from mmdbench.report.tables.collect import Tables

__all__ = ["report"]


def report(
    runs: opts.RunsOrPublished,
    table: Annotated[
        list[str] | None, typer.Option(help="Print only this table, or all; repeatable.")
    ] = None,
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
) -> None:
    """Print the tables of a run, or of several side by side; no model is asked."""
    if markdown + latex + as_csv + as_json > 1:
        raise UsageError("Only one of --markdown, --latex, --csv and --json may be given.")
    from mmdbench.report.load import open_runs

    results, tables = open_runs(runs, protocol, extraction, judge)
    keys = tuple(table or ())
    if parquet:
        from mmdbench.report.render.csv_parquet import write_parquet

        write_parquet(tables, parquet, keys)
    if html:
        from mmdbench.cli._shared.page import save_page

        save_page(results, tables, html)
        print_freshness(results)
        return
    if markdown or latex or as_csv or as_json:
        print_rendering(_text(tables, keys, (markdown, latex, as_csv), intervals=intervals))
        print_freshness(results, err=True)
        return
    from mmdbench.library.screen import Screen
    from mmdbench.report.render.console import console

    Screen().print(console(tables, keys))
    print_freshness(results)
    if len(results) == len(runs) == 1 and not (keys or protocol or extraction or judge):
        from mmdbench.report.render.report_files import write_report

        print_paths(write_report(Path(runs[0]), results[0], tables))


def _text(tables: Tables, keys: tuple[str, ...], wanted: tuple[bool, bool, bool], *, intervals: bool) -> str:
    from mmdbench.report.render import csv_parquet, latex, markdown, report_files

    if wanted[0]:
        return markdown.markdown(tables, keys)
    if wanted[1]:
        return latex.latex(tables, keys, intervals=intervals)
    return csv_parquet.as_csv(tables, keys) if wanted[2] else report_files.as_json(tables, keys)
