"""Output that several verbs print: JSON, paths of written files, and a judge's cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

__all__ = ["print_json", "print_judge_usage", "print_paths"]


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def print_paths(paths: Iterable[Path]) -> None:
    """Print the written files, one a line."""
    for path in paths:
        typer.echo(f"  {path}")


def print_judge_usage(usage: Mapping[str, Any]) -> None:
    """Print what `ModelJudge.usage` counted to stderr."""
    tokens = usage["tokens"]
    typer.echo(
        f"mmdbench: judge {usage['judge']}: {usage['requests_sent']} requests, {tokens['read']} tokens read, "
        f"{tokens['written']} written, ${usage['cost_usd']:.4g}",
        err=True,
    )
