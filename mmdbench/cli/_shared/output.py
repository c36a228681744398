"""Output that several verbs print: JSON, paths of written files, and a judge's cost."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mmdbench.system.durations import duration
from mmdbench.system.printable import json_text, log_line

if TYPE_CHECKING:
    from mmdbench.cli._shared.terminal import Terminal
    from mmdbench.library import Forecast, Report, Run

__all__ = [
    "EXAMPLES",
    "STANDARD_OUTPUT",
    "print_ages",
    "print_forecasts",
    "print_json",
    "print_next",
    "print_page",
    "print_paths",
    "print_rendering",
    "print_report",
    "print_runs",
    "say",
]

STANDARD_OUTPUT = Path("-")
"""The path that means standard output."""

EXAMPLES = 2000
"""Most examples with pictures on a page, unless a number is given."""


def say(line: str, *, err: bool = False) -> None:
    """Print one line of text to standard output or to stderr, as `log_line` shows it."""
    typer.echo(log_line(line), err=err)  # noqa: TID251 - here


def print_rendering(text: str, *, err: bool = False) -> None:
    """Print lines that their renderer has made safe, such as Markdown, CSV or commands of GitHub."""
    typer.echo(text, nl=False, err=err)  # noqa: TID251 - here


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    print_rendering(json_text(value, indent=1) + "\n")


def print_paths(paths: Iterable[Path]) -> None:
    """Print the written files, those of a folder on one line."""
    folders: dict[Path, list[str]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path.name)
    for folder, names in folders.items():
        say(f"Written to {folder}: {', '.join(names)}")


def print_next(report: Report, runs: Sequence[str | Path]) -> None:
    """Print commands that show more of the runs of a report."""
    named = shlex.join(map(str, runs))
    several = len(runs) > 1
    tables = (
        ("corruption-models",) if several else ("corruption", "perception-corruptions", "perception-chains")
    )
    words = [f"report {named} --table {key}" for key in tables if key in report.tables]
    if several and len(report.results) > 1:
        words.append(f"compare {named}")
    elif report.results and not several:
        words.append(f"page {named} -o {shlex.quote(str(Path(runs[0]) / 'page.html'))}")
    for place, command in enumerate(words):
        say(f"{'      ' if place else 'Next: '}mmdbench {command}")


def print_ages(report: Report, *, err: bool = False) -> None:
    """Print the ages of the replies of each run, one a line, to standard output or to stderr."""
    for line in report.ages():
        say(line, err=err)


def print_page(
    report: Report,
    out: Path,
    screen: Terminal,
    *,
    data_dir: Path | None = None,
    image_root: Path | None = None,
    examples: int = EXAMPLES,
) -> None:
    """Write the page of a report with a progress bar, and print the ages of its replies and what it holds.

    Args:
        report: The report.
        out: HTML file to write; `-` for standard output, with everything else on stderr.
        screen: Shows the progress.
        data_dir: Folder of benchmark files.
        image_root: Folder of the pictures that a TSV names.
        examples: Most examples with pictures.
    """
    piped = out == STANDARD_OUTPUT
    print_ages(report, err=piped)
    place = typer.get_binary_stream("stdout") if piped else out
    made = report.page(place, examples=examples, data_dir=data_dir, image_root=image_root, interface=screen)
    for note in made.notes:
        say(note, err=piped)
    size = f"{made.size / 1e6:.1f} MB"
    say(f"  {made.path} ({size}, {made.examples} examples, {made.pictures} pictures)", err=piped)


def print_runs(runs: Sequence[Run], *, as_json: bool = False) -> None:
    """Print one report of runs with the places of their files, or as JSON alone.

    Each run's own report is written into its folder, if it is by the run's default judge.
    """
    from mmdbench.library import load_report

    report = runs[0].report if len(runs) == 1 else load_report(*runs)
    print_report(report, as_json=as_json)
    paths = [path for run in runs if run.shown_by_default for path in run.report.write(run.folder)]
    if not as_json:
        print_paths(paths)
        print_next(report, [run.folder for run in runs])
    for line in (line for run in runs for line in run.shown_by_report()):
        say(line, err=True)


def print_report(report: Report, *, as_json: bool = False) -> None:
    """Print a report and the ages of its replies, or JSON on standard output and the ages on stderr."""
    from mmdbench.library.screen import Screen

    if as_json:
        print_rendering(report.text("json"))
    else:
        Screen().print(report)
    print_ages(report, err=as_json)


def print_forecasts(found: Sequence[tuple[str, str, Forecast]], *, as_json: bool) -> None:
    """Print forecasts of runs, each with its model and its label; as JSON a list if there are several."""
    records = [{"model": name, **asdict(one), "to_ask": one.to_ask} for name, _, one in found]
    if as_json:
        print_json(records[0] if len(records) == 1 else records)
        return
    for _, label, one in found:
        if len(found) > 1:
            say(f"{label}:")
        _print_forecast(one)


def _print_forecast(found: Forecast) -> None:
    from mmdbench.benches.catalog import bench_title

    questions = ", ".join(f"{bench_title(name)} {count}" for name, count in found.questions.items())
    cost = "unknown: the model card has no price" if found.usd is None else f"{found.usd:,.2f} US dollars"
    if found.price and found.usd is not None:
        cost += f" at {found.price}"
    rows = {
        "requests": f"{found.requests:,}",
        "already answered": f"{found.answered:,}",
        "to ask": f"{found.to_ask:,} with {found.images:,} images",
        **({"canary": f"{found.canary:,} requests with a picture each"} if found.canary else {}),
        "tokens": f"{found.tokens_read:,} read, {found.tokens_written:,} written",
        "cost": cost,
        "time": "unknown" if found.seconds is None else duration(found.seconds),
        "basis": found.basis,
        "questions": questions,
        "95 % interval": f"± {found.score:.1f} points on a score of a half",
    }
    if found.drop is not None:
        rows["… of a drop"] = f"± {found.drop:.1f} points, if one answer in ten flips"
    for name, value in rows.items():
        say(f"{name:>17}  {value}")
