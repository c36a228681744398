"""Tables as a person reads them on a terminal, and the grid of cells every rendering shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmdbench.records import CLEAN, RECODED
from mmdbench.report.rounding import fixed
from mmdbench.report.tables import LevelRow, Tables
from mmdbench.stats import Estimate

__all__ = ["Grid", "breakdown_grids", "console", "footer", "main_grid"]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of texts: a title, names of columns, and rows; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def console(tables: Tables) -> RenderableType:
    """The whole report for rich to print."""
    parts: list[RenderableType] = [
        Text(" · ".join(f"{k}: {v}" for k, v in tables.header.items()), style="dim")
    ]
    parts += [_table(grid) for grid in (main_grid(tables), *breakdown_grids(tables))]
    parts += [Text(line, style="bold red" if "INCOMPLETE" in line else "dim") for line in footer(tables)]
    return Group(*parts)


def main_grid(tables: Tables) -> Grid:
    """Scores at every level and the drop at the worst one, with intervals."""
    worst = _worst(tables)
    columns = ["Benchmark", "n", *tables.levels]
    if worst:
        columns += [f"drop clean → {worst}", "drop %"]
    rows = [_cells(row, tables.levels, worst, intervals=True) for row in tables.main]
    return Grid("Score in points (0 to 100), with 95 % intervals", tuple(columns), tuple(rows))


def breakdown_grids(tables: Tables) -> list[Grid]:
    """The same for parts of the whole; the interval is given for the drop alone."""
    worst = _worst(tables)
    grids = []
    for part in tables.breakdowns:
        columns = [part.title, "n", *tables.levels] + ([f"drop clean → {worst}", "drop %"] if worst else [])
        rows = [_cells(row, tables.levels, worst, intervals=False) for row in part.rows]
        grids.append(Grid(f"By {part.title.lower()} (interval of the drop)", tuple(columns), tuple(rows)))
    return grids


def footer(tables: Tables) -> list[str]:
    """How many of how many answered, what the numbers mean, and every warning."""
    counts = tables.counts
    planned = counts["planned"]
    parts = [
        f"{counts[s]} {s}" for s in ("refused", "empty", "truncated", "error", "missing") if counts.get(s)
    ]
    lines = [
        f"{counts.get('ok', 0)} of {planned} planned answers"
        + (f" ({', '.join(parts)})" if parts else "")
        + "."
    ]
    lines.append(
        "Intervals: Wilson for scores; paired by question (Bonett and Price) for drops. "
        "Rounded half away from zero; drops are taken before rounding."
    )
    return lines + list(tables.notes)


def _worst(tables: Tables) -> str:
    degraded = [level for level in tables.levels if level not in (CLEAN, RECODED)]
    return degraded[-1] if degraded and CLEAN in tables.levels else ""


def _cells(row: LevelRow, levels: Sequence[str], worst: str, *, intervals: bool) -> tuple[str, ...]:
    cells = [row.name, str(row.questions)]
    for level in levels:
        score = row.scores.get(level)
        cells.append("–" if score is None else _with_interval(score) if intervals else fixed(score.value))
    if worst:
        drop, percent = row.drops.get(worst), row.drop_percent(worst)
        cells.append("–" if drop is None else _with_interval(drop))
        cells.append("–" if percent is None else f"{fixed(percent)} %")
    return tuple(cells)


def _with_interval(estimate: Estimate) -> str:
    return f"{fixed(estimate.value)} [{fixed(estimate.low)}, {fixed(estimate.high)}]"


def _table(grid: Grid) -> Table:
    table = Table(title=grid.title, title_justify="left", title_style="bold")
    for number, name in enumerate(grid.columns):
        table.add_column(name, justify="left" if number == 0 else "right", no_wrap=number == 0)
    for row in grid.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
