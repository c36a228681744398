"""The terminal for rich: tables, lines with a style, and the live bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from io import StringIO
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType  # noqa: TID251 - here
from rich.segment import Segment
from rich.text import Text

from mmdbench.system.printable import log_line

__all__ = ["Screen", "plain_text", "styled"]

_WIDTH = 110
_UNLIMITED = 100_000


class Screen(Console):
    """A rich console that reads no text as markup and lets no control character of a text through.

    Args:
        stderr: Write to standard error.
        file: Write to this file.
        width: Width in characters; by default that of the terminal, and as wide as needed into a file or
            pipe, where `COLUMNS` may limit it.
    """

    def __init__(
        self, *, stderr: bool = False, file: IO[str] | None = None, width: int | None = None
    ) -> None:
        target = file or (sys.stderr if stderr else sys.stdout)
        if width is None and not target.isatty() and not os.environ.get("COLUMNS"):
            width = _UNLIMITED
        super().__init__(
            stderr=stderr,
            file=file,
            width=width,
            # A notebook would show what goes into a file, and with FORCE_COLOR colours would go into it.
            force_jupyter=None if file is None else False,
            force_terminal=None if file is None else False,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Parts of a renderable; the texts that it was made of are shown as `log_line` shows them."""
        for text, style, control in super().render(renderable, options):
            lines = text if control else "\n".join(map(log_line, text.split("\n")))
            yield Segment(lines, style, control)


def styled(text: str, style: str = "") -> Text:
    """A text as one line for a `Screen`, with a style of rich's."""
    return Text(log_line(text), style=style)


def plain_text(shown: RenderableType) -> str:
    """The lines that a `Screen` of 110 characters shows, as one text."""
    text = StringIO()
    Screen(file=text, width=_WIDTH).print(shown)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
