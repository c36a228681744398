"""The user interface of the command line: bars and notes on standard error, questions on a terminal."""

from __future__ import annotations

import sys

import typer

from mmdbench.library.user_interface import UserInterface

__all__ = ["Terminal"]


class Terminal(UserInterface):
    """Notes and bars on standard error; questions are asked if standard input is a terminal."""

    def agree(self, question: str) -> bool | None:
        """The answer to a question; None without a terminal."""
        return typer.confirm(question, err=True) if sys.stdin.isatty() else None
