"""`mmdbench export`: replies and scores of a run in files of other tools, or its numbers in a tracker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from mmdbench.library.run import ExportedScores, Run

__all__ = ["export"]


def export(
    run: opts.RunFolder,
    out: opts.FilesOutOrNone = None,
    format: Annotated[  # noqa: A002 - the option's name
        str,
        typer.Option(
            "--format",
            help="Format of replies: vlmevalkit (a spreadsheet for each arm) or jsonl; or of scores: "
            "huggingface, lm-eval, inspect or every-eval-ever.",
        ),
    ] = "",
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            help="With huggingface: published build, owner/name, whose leaderboard the scores are for.",
        ),
    ] = "",
    to: Annotated[
        str, typer.Option(help="Log scores and drops to wandb, mlflow, trackio or tensorboard instead.")
    ] = "",
    developer: Annotated[
        str, typer.Option("--developer", help="With every-eval-ever: developer of the model.")
    ] = "",
    extraction: opts.Extraction = "",
) -> None:
    """Write a run's replies or scores in the formats of other tools, or log its scores."""
    from mmdbench.library.run import EXPORT_FORMATS, RESULT_FORMATS, Run

    if format and format not in EXPORT_FORMATS:
        raise UnknownNameError("export format", format, EXPORT_FORMATS)
    for option, value, form in (
        ("--dataset", dataset, "huggingface"),
        ("--developer", developer, "every-eval-ever"),
    ):
        if value and format != form:
            raise UsageError(f"{option} is for --format {form}.")
    if to:
        if format:
            raise UsageError("Only one of --format and --to may be given.")
        _log(run, to, out, extraction)
        return
    if out is None:
        raise UsageError("Prediction files need a folder.", hint="Name it with -o.")
    if format in RESULT_FORMATS:
        found = Run(run, extraction=extraction)
        _print_scores(found, found.export_scores(out, format, dataset=dataset, developer=developer))
    else:
        _write(run, out, format or "vlmevalkit", extraction)


def _print_scores(found: Run, made: ExportedScores) -> None:
    for path in made.files:
        say(f"  {path}")
    for bench in made.without_score:
        say(f"{bench} has no score and is left out.", err=True)
    if found.problem:
        say(f"INCOMPLETE: {found.problem}", err=True)


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
