"""Output that several verbs print: JSON, paths of written files, and a judge's cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mmdbench.models.cards import ModelCard
    from mmdbench.results.graded_run import RunResults

__all__ = [
    "print_freshness",
    "print_json",
    "print_judge_usage",
    "print_note",
    "print_paths",
    "print_retirement",
]


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def print_paths(paths: Iterable[Path]) -> None:
    """Print the written files, one a line."""
    for path in paths:
        typer.echo(f"  {path}")


def print_freshness(runs: Sequence[RunResults], *, err: bool = False) -> None:
    """Print the ages of the replies of each run, one a line, to standard output or to stderr."""
    from mmdbench.results.freshness import freshness, freshness_line

    for run in runs:
        name = f"{run.name}: " if len(runs) > 1 else ""
        typer.echo(f"{name}{freshness_line(freshness(run))}", err=err)


def print_retirement(card: ModelCard) -> None:
    """Print the day of the model's retirement by its provider to stderr, if one is announced."""
    from mmdbench.models.cards import retirement

    sentence = retirement(card)
    if sentence:
        typer.echo(f"mmdbench: {sentence}", err=True)


def print_note(note: str) -> None:
    """Print a note on a model card to stderr."""
    typer.echo(f"mmdbench: {note}.", err=True)


def print_judge_usage(usage: Mapping[str, Any], role: str = "judge") -> None:
    """Print what `ModelJudge.usage` counted to stderr, of a judge or of a model with another role."""
    tokens = usage["tokens"]
    typer.echo(
        f"mmdbench: {role} {usage['judge']}: {usage['requests_sent']} requests, "
        f"{tokens['read']} tokens read, {tokens['written']} written, ${usage['cost_usd']:.4g}",
        err=True,
    )
