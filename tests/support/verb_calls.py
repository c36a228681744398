"""The verbs of the command line, and calls of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.testing import CliRunner

from mmdbench.cli import app as command_line
from mmdbench.cli._shared.errors import guarded


def verbs() -> dict[str, Callable[..., object]]:
    """The function of every verb by the words that call it."""
    return dict(_verbs(typer.main.get_command(command_line)))


def _verbs(group: Any, before: str = "") -> Iterator[tuple[str, Callable[..., object]]]:
    for name, command in group.commands.items():
        words = f"{before} {name}".strip()
        if hasattr(command, "commands"):
            yield from _verbs(command, words)
        else:
            yield words, command.callback


def call(verb: Callable[..., object], *words: object, code: int = 0) -> str:
    """The output of a verb, which must exit with `code`."""
    app = typer.Typer()
    app.command()(guarded(verb))
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output
