"""`mmdbench check`: compare a run with a baseline, for continuous integration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_ages, print_json, print_rendering, say
from mmdbench.cli._shared.urls import LOCAL

__all__ = ["check"]


def check(
    run: opts.RunFolder,
    baseline: Annotated[Path, typer.Option(parser=LOCAL, help="File of the baseline, made to be committed.")],
    gate: Annotated[
        list[str] | None,
        typer.Option(
            help="Rows and the points they may lose: macro-hard:1.0, 'MMStar/*/hard:3'; repeatable."
        ),
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Write the run as the new baseline.")] = False,
    alpha: Annotated[
        float, typer.Option(help="Chance that the check fails although nothing changed, below 0.5.")
    ] = 0.05,
    require_fresh: Annotated[
        str, typer.Option(help="Exit with 4 if the oldest reply is older than this: 12h, 7d.")
    ] = "",
    junit: Annotated[Path | None, typer.Option(parser=LOCAL, help="Write JUnit XML to this file.")] = None,
    as_json: opts.Json = False,
    judge: opts.Judge = "",
    allow_model_change: opts.AllowModelChange = False,
) -> None:
    """Compare a run with a baseline, and fail if it got worse.

    Exit code: 0 no regression, 1 regression, 2 wrong use or incomparable, 3 cannot tell, 4 incomplete.
    """
    from mmdbench.library import load_run
    from mmdbench.library.screen import Screen
    from mmdbench.system.files import write_atomic

    loaded = load_run(run, judge=judge)
    if accept:
        count = loaded.accept(baseline, require_fresh=require_fresh, allow_model_change=allow_model_change)
        print_ages(loaded.report)
        say(f"{count} grades of {loaded.name} are now the baseline {baseline}")
        return
    found = loaded.check(
        baseline,
        gate or (),
        alpha=alpha,
        require_fresh=require_fresh,
        allow_model_change=allow_model_change,
    )
    if junit:
        write_atomic(junit, found.junit())
    step = os.environ.get("GITHUB_STEP_SUMMARY")
    if step:
        with Path(step).open("a", encoding="utf-8") as file:
            file.write(found.markdown())
    if as_json:
        print_json(found.as_dict())
    else:
        Screen().print(found)
    if os.environ.get("GITHUB_ACTIONS"):
        for line in found.annotations():
            # GitHub reads both streams; standard output is for JSON alone.
            print_rendering(f"{line}\n", err=as_json)
    raise typer.Exit(found.exit_code)
