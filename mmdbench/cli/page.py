"""`mmdbench page`: a run's report as one HTML file, with its answers beside their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared.urls import DATA_DIR, RUN

if TYPE_CHECKING:
    from mmdbench.report.tables.collect import Tables
    from mmdbench.results.results import RunResults

__all__ = ["page", "save_page"]


def page(
    runs: Annotated[
        list[str],
        typer.Argument(parser=RUN, help="Folders of runs, and published results such as paper:clear-rl."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The HTML file.")] = Path("report.html"),
    examples: Annotated[int, typer.Option(min=0, help="At most so many examples with pictures.")] = 2000,
    data_dir: Annotated[Path | None, typer.Option(parser=DATA_DIR, help="Where benchmark files lie.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Write a page that shows where a model loses, and on which pictures; it opens without a network."""
    from mmdbench.cli.report import open_runs

    results, tables = open_runs(runs)
    save_page(results, tables, out, data_dir=data_dir, examples=examples, quiet=quiet)


def save_page(
    results: list[RunResults],
    tables: Tables,
    out: Path,
    *,
    data_dir: Path | None = None,
    examples: int = 2000,
    quiet: bool = False,
) -> None:
    """Write the page of graded runs with a progress bar, and say what it holds."""
    from mmdbench.cli._shared.progress import Bar
    from mmdbench.report.page import write_page

    with Bar("Pictures", quiet=quiet, unit="questions") as bar:
        made = write_page(
            results,
            tables,
            out,
            data_dir=data_dir,
            examples=examples,
            on_progress=lambda done, total: bar.update(done, total, ""),
        )
    for note in made.notes:
        typer.echo(note)
    size = f"{made.size / 1e6:.1f} MB"
    typer.echo(f"  {made.path} ({size}, {made.examples} examples, {made.pictures} pictures)")
