"""Extension of griffe that puts the code of docstrings into Markdown fences."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\n).*)*", re.MULTILINE)
LITERAL = re.compile(r"^(.*)::\n\n((?:    .*\n?|\n)+)", re.MULTILINE)


def as_markdown(text: str) -> str:
    """The text of a docstring with its code in fences."""

    def literal(match: re.Match[str]) -> str:
        words = f"{match[1]}:" if match[1].strip() else ""
        body = re.sub(r"^    ", "", match[2], flags=re.MULTILINE).strip("\n")
        language = "python" if "import " in body else "text"
        return f"{words}\n\n```{language}\n{body}\n```\n\n"

    text = LITERAL.sub(literal, text)
    return EXAMPLE.sub(lambda match: f"```pycon\n{match[0]}\n```", text)


class Docstrings(griffe.Extension):
    """Rewrites every docstring that griffe finds."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
