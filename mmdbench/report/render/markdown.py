"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmdbench.report.render.console import footer, interval
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import Table, chosen, ranks, shown
from mmdbench.system.printable import one_line

__all__ = ["markdown", "markdown_table", "markdown_text"]

_MARK = re.compile(
    r"[\\`*\[\]|>~]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # inside a word it is no emphasis
    r"|&(?=#?\w+;)"
    r"|(?<=:)/(?=/)|(?<=\bwww)\.",  # GitHub makes links of bare addresses
    re.IGNORECASE,
)
_BLOCK = re.compile(r"^(\s*\d*)([#+.)-])(?=[\s#]|$)")
"""The mark of a heading or list at the beginning of a text."""


def markdown(tables: Tables, keys: Sequence[str] = ()) -> str:
    """The report as Markdown, with the tables of the given keys (see `chosen`)."""
    head = "\n".join(f"- {key}: {markdown_text(value)}" for key, value in tables.header.items())
    before = "\n".join(f"- **{markdown_text(line)}**" for line in tables.notes_around()[0])
    found = chosen(tables.tables, keys)
    foot = "\n".join(f"- {markdown_text(line)}" for line in footer(tables))
    pages = [markdown_table(table) for table in found]
    parts = [f"# {markdown_text(tables.header['model'])}", head, before, *pages, foot]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_table(table: Table) -> str:
    """One table under its title: the best value bold, the second underlined, intervals in brackets."""
    columns = [*table.labels, *(column.name for column in table.columns)]
    rule = "|" + " :-- |" * len(table.labels) + " --: |" * len(table.columns)
    lines = [_line(columns), rule]
    best = ranks(table)
    for number, row in enumerate(table.rows):
        cells = [f"**{markdown_text(x)}**" if row.summary else markdown_text(x) for x in row.labels]
        for place, (value, column) in enumerate(zip(row.values, table.columns, strict=True)):
            text = markdown_text(shown(value, column))
            mark = best.get((number, place), 0)
            text = f"**{text}**" if mark == 1 else f"<u>{text}</u>" if mark == 2 else text
            known = interval(value, column.digits) if value is not None and column.intervals else ""
            cells.append(f"{text} [{known}]" if known else text)
        lines.append("| " + " | ".join(cells) + " |")
    caption = f"\n\n{markdown_text(table.caption)}" if table.caption else ""
    return f"## {markdown_text(table.title)}\n\n" + "\n".join(lines) + caption


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(markdown_text(cell) for cell in cells) + " |"


def markdown_text(text: str) -> str:
    r"""A text as Markdown that shows it on one line, with no link, picture, HTML or other mark in it.

    >>> markdown_text("[a](b) **motion_blur** https://c <d>")
    '\\[a\\](b) \\*\\*motion_blur\\*\\* https:\\//c &lt;d\\>'
    """
    marked = _MARK.sub(r"\\\g<0>", one_line(text)).replace("<", "&lt;")
    return _BLOCK.sub(r"\g<1>\\\g<2>", marked)
