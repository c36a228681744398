"""Tables for a terminal, laid out by its width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult  # noqa: TID251 - a type
from rich.table import Table as Grid
from rich.text import Text

from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import Table, Value, chosen, ranks, shown
from mmdbench.stats.rounding import RULE, fixed
from mmdbench.system.printable import one_line

__all__ = ["console", "footer", "grid", "interval", "summary_keys"]

_PERCEPTION = ("perception", "perception-corruptions", "perception-chains")
_FOR_ONE = (*_PERCEPTION, "levels", "corruption-category", "corruption", "flips", "rbench-published")
_PUBLISHED_RULES = (
    "Points of 0 to 100 as published, with 95 % intervals for the numbers of questions: Wilson for scores, "
    "unpaired for drops. Rounded " + RULE + "."
)
_RULES = (
    "Points of 0 to 100 with 95 % intervals: Wilson for scores, paired by question (Bonett and Price) "
    "for drops; a question under several corruptions counts once. Rounded " + RULE + "."
)
_WIDE = ("points", "%")
_LEAST_LABEL = 12
_FOR_MANY = (*_PERCEPTION, "drops", "levels", "corruption-models", "mce", "rbench-published")


def console(tables: Tables, keys: Sequence[str] = ()) -> RenderableType:
    """The report for rich to print: the tables of the given keys, or those of `summary_keys`."""
    found = chosen(tables.tables, keys or summary_keys(tables))
    parts: list[RenderableType] = [
        Text(one_line(" · ".join(f"{k}: {v}" for k, v in tables.header.items())), style="dim"),
        Text(),
    ]
    before, _ = tables.notes_around()
    parts += [*(Text(one_line(line), style="bold red") for line in before), *([Text()] if before else [])]
    for table in found:
        parts += [grid(table), Text()]
    parts += [Text(one_line(line), style="dim") for line in footer(tables)]
    rest = [table.key for table in tables.tables if table not in found]
    if rest:
        parts.append(Text(f"More tables (--table NAME, --table all): {', '.join(rest)}.", style="dim"))
    return Group(*parts)


def summary_keys(tables: Tables) -> list[str]:
    """Keys of the tables that are shown if none is asked for."""
    runs = {row.run for row in tables.main}
    keys = _FOR_MANY if len(runs) > 1 else _FOR_ONE
    found = [key for key in keys if tables.find(key) is not None]
    return found or ["levels"]


def grid(table: Table) -> RenderableType:
    """One table for rich to print, with intervals beside or below the values.

    If the terminal is too narrow, further columns follow below, with the row labels again; no number
    is cut.
    """
    return _Fitted(table)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A table that is laid out when the width of the terminal is known."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = _cells(self.table)
        yield Text(one_line(self.table.title), style="bold")
        yield from _blocks(self.table, cells, options.max_width)
        if self.table.caption:
            yield Text(one_line(self.table.caption), style="dim italic")


def _cells(table: Table) -> list[list[Text]]:
    best = ranks(table)
    gap = "\n" if sum(column.intervals and column.unit in _WIDE for column in table.columns) > 2 else "  "
    found = []
    for number, row in enumerate(table.rows):
        cells = []
        for place, (value, column) in enumerate(zip(row.values, table.columns, strict=True)):
            plain = "bold" if row.summary else ""
            mark = {1: "bold", 2: "underline"}.get(best.get((number, place), 0), plain)
            cell = Text(one_line(shown(value, column)), style=mark)
            if value is not None and value.low is not None and column.intervals:
                cell.append(gap + interval(value, column.digits), style="dim")
            cells.append(cell)
        found.append(cells)
    return found


def _blocks(table: Table, cells: Sequence[Sequence[Text]], width: int) -> Iterator[Grid | Text]:
    labels = [
        max(map(cell_len, (n, *(one_line(r.labels[i]) for r in table.rows))))
        for i, n in enumerate(table.labels)
    ]
    numbers = [
        max((cell_len(line) for row in cells for line in row[i].plain.splitlines()), default=0)
        for i in range(len(table.columns))
    ]
    names = [one_line(column.name) for column in table.columns]
    natural = sum(labels) + sum(map(max, numbers, map(cell_len, names)))
    if natural + 3 * (len(labels) + len(names) - 1) + 2 <= width:
        yield _made(table, cells, range(len(names)), names)
        return
    most = max(_LEAST_LABEL, width // (2 * len(labels)))
    # Text may be wrapped, a number may not.
    numbers = [min(n, most) if c.unit == "text" else n for n, c in zip(numbers, table.columns, strict=True)]
    needed = [max(n, *map(cell_len, x.split()), 1) if x else n for n, x in zip(numbers, names, strict=True)]
    heads = ["\n".join(wrap(x, n, break_long_words=False)) for x, n in zip(names, needed, strict=True)]
    room = width - sum(min(label, most) + 2 for label in labels)
    part: list[int] = []
    for place, size in enumerate(needed):
        if part and sum(needed[i] + 2 for i in part) + size > room:
            yield from (_made(table, cells, part, heads, most), Text())
            part = []
        part.append(place)
    yield from (_made(table, cells, part, heads, most), Text())


def _made(
    table: Table, cells: Sequence[Sequence[Text]], places: Sequence[int], heads: Sequence[str], most: int = 0
) -> Grid:
    """The columns at some places as a grid; `most` limits the width of labels, 0 for no limit."""
    made = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=not most, collapse_padding=bool(most))
    for number, name in enumerate(table.labels):
        made.add_column(Text(name), no_wrap=number == 0 and not most, overflow="fold", max_width=most or None)
    for place in places:
        text = table.columns[place].unit == "text"
        made.add_column(
            Text(heads[place]),
            justify="left" if text else "right",
            no_wrap=not text,
            overflow="fold",
            max_width=most if text and most else None,
        )
    section = ""
    for number, (row, line) in enumerate(zip(table.rows, cells, strict=True)):
        if number and row.section != section:
            made.add_section()
        section = row.section
        style = "bold" if row.summary else ""
        made.add_row(
            *(Text(one_line(label), style=style) for label in row.labels), *(line[i] for i in places)
        )
    return made


def interval(value: Value, digits: int = 1) -> str:
    """The interval of a value as `low…high`; empty if it has none."""
    if value.low is None or value.high is None:
        return ""
    return f"{fixed(value.low, digits)}…{fixed(value.high, digits)}"


def footer(tables: Tables) -> list[str]:
    """Lines below the tables: counts of answers, the meaning of the numbers, and the notes after tables."""
    if not tables.runs:
        return [_PUBLISHED_RULES, *tables.notes_around()[1]]
    counts = tables.counts
    parts = [
        f"{counts[s]} {s}" for s in ("refused", "empty", "truncated", "error", "missing") if counts.get(s)
    ]
    answered = f"{counts.get('ok', 0)} of {counts['planned']} planned answers"
    return [*_lines(answered, parts), *tables.notes_around()[1]]


def _lines(answered: str, parts: Iterable[str]) -> list[str]:
    problems = ", ".join(parts)
    return [answered + (f" ({problems})." if problems else "."), _RULES]
