"""`mmdbench export`: a run's replies in files that other tools grade, or its numbers in a tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.errors import UsageError

__all__ = ["export"]


def export(
    run: opts.RunFolder,
    out: opts.FilesOutOrNone = None,
    format: Annotated[  # noqa: A002 - the option's name
        str, typer.Option("--format", help="Format: vlmevalkit (a spreadsheet for each arm) or jsonl.")
    ] = "",
    to: Annotated[
        str, typer.Option(help="Log scores and drops to wandb, mlflow, trackio or tensorboard instead.")
    ] = "",
    extraction: opts.Extraction = "",
) -> None:
    """Write a run's replies as prediction files, for VLMEvalKit or as JSON lines, or log its scores."""
    if to:
        if format:
            raise UsageError("Only one of --format and --to may be given.")
        _log(run, to, out, extraction)
        return
    if out is None:
        raise UsageError("Prediction files need a folder.", hint="Name it with -o.")
    _write(run, out, format or "vlmevalkit", extraction)


def _log(run: Path, to: str, out: Path | None, extraction: str) -> None:
    from mmdbench.library import Run

    found = Run(run, extraction=extraction)
    numbers = found.log_to(to, out)
    if found.problem:
        say(f"INCOMPLETE: {found.problem}", err=True)
    say(f"{len(numbers)} numbers of {found.name} were sent to {to}.")


def _write(run: Path, out: Path, form: str, extraction: str) -> None:
    from mmdbench.library import Run
    from mmdbench.library.run import NO_ANSWER

    made = Run(run).export(out, form=form, extraction=extraction)
    for file in made:
        say(f"  {file.path}  {file.dataset}, {file.rows} rows")
    if form != "vlmevalkit":
        return
    without = sum(file.without_answer for file in made)
    if without:
        say(f"{without} rows have no reply; they read {NO_ANSWER!r}, which is a miss there as here.")
    rewritten = sum(file.rewritten for file in made)
    if rewritten:
        say(
            f"{rewritten} replies hold formulas, links or control characters. They are written as they are; "
            "in a spreadsheet of its own VLMEvalKit would have changed them."
        )
    if made:
        say(f"Grade one with: vlmutil eval {made[0].dataset} {made[0].path}")
