"""Calls of one verb of the command line."""

from __future__ import annotations

from collections.abc import Callable

import typer
from typer.testing import CliRunner

from mmdbench.cli._shared.errors import guarded


def call(verb: Callable[..., object], *words: object, code: int = 0) -> str:
    """The output of a verb, which must exit with `code`."""
    app = typer.Typer()
    app.command()(guarded(verb))
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output
