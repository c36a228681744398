"""Calls, tokens and cost of a judge, as the verbs print them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

__all__ = ["print_judge_usage"]


def print_judge_usage(usage: Mapping[str, Any]) -> None:
    """Print what `ModelJudge.usage` counted to stderr."""
    tokens = usage["tokens"]
    typer.echo(
        f"mmdbench: judge {usage['judge']}: {usage['requests_sent']} requests, {tokens['read']} tokens read, "
        f"{tokens['written']} written, ${usage['cost_usd']:.4g}",
        err=True,
    )
