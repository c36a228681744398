"""What a verb does when it cannot go on: one line on standard error and the right exit code."""

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

from mmdbench.cli._shared.urls import ready
from mmdbench.errors import MmdbenchError

__all__ = ["INTERRUPTED", "guarded"]

INTERRUPTED = 130

_NEXT_URL = re.compile(r",(?=[A-Za-z][A-Za-z0-9+.\-]+://)")
_START = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")

P = ParamSpec("P")
R = TypeVar("R")


def guarded(verb: Callable[P, R]) -> Callable[P, R]:
    """The verb, with mmdbench's errors printed rather than traced, and Ctrl-C as exit 130."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _plain_warnings(), ready(kwargs) as values:
                return verb(*args, **values)
        except MmdbenchError as error:
            print(f"mmdbench: {error}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as interrupt:
            print(f"mmdbench: stopped. Run the same command to go on from here{_command()}", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from interrupt

    return run


def _command() -> str:
    # Called from a program of somebody else's, sys.argv is that program's.
    if Path(sys.argv[0]).stem not in ("mmdbench", "__main__"):
        return "."
    return f": {shlex.join(['mmdbench', *map(_plain, sys.argv[1:])])}"


def _plain(word: str) -> str:
    """A word of the command without what may be secret in its URLs, in an option or a list as well."""
    from mmdbench.system.remote import plain_url

    parts = []
    for part in _NEXT_URL.split(word):
        found = _START.search(part)
        # A comma before anything but a URL may belong to a secret, so what follows a query goes with it.
        parts.append(part[: found.start()] + plain_url(part[found.start() :]) if found else part)
    return ",".join(parts)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print mmdbench's own warnings as one line, without the place in the code that gave them."""
    usual = warnings.formatwarning

    def form(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if category.__module__.partition(".")[0] == "mmdbench":
            return f"mmdbench: warning: {message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = form
    try:
        yield
    finally:
        warnings.formatwarning = usual
