"""Tables for a terminal, laid out by its width."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult  # noqa: TID251 - a type
from rich.table import Table as Grid
from rich.text import Text

from mmdbench.records import in_order
from mmdbench.report.published import is_misprint
from mmdbench.report.scores import LevelRow, worst_level
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import LEAST, Row, Table, Value, chosen, ranks, shown
from mmdbench.stats import Estimate
from mmdbench.stats.rounding import RULE, fixed
from mmdbench.system.printable import one_line

__all__ = ["console", "footer", "grid", "interval", "most_affected", "summary_keys"]

_MAIN_OF_ONE = ("perception", "levels", "rbench-published")
_MAIN_OF_MANY = ("perception", "drops", "levels", "rbench-published")
_PUBLISHED_RULES = (
    "Points of 0 to 100 as published, with 95 % intervals for the numbers of questions: Wilson for scores, "
    "unpaired for drops. Rounded " + RULE + "."
)
_RULES = (
    "Points of 0 to 100 with 95 % intervals: Wilson for scores, paired by question (Bonett and Price) "
    "for drops; a question under several corruptions counts once. Rounded " + RULE + "."
)
_WIDE = ("points", "%")
_LEAST_TEXT = 12
_AFFECTED = 3
_UNLIMITED = 100_000
_PARTS = ("question-category", "corruption-category", "corruption", "corruption-models")
_BREAK_AFTER = re.compile(r"(?<=[-_/@:. ])(?=\S)")


def console(tables: Tables, keys: Sequence[str] = ()) -> RenderableType:
    """The report for rich to print: the tables of the given keys, or a summary on one screen."""
    found = chosen(tables.tables, keys or summary_keys(tables))
    head = {name: value for name, value in tables.header.items() if name != "rounding"}  # in the footer
    parts: list[RenderableType] = [
        Text(one_line(" · ".join(f"{k}: {v}" for k, v in head.items())), style="dim"),
        Text(),
    ]
    before, _ = tables.notes_around()
    parts += [*(Text(one_line(line), style="bold red") for line in before), *([Text()] if before else [])]
    for table in found:
        parts += [grid(table) if keys else _Fitted(table, short=True), Text()]
    most = [] if keys else most_affected(tables)
    parts += [*(Text(one_line(line)) for line in most), *([Text()] if most else [])]
    notes = footer(tables)
    parts += [Text(one_line(line), style="dim") for line in (notes if keys else _without_misprints(notes))]
    rest = [table.key for table in tables.tables if table not in found]
    if rest:
        parts.append(Text(f"More tables (--table NAME, --table all): {', '.join(rest)}.", style="dim"))
    return Group(*parts)


def summary_keys(tables: Tables) -> list[str]:
    """The key of the main table, which is shown if none is asked for; several if there is no such table."""
    runs = {row.run for row in tables.main}
    keys = _MAIN_OF_MANY if len(runs) > 1 else _MAIN_OF_ONE
    return [key for key in keys if tables.find(key) is not None][:1] or ["levels"]


def most_affected(tables: Tables) -> list[str]:
    """A line for each run with the three corruptions that it loses most by, largest drop first.

    Corruptions that it loses nothing by are left out, and so is a run that loses by none. So are those with
    fewer questions than `LEAST`; if all have fewer, the categories are shown.
    """
    by_part = {part.id: part.rows for part in tables.breakdowns}
    for part in ("corruption", "corruption-category"):
        rows = [row for row in by_part.get(part, ()) if row.questions >= LEAST and row.drops]
        if rows:
            return list(_affected_lines(rows))
    return []


def _affected_lines(rows: Sequence[LevelRow]) -> Iterator[str]:
    runs = dict.fromkeys(row.run for row in rows)
    for run in runs:
        own = [row for row in rows if row.run == run]
        level = worst_level(in_order(level for row in own for level in row.drops))
        drops = [(row.name, row.drops[level]) for row in own if level in row.drops]
        drops = [drop for drop in drops if drop[1].value > 0]
        if not drops:
            continue
        largest = sorted(drops, key=lambda drop: -drop[1].value)[:_AFFECTED]
        several = len(runs) > 1
        named = (
            f"{name} {fixed(d.value)} ({'' if several else f'{interval(d)}, '}n {d.n})" for name, d in largest
        )
        whose = f" of {run}" if several else ""
        yield f"Largest drops{whose}, clean → {level}: {', '.join(named)}."


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
    short: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table, folded = _folded(self.table)
        yield Text(one_line(table.title), style="bold")
        wide = options.update(width=_UNLIMITED)
        parts = _laid_out(table, options.max_width) if table.rows else []
        if self.short and len(parts) > 1:  # a drop in percent can be read from the scores
            parts = _laid_out(_without_percent(table), options.max_width)
        for part in parts:
            # A terminal narrower than one label and one number breaks the line, never the number.
            least = max(options.max_width, console.measure(part, options=wide).maximum)
            yield from console.render(part, options.update(width=least))
        if folded:
            named = ", ".join(" ".join(row.labels) for row in folded)
            yield Text(f"Fewer than {LEAST} questions each, in --csv and --json: {one_line(named)}.")
        if table.caption:
            yield Text(one_line(table.caption), style="dim italic")


def _without_percent(table: Table) -> Table:
    kept = [place for place, column in enumerate(table.columns) if column.unit != "%"]
    rows = (replace(row, values=tuple(row.values[place] for place in kept)) for row in table.rows)
    return replace(table, columns=tuple(table.columns[place] for place in kept), rows=tuple(rows))


def _folded(table: Table) -> tuple[Table, list[Row]]:
    """The table without the rows of a breakdown that rest on too few questions, and those rows."""
    if table.key not in _PARTS:
        return table, []
    few = [row for row in table.rows if _questions(table, row) < LEAST]
    return replace(table, rows=tuple(row for row in table.rows if row not in few)), few


def _questions(table: Table, row: Row) -> float:
    """The smallest number of questions that a number of the row rests on."""
    counts = [value.n for value in row.values if value is not None and value.n is not None]
    named = [
        float(value.value)
        for value, column in zip(row.values, table.columns, strict=True)
        if column.name == "n" and value is not None
    ]
    return min([*counts, *named], default=LEAST)


def _laid_out(table: Table, width: int) -> list[Grid | Text]:
    """The table in as few parts as fit, with intervals beside the values, or below if this saves a part."""
    many = sum(column.intervals and column.unit in _WIDE for column in table.columns) > 2
    below = list(_blocks(table, _cells(table, "\n"), width))
    beside = below if many else list(_blocks(table, _cells(table, "  "), width))
    return below if len(below) < len(beside) else beside


def _cells(table: Table, gap: str) -> list[list[Text]]:
    best = ranks(table)
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
    most = max(_LEAST_TEXT, width // 3)
    # Text may be wrapped, a number may not.
    numbers = [min(n, most) if c.unit == "text" else n for n, c in zip(numbers, table.columns, strict=True)]
    needed = [max(n, *map(cell_len, x.split()), 1) if x else n for n, x in zip(numbers, names, strict=True)]
    heads = ["\n".join(wrap(x, n, break_long_words=False)) for x, n in zip(names, needed, strict=True)]
    labels = _fitting(labels, width - max(needed, default=0) - 2)
    room = width - sum(label + 2 for label in labels)
    part: list[int] = []
    for place, size in enumerate(needed):
        if part and sum(needed[i] + 2 for i in part) + size > room:
            yield from (_made(table, cells, part, heads, labels, most), Text())
            part = []
        part.append(place)
    yield _made(table, cells, part, heads, labels, most)


def _fitting(labels: Sequence[int], room: int) -> list[int]:
    """The widths of labels beside a number, the widest made narrower until they fit."""
    found = list(labels)
    while sum(found) + 2 * len(found) > room and max(found) > _LEAST_TEXT:
        found[found.index(max(found))] -= 1
    return found


def _broken(name: str, width: int) -> str:
    """A name in lines of at most that width, broken at its own separators; a longer part stays whole."""
    lines = [""]
    for part in _BREAK_AFTER.split(name):
        if lines[-1] and cell_len((lines[-1] + part).rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _made(
    table: Table,
    cells: Sequence[Sequence[Text]],
    places: Sequence[int],
    heads: Sequence[str],
    labels: Sequence[int] = (),
    most: int = 0,
) -> Grid:
    """The columns at some places as a grid; `labels` and `most` limit the widths of labels and of texts."""
    made = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=bool(most))
    for name, size in zip(table.labels, labels or map(cell_len, table.labels), strict=True):
        made.add_column(Text(_broken(name, size)), no_wrap=True)
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
        names = [one_line(label) for label in row.labels]
        if labels:
            names = [_broken(name, size) for name, size in zip(names, labels, strict=True)]
        made.add_row(*(Text(name, style=style) for name in names), *(line[i] for i in places))
    return made


def interval(value: Value | Estimate, digits: int = 1) -> str:
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


def _without_misprints(notes: Sequence[str]) -> list[str]:
    """The notes without those on misprints of papers, and their number with the way to them."""
    kept = [note for note in notes if not is_misprint(note)]
    count = len(notes) - len(kept)
    what = "1 misprint" if count == 1 else f"{count} misprints"
    return kept + [f"{what} of the published tables: see --table all."] * (count > 0)


def _lines(answered: str, parts: Iterable[str]) -> list[str]:
    problems = ", ".join(parts)
    return [answered + (f" ({problems})." if problems else "."), _RULES]
