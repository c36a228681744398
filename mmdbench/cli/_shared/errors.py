"""Error exits of verbs: one line on standard error and the exit code of the error.

An exception that mmdbench did not expect is printed with its traceback and exits with 70, never with 1:
that means that `check` found a regression, or `verify` damage.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import re
import shlex
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

import typer

from mmdbench.cli._shared.output import print_rendering, say
from mmdbench.cli._shared.urls import open_urls
from mmdbench.errors import MmdbenchError, UsageError
from mmdbench.system.files import out_of_resources
from mmdbench.system.printable import log_line
from mmdbench.system.secrets import hide_in_addresses, hide_in_options, hide_secrets

__all__ = [
    "INTERRUPTED",
    "PIPE_CLOSED",
    "UNEXPECTED",
    "end_stopped",
    "guarded",
    "plain_word",
    "print_stopped",
    "print_unexpected",
    "replace_unprintable",
]

INTERRUPTED = 130
PIPE_CLOSED = 141
"""As a shell reports a program that writes to a closed pipe: 128 + SIGPIPE."""
UNEXPECTED = 70
"""The exit code of an exception that is a fault of mmdbench or of a plug-in (`EX_SOFTWARE`)."""

_NEXT_URL = re.compile(r",(?=[A-Za-z][A-Za-z0-9+.\-]+://)")
_START = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")

_STOP_SAID = threading.Event()

P = ParamSpec("P")
R = TypeVar("R")


def guarded(verb: Callable[P, R]) -> Callable[P, R]:
    """Wrap a verb: URLs become paths, errors of mmdbench become one line, and a stop exits with 130.

    Stops are Ctrl-C, SIGTERM and SIGHUP.
    """

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _plain_warnings(), open_urls(kwargs) as values:
                return verb(*args, **values)
        except MmdbenchError as error:
            say(f"mmdbench: {hide_in_addresses(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from error
        except (KeyboardInterrupt, typer.Abort) as interrupt:  # Abort: while it waited for an answer
            print_stopped()
            raise typer.Exit(INTERRUPTED) from interrupt
        except (typer.Exit, typer.BadParameter):
            raise
        except BrokenPipeError as error:
            _drop_output()
            raise typer.Exit(PIPE_CLOSED) from error
        except UnicodeEncodeError as error:
            if not _is_name(error):
                print_unexpected(error)
                raise typer.Exit(UNEXPECTED) from error
            say(f"mmdbench: {_unwritable_name(error)}", err=True)
            raise typer.Exit(UsageError.exit_code) from error
        except (Exception, SystemExit) as error:
            known = out_of_resources(error) if isinstance(error, OSError) else None
            if known is None:
                print_unexpected(error)
                raise typer.Exit(UNEXPECTED) from error
            try:
                sys.stdout.flush()
            except OSError:
                _drop_output()
            say(f"mmdbench: {known}", err=True)
            raise typer.Exit(known.exit_code) from error

    return run


def print_stopped() -> None:
    """Print that the command was stopped, and the one that resumes it."""
    _STOP_SAID.set()
    say(_stopped(), err=True)


def end_stopped() -> None:
    """End the process, whatever its threads wait for; what is not stored by now is lost."""
    with suppress(OSError):
        if not _STOP_SAID.is_set():
            os.write(2, f"{log_line(_stopped())}\n".encode())  # a print may have been interrupted
    os._exit(INTERRUPTED)


def _stopped() -> str:
    return f"mmdbench: stopped. Run the same command to resume{_command()}"


def _is_name(error: UnicodeEncodeError) -> bool:
    """True if a text that cannot be encoded holds the name of a file.

    A name that is no text in the system's encoding has surrogates in Python; other names fail where file
    names cannot hold them.
    """
    failed = error.object[error.start : error.end]
    return any("\ud800" <= c <= "\udfff" for c in failed) or sys.getfilesystemencoding() == error.encoding


def _unwritable_name(error: UnicodeEncodeError) -> str:
    shown = error.object[max(0, error.start - 20) : error.end + 20]
    encoding = sys.getfilesystemencoding()
    advice = "Rename the file." if encoding == "utf-8" else "Set PYTHONUTF8=1, or rename the file."
    return f"The name {shown!a} is not text in {encoding}, the encoding of file names here. {advice}"


def print_unexpected(error: BaseException) -> None:
    """Print the traceback of an exception, and a line that says how to report it."""
    lines = _without_secrets("".join(traceback.format_exception(error)))
    print_rendering(_plain_lines(lines), err=True)
    what = _without_secrets(traceback.format_exception_only(error)[-1].strip())
    say(
        f"mmdbench: unexpected error ({what}), a fault of mmdbench or of a plug-in; stored replies are safe. "
        "Please report it to its maintainers with the lines above, the command, and mmdbench --version.",
        err=True,
    )


def _without_secrets(text: str) -> str:
    return hide_secrets(hide_in_addresses(text))


def replace_unprintable() -> None:
    """Let the console show a replacement for each character that its encoding cannot carry."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _drop_output() -> None:
    # Python flushes standard output when it exits, which would fail again.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command() -> str:
    # Inside another program, such as a test runner, sys.argv is not a command of ours.
    if Path(sys.argv[0]).stem not in ("mmdbench", "__main__"):
        return "."
    return f": {hide_in_options(shlex.join(['mmdbench', *map(plain_word, sys.argv[1:])]))}"


def plain_word(word: str) -> str:
    """A word of the command, or a text, with secrets removed from its URLs, also inside options and lists."""
    from mmdbench.system.remote import plain_url

    parts = []
    for part in _NEXT_URL.split(word):
        found = _START.search(part)
        # A comma that no URL follows may be part of a secret, so the text after it is removed with it.
        parts.append(part[: found.start()] + plain_url(part[found.start() :]) if found else part)
    return ",".join(parts)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print warnings of mmdbench as one line, without a place in the code, and others and logs as text."""
    original = warnings.formatwarning

    def form(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if category.__module__.partition(".")[0] == "mmdbench":
            return f"mmdbench: warning: {log_line(str(message))}\n"
        return _plain_lines(original(message, category, filename, lineno, line))

    warnings.formatwarning = form
    last = logging.lastResort  # the handler of a program that has set up none
    if last is not None:
        last.setFormatter(_PlainFormatter())
    try:
        yield
    finally:
        warnings.formatwarning = original
        if last is not None:
            last.setFormatter(None)


class _PlainFormatter(logging.Formatter):
    """Writes a log record as `log_line` shows each of its lines."""

    def format(self, record: logging.LogRecord) -> str:
        return _plain_lines(super().format(record)).removesuffix("\n")


def _plain_lines(text: str) -> str:
    return "".join(f"{log_line(line)}\n" for line in text.splitlines())
