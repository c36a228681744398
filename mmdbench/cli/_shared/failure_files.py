"""A command whose files for machines are written also if it ends with an error, however early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from mmdbench.cli._shared.lazy_verbs import MISUSE, VerbCommand
from mmdbench.cli._shared.output import say
from mmdbench.system.secrets import hide_in_addresses, hide_secrets

__all__ = ["FailureFilesCommand"]

_OPTIONS = ("junit", "markdown")


class FailureFilesCommand(VerbCommand):
    """A verb with the options `--junit` and `--markdown`, which are told also of an error."""

    def make_context(self, info_name: str | None, args: list[str], *words: Any, **settings: Any) -> Any:
        """The context of a call; an error in its use is written to the files that the words name."""
        given = list(args)
        try:
            return super().make_context(info_name, args, *words, **settings)
        except MISUSE as error:
            _write(_named_files(given), error.format_message(), error.exit_code)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Call the verb; the error that ends it is written to the files of its options."""
        try:
            return super().invoke(ctx)
        except MISUSE as error:
            _write(_chosen_files(ctx.params), error.format_message(), error.exit_code)
            raise
        except typer.Exit as end:
            cause = end.__cause__  # the error that `guarded` has printed; none if the verb itself ended
            if cause is not None:
                _write(_chosen_files(ctx.params), str(cause) or type(cause).__name__, end.exit_code)
            raise


def _chosen_files(values: Mapping[str, Any]) -> dict[str, Path]:
    return {name: Path(values[name]) for name in _OPTIONS if isinstance(values.get(name), Path)}


def _named_files(words: Sequence[str]) -> dict[str, Path]:
    """The files of the options in words that could not be read as a whole."""
    found = {}
    for name in _OPTIONS:
        for place, word in enumerate(words):
            option, equals, value = word.partition("=")
            if option != f"--{name}":
                continue
            value = value if equals else "".join(words[place + 1 : place + 2])
            if value and "://" not in value:
                found[name] = Path(value)
    return found


def _write(files: Mapping[str, Path], why: str, code: int) -> None:
    if not files:
        return
    from mmdbench.errors import MmdbenchError
    from mmdbench.library.checking import failure_comment, failure_junit
    from mmdbench.system.files import write_atomic

    text, kind = hide_secrets(hide_in_addresses(why)), f"exit code {code}"
    makers = {"junit": lambda: failure_junit(text, kind), "markdown": lambda: failure_comment(text)}
    for name, path in files.items():
        try:
            write_atomic(path, makers[name]())
        except (MmdbenchError, OSError) as error:  # the error that ends the command is the one that counts
            if str(error) != why:
                say(f"mmdbench: {path} cannot be written: {error}", err=True)
