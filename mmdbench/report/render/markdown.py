"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from mmdbench.report.render.console import footer, interval
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import Table, chosen, ranks, shown

__all__ = ["markdown", "markdown_table"]


def markdown(tables: Tables, keys: Sequence[str] = ()) -> str:
    """The report as Markdown, with the tables of the given keys (see `chosen`)."""
    head = "\n".join(f"- {key}: {_escape(value)}" for key, value in tables.header.items())
    before = "\n".join(f"- **{_escape(line)}**" for line in tables.notes_around()[0])
    found = chosen(tables.tables, keys)
    foot = "\n".join(f"- {_escape(line)}" for line in footer(tables))
    pages = [markdown_table(table) for table in found]
    parts = [f"# {_escape(tables.header['model'])}", head, before, *pages, foot]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_table(table: Table) -> str:
    """One table under its title: the best value bold, the second underlined, intervals in brackets."""
    columns = [*table.labels, *(column.name for column in table.columns)]
    rule = "|" + " :-- |" * len(table.labels) + " --: |" * len(table.columns)
    lines = [_line(columns), rule]
    best = ranks(table)
    for number, row in enumerate(table.rows):
        cells = [f"**{_escape(x)}**" if row.summary else _escape(x) for x in row.labels]
        for place, (value, column) in enumerate(zip(row.values, table.columns, strict=True)):
            text = _escape(shown(value, column))
            mark = best.get((number, place), 0)
            text = f"**{text}**" if mark == 1 else f"<u>{text}</u>" if mark == 2 else text
            known = interval(value, column.digits) if value is not None and column.intervals else ""
            cells.append(f"{text} [{known}]" if known else text)
        lines.append("| " + " | ".join(cells) + " |")
    caption = f"\n\n{_escape(table.caption)}" if table.caption else ""
    return f"## {_escape(table.title)}\n\n" + "\n".join(lines) + caption


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
