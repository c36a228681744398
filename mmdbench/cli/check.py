"""`mmdbench check`: compare a run with a baseline, for continuous integration."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_freshness, print_json, print_rendering, say
from mmdbench.cli._shared.urls import LOCAL

if TYPE_CHECKING:
    from mmdbench.check import CheckReport

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
    from mmdbench.check import accept as write_baseline
    from mmdbench.check import check_run, parse_gate, read_baseline, refusal
    from mmdbench.check.output import github_lines
    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.results.graded_run import load_results
    from mmdbench.system.durations import parse_age

    gates = [parse_gate(text) for text in gate or ()]
    results = load_results(run, judged_by=judge)
    oldest = parse_age("--require-fresh", require_fresh)
    if accept:
        count = write_baseline(results, baseline, oldest, allow_model_change=allow_model_change)
        print_freshness([results])
        say(f"{count} grades of {results.name} are now the baseline {baseline}")
        return
    # A run that gets no verdict says so whether its baseline can be read or not.
    report = refusal(results, alpha, oldest)
    if report is None:
        before = read_baseline(baseline, allow_model_change=allow_model_change)
        report = check_run(results, before, load_spec(), gates, alpha, oldest)
    _write(report, junit)
    if as_json:
        print_json(asdict(report))
    else:
        _print(report)
    if os.environ.get("GITHUB_ACTIONS"):
        for line in github_lines(report):
            # GitHub reads both streams; standard output is for JSON alone.
            print_rendering(f"{line}\n", err=as_json)
    raise typer.Exit(report.exit_code)


def _write(report: CheckReport, path: Path | None) -> None:
    from mmdbench.check.output import junit_xml, markdown_summary
    from mmdbench.system.files import write_atomic

    if path:
        write_atomic(path, junit_xml(report))
    step = os.environ.get("GITHUB_STEP_SUMMARY")
    if step:
        with Path(step).open("a", encoding="utf-8") as file:
            file.write(markdown_summary(report))


def _print(report: CheckReport) -> None:

    from mmdbench.check.output import check_table, detectable_losses
    from mmdbench.library.screen import Screen, styled
    from mmdbench.report.render.console import grid
    from mmdbench.results.freshness import freshness_line

    screen = Screen()
    for note in report.notes:
        screen.print(styled(f"differs from the baseline in {note}", style="dim"))
    for note in report.run_notes:
        screen.print(styled(note, style="bold red" if report.problem else "dim"))
    if report.freshness:
        screen.print(styled(freshness_line(report.freshness), style="dim"))
    if report.problem:
        screen.print(styled(f"INCOMPLETE: {report.problem}", style="bold red"))
    else:
        screen.print(grid(check_table(report)))
        for place, line in enumerate(detectable_losses(report)):
            screen.print(styled(f"  {line}" if place else line))
    meaning = {0: "no regression", 1: "regression", 3: "cannot tell", 4: "incomplete"}
    screen.print(styled(f"{meaning[report.exit_code]} (exit code {report.exit_code})", style="bold"))
