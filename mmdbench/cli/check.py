"""`mmdbench check`: compare a run with a baseline, for continuous integration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.failure_files import FailureFilesCommand
from mmdbench.cli._shared.output import print_ages, print_json, print_rendering, say
from mmdbench.cli._shared.urls import LOCAL

if TYPE_CHECKING:
    from mmdbench.library import CheckResult

__all__ = ["COMMAND", "check"]

COMMAND = FailureFilesCommand
"""The command of the verb: its files for machines are written also if it ends with an error."""


def check(
    run: opts.RunFolder,
    baseline: Annotated[Path, typer.Option(parser=LOCAL, help="File of the baseline, made to be committed.")],
    gate: Annotated[
        list[str] | None,
        typer.Option(
            help="Rows and the points they may lose: macro-hard:1.0, 'MMStar/*/hard:3'; repeatable. Without "
            "one the means at hard and clean may lose what their questions can decide."
        ),
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Write the run as the new baseline.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --accept: replace also a better baseline.")
    ] = False,
    alpha: Annotated[
        float, typer.Option(help="Chance that the check fails although nothing changed, below 0.5.")
    ] = 0.05,
    unclear: Annotated[
        str,
        typer.Option(help="Where a row cannot tell: fail (exit code 3), or warn and pass (exit code 0)."),
    ] = "fail",
    require_fresh: Annotated[
        str, typer.Option(help="Exit with 4 if the oldest reply is older than this: 12h, 7d.")
    ] = "",
    junit: Annotated[
        Path | None,
        typer.Option(
            parser=LOCAL, help="Write JUnit XML to this file, also if the check ends with an error."
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(parser=LOCAL, help="Write Markdown for a comment on a pull request to this file."),
    ] = None,
    as_json: opts.Json = False,
    judge: opts.Judge = "",
    allow_model_change: opts.AllowModelChange = False,
) -> None:
    """Compare a run with a baseline, and fail if it got worse.

    Exit code: 0 no regression, 1 regression, 2 wrong use or incomparable, 3 cannot tell, 4 incomplete.
    """
    from mmdbench.library import load_run
    from mmdbench.system.files import require_writable

    for file in filter(None, (junit, markdown, baseline if accept else None)):
        require_writable(file)
    loaded = load_run(run, judge=judge)
    if accept:
        done = loaded.accept(
            baseline, require_fresh=require_fresh, allow_model_change=allow_model_change, force=force
        )
        print_ages(loaded.report)
        for line in done.lines():
            say(f"  {line}")
        say(f"{done.grades} grades of {loaded.name} are now the baseline {baseline}")
        if junit or markdown:  # of the run beside itself, so that they say what is accepted
            same = loaded.check(baseline, gate or (), alpha=alpha, allow_model_change=allow_model_change)
            _write_files(same, junit, markdown)
        return
    found = loaded.check(
        baseline,
        gate or (),
        alpha=alpha,
        require_fresh=require_fresh,
        allow_model_change=allow_model_change,
        unclear=unclear,
    )
    _write_files(found, junit, markdown)
    _print(found, as_json=as_json)
    raise typer.Exit(found.exit_code)


def _write_files(found: CheckResult, junit: Path | None, markdown: Path | None) -> None:
    from mmdbench.system.files import write_atomic

    if junit:
        write_atomic(junit, found.junit())
    if markdown:
        write_atomic(markdown, found.comment())
    step = os.environ.get("GITHUB_STEP_SUMMARY")
    if step:
        with Path(step).open("a", encoding="utf-8") as file:
            file.write(found.markdown())


def _print(found: CheckResult, *, as_json: bool) -> None:
    from mmdbench.library.screen import Screen

    if as_json:
        print_json(found.as_dict())
    else:
        Screen().print(found)
    if os.environ.get("GITHUB_ACTIONS"):
        for line in found.annotations():
            # GitHub reads both streams; standard output is for JSON alone.
            print_rendering(f"{line}\n", err=as_json)
