"""`mmdbench export`: a run's replies as files that other tools grade."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared.urls import FOLDER

__all__ = ["export"]


def export(
    run: Annotated[Path, typer.Argument(parser=FOLDER, help="The folder of a run.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the files.")],
    format: Annotated[  # noqa: A002 - the option's name
        str, typer.Option("--format", help="vlmevalkit (a spreadsheet for each arm) or jsonl")
    ] = "vlmevalkit",
    extraction: Annotated[
        str, typer.Option(help="Which part of a reply is graded: sane, clear, none (default: the run's)")
    ] = "",
) -> None:
    """Write a run's replies as prediction files, which VLMEvalKit grades to the same numbers."""
    from mmdbench.results.export import NO_ANSWER, export_run

    made = export_run(run, out, form=format, extraction=extraction)
    for file in made:
        typer.echo(f"  {file.path}  {file.dataset}, {file.rows} rows")
    if format != "vlmevalkit":
        return
    without = sum(file.without_answer for file in made)
    if without:
        typer.echo(f"{without} rows have no reply; they read {NO_ANSWER!r}, which is a miss there as here.")
    rewritten = sum(file.rewritten for file in made)
    if rewritten:
        typer.echo(
            f"{rewritten} replies hold formulas, links or control characters. They are written as they are; "
            "in a spreadsheet of its own VLMEvalKit would have changed them."
        )
    if made:
        typer.echo(f"Grade one with: vlmutil eval {made[0].dataset} {made[0].path}")
