"""What a verb does when it cannot go on: one line on standard error and the right exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from mmdbench.errors import MmdbenchError

__all__ = ["INTERRUPTED", "guarded"]

INTERRUPTED = 130

P = ParamSpec("P")
R = TypeVar("R")


def guarded(verb: Callable[P, R]) -> Callable[P, R]:
    """The verb, with mmdbench's errors printed rather than traced, and Ctrl-C as exit 130."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return verb(*args, **kwargs)
        except MmdbenchError as error:
            print(f"mmdbench: {error}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as interrupt:
            print("mmdbench: stopped. Run the same command to go on from here.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from interrupt

    return run
