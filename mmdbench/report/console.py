"""Tables as a person reads them on a terminal of 80 columns or more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from mmdbench.report.model import Table, Value, chosen, ranks, shown
from mmdbench.report.rounding import RULE, fixed
from mmdbench.report.tables import Tables

__all__ = ["console", "footer", "grid", "interval", "summary_keys"]

_FOR_ONE = ("perception", "perception-corruptions", "levels", "corruption-category", "corruption", "flips")
_RULES = (
    "Points of 0 to 100 with 95 % intervals: Wilson for scores, paired by question (Bonett and Price) "
    "for drops; a question under several corruptions counts once. Rounded " + RULE + "."
)
_WIDE = ("points", "%")
_FOR_MANY = ("perception", "perception-corruptions", "drops", "levels", "corruption-models", "mce")


def console(tables: Tables, keys: Sequence[str] = ()) -> RenderableType:
    """The report for rich to print: the tables of the given keys, `all`, or the usual ones."""
    found = chosen(tables.tables, keys or summary_keys(tables))
    parts: list[RenderableType] = [
        Text(" · ".join(f"{k}: {v}" for k, v in tables.header.items()), style="dim"),
        Text(),
    ]
    for table in found:
        parts += [grid(table), Text()]
    parts += [Text(line, style="bold red" if "INCOMPLETE" in line else "dim") for line in footer(tables)]
    rest = [table.key for table in tables.tables if table not in found]
    if rest:
        parts.append(Text(f"More tables (--table NAME, --table all): {', '.join(rest)}.", style="dim"))
    return Group(*parts)


def summary_keys(tables: Tables) -> list[str]:
    """The tables that a summary shows."""
    runs = {row.run for row in tables.main}
    keys = _FOR_MANY if len(runs) > 1 else _FOR_ONE
    found = [key for key in keys if tables.find(key) is not None]
    return found or ["levels"]


def grid(table: Table) -> RenderableType:
    """One table for rich: the value, and its interval in a second line."""
    made = Grid(
        box=box.SIMPLE_HEAD, title=table.title, title_justify="left", title_style="bold", pad_edge=False
    )
    for number, name in enumerate(table.labels):
        made.add_column(name, no_wrap=number == 0, overflow="fold")
    for column in table.columns:
        made.add_column(column.name, justify="left" if column.unit == "text" else "right")
    best, section = ranks(table), ""
    gap = "\n" if sum(column.intervals and column.unit in _WIDE for column in table.columns) > 2 else "  "
    for number, row in enumerate(table.rows):
        if number and row.section != section:
            made.add_section()
        section = row.section
        style = "bold" if row.summary else ""
        cells = [Text(label, style=style) for label in row.labels]
        for place, (value, column) in enumerate(zip(row.values, table.columns, strict=True)):
            mark = {1: "bold", 2: "underline"}.get(best.get((number, place), 0), style)
            cell = Text(shown(value, column), style=mark)
            if value is not None and value.low is not None and column.intervals:
                cell.append(gap + interval(value, column.digits), style="dim")
            cells.append(cell)
        made.add_row(*cells)
    if not table.caption:
        return made
    return Group(made, Padding(Text(table.caption, style="dim italic"), (0, 0, 0, 0)))


def interval(value: Value, digits: int = 1) -> str:
    """The interval as `low…high`; empty if there is none."""
    if value.low is None or value.high is None:
        return ""
    return f"{fixed(value.low, digits)}…{fixed(value.high, digits)}"


def footer(tables: Tables) -> list[str]:
    """How many of how many answered, what the numbers mean, and every warning."""
    counts = tables.counts
    parts = [
        f"{counts[s]} {s}" for s in ("refused", "empty", "truncated", "error", "missing") if counts.get(s)
    ]
    answered = f"{counts.get('ok', 0)} of {counts['planned']} planned answers"
    return [*_lines(answered, parts), *tables.notes]


def _lines(answered: str, parts: Iterable[str]) -> list[str]:
    problems = ", ".join(parts)
    return [answered + (f" ({problems})." if problems else "."), _RULES]
