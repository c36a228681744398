"""Error exits of verbs: one line on standard error and the exit code of the error."""

from __future__ import annotations

import functools
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import typer

from mmdbench.cli._shared.urls import open_urls
from mmdbench.errors import MmdbenchError

__all__ = ["INTERRUPTED", "guarded"]

INTERRUPTED = 130

_NEXT_URL = re.compile(r",(?=[A-Za-z][A-Za-z0-9+.\-]+://)")
_START = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")

P = ParamSpec("P")
R = TypeVar("R")


def guarded(verb: Callable[P, R]) -> Callable[P, R]:
    """Wrap a verb: URLs become paths, errors of mmdbench become one line, and Ctrl-C exits with 130."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _plain_warnings(), open_urls(kwargs) as values:
                return verb(*args, **values)
        except MmdbenchError as error:
            print(f"mmdbench: {error}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as interrupt:
            print(f"mmdbench: stopped. Run the same command to resume{_command()}", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from interrupt

    return run


def _command() -> str:
    # Inside another program, such as a test runner, sys.argv is not a command of ours.
    if Path(sys.argv[0]).stem not in ("mmdbench", "__main__"):
        return "."
    return f": {shlex.join(['mmdbench', *map(_plain, sys.argv[1:])])}"


def _plain(word: str) -> str:
    """A word of the command with secrets removed from its URLs, also inside options and lists."""
    from mmdbench.system.remote import plain_url

    parts = []
    for part in _NEXT_URL.split(word):
        found = _START.search(part)
        # A comma that no URL follows may be part of a secret, so the text after it is removed with it.
        parts.append(part[: found.start()] + plain_url(part[found.start() :]) if found else part)
    return ",".join(parts)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print warnings of mmdbench as one line, without a place in the code."""
    original = warnings.formatwarning

    def form(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if category.__module__.partition(".")[0] == "mmdbench":
            return f"mmdbench: warning: {message}\n"
        return original(message, category, filename, lineno, line)

    warnings.formatwarning = form
    try:
        yield
    finally:
        warnings.formatwarning = original
