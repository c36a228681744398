"""Lines for the user on standard error."""

from __future__ import annotations

import sys

from mmdbench.system.printable import log_line

__all__ = ["show_note"]


def show_note(text: str) -> None:
    """Print one line of text to standard error, as `log_line` shows it."""
    print(log_line(text), file=sys.stderr, flush=True)  # noqa: T201 - here
