"""`mmdbench report`: print the tables of runs again, from their replies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared.urls import RUN
from mmdbench.errors import UsageError

if TYPE_CHECKING:
    from mmdbench.report.tables.collect import Tables
    from mmdbench.results.results import RunResults

__all__ = ["open_runs", "report"]


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            parser=RUN,
            help="Folders of runs, and published results such as paper:clear-rl; the first is the reference.",
        ),
    ],
    table: Annotated[list[str] | None, typer.Option(help="Only this table, or all; repeatable.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX with booktabs.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV, a line for each number, unrounded.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, unrounded.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write one HTML page; see: mmdbench page --help")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the numbers to a Parquet file.")] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Intervals in LaTeX too.")] = False,
    protocol: Annotated[str, typer.Option(help="Grade by another protocol than the run's.")] = "",
    extraction: Annotated[str, typer.Option(help="Read answers in another way than the run's.")] = "",
) -> None:
    """Print the tables of a run, or of several side by side; no model is asked again."""
    if markdown + latex + as_csv + as_json > 1:
        raise UsageError("Only one of --markdown, --latex, --csv and --json can be printed at a time.")
    results, tables = open_runs(runs, protocol, extraction)
    keys = tuple(table or ())
    if parquet:
        from mmdbench.report.render.flat import write_parquet

        write_parquet(tables, parquet, keys)
    if html:
        from mmdbench.cli.page import save_page

        save_page(results, tables, html)
        return
    if markdown or latex or as_csv or as_json:
        typer.echo(_text(tables, keys, (markdown, latex, as_csv), intervals=intervals), nl=False)
        return
    from rich.console import Console

    from mmdbench.report.render.console import console

    Console().print(console(tables, keys))
    if len(results) == len(runs) == 1 and not (keys or protocol or extraction):
        from mmdbench.report.render.writing import write_report

        for path in write_report(Path(runs[0]), results[0], tables):
            typer.echo(f"  {path}")


def open_runs(names: list[str], protocol: str = "", extraction: str = "") -> tuple[list[RunResults], Tables]:
    """Grade the runs among the names and put the published results beside them."""
    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.report.published import is_published, published_rows
    from mmdbench.report.tables.collect import make_tables
    from mmdbench.results.results import load_results

    folders = [Path(name) for name in names if not is_published(name)]
    results = [load_results(folder, protocol=protocol, extraction=extraction) for folder in folders]
    if not results:
        raise UsageError("No run to report.", hint="Name the folder of one beside the published results.")
    titles = [run.title(bench) for run in results for bench in run.benches]
    published = [published_rows(name) for name in names if is_published(name)]
    shared = [result for result in published if {row.name for row in result.main} & set(titles)]
    published = [published_rows(r.label, titles) if r in shared else r for r in published]
    reference = names[0] if is_published(names[0]) else ""
    return results, make_tables(results, load_spec(), published, reference)


def _text(tables: Tables, keys: tuple[str, ...], wanted: tuple[bool, bool, bool], *, intervals: bool) -> str:
    from mmdbench.report.render import flat, latex, markdown, writing

    if wanted[0]:
        return markdown.markdown(tables, keys)
    if wanted[1]:
        return latex.latex(tables, keys, intervals=intervals)
    return flat.as_csv(tables, keys) if wanted[2] else writing.as_json(tables, keys)
