"""Output that several verbs print: JSON, paths of written files, and a judge's cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mmdbench.system.printable import json_text, log_line

if TYPE_CHECKING:
    from mmdbench.models.cards import ModelCard
    from mmdbench.results.graded_run import RunResults

__all__ = [
    "print_freshness",
    "print_json",
    "print_judge_usage",
    "print_note",
    "print_paths",
    "print_rendering",
    "print_retirement",
    "say",
]


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
    """Print the written files, one a line."""
    for path in paths:
        say(f"  {path}")


def print_freshness(runs: Sequence[RunResults], *, err: bool = False) -> None:
    """Print the ages of the replies of each run, one a line, to standard output or to stderr."""
    from mmdbench.results.freshness import freshness, freshness_line

    for run in runs:
        name = f"{run.name}: " if len(runs) > 1 else ""
        say(f"{name}{freshness_line(freshness(run))}", err=err)


def print_retirement(card: ModelCard) -> None:
    """Print the day of the model's retirement by its provider to stderr, if one is announced."""
    from mmdbench.models.cards import retirement

    sentence = retirement(card)
    if sentence:
        say(f"mmdbench: {sentence}", err=True)


def print_note(note: str) -> None:
    """Print a note on a model card to stderr."""
    say(f"mmdbench: {note}.", err=True)


def print_judge_usage(usage: Mapping[str, Any], role: str = "judge") -> None:
    """Print what `ModelJudge.usage` counted to stderr, of a judge or of a model with another role."""
    tokens = usage["tokens"]
    say(
        f"mmdbench: {role} {usage['judge']}: {usage['requests_sent']} requests, "
        f"{tokens['read']} tokens read, {tokens['written']} written, ${usage['cost_usd']:.4g}",
        err=True,
    )
