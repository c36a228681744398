"""The axes of the figures: scores by level, drops by benchmark, and drops by corruption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any

from mmdbench.records import CLEAN, RECODED, UNALTERED
from mmdbench.report.scores import CORRUPTION, LevelRow, overall_row, worst_level
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import MARK
from mmdbench.stats import Estimate
from mmdbench.stats.rounding import fixed
from mmdbench.system.printable import one_line

__all__ = ["draw_corruptions", "draw_drops", "draw_levels"]

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""

_MARKERS = "osD^vP*"
"""One for each colour: a figure can be read in grey too."""

_SMALL, _SMALLEST = 7, 6
"""Font sizes in points."""

_CELL_WIDTH, _CELL_HEIGHT, _NAMES_WIDTH, _SCALE_WIDTH = 0.44, 0.27, 1.35, 0.5
"""Sizes of the map of corruptions in inches: a cell, the names of its rows, its scale."""


def draw_levels(figure: Any, tables: Tables, width: float) -> bool:
    """Draw the overall score at each level, with 95 % intervals.

    Args:
        figure: An empty matplotlib figure.
        tables: The tables of the report.
        width: Width of the figure in inches.

    Returns:
        False if there is nothing to draw: fewer than two levels.
    """
    runs = dict.fromkeys(row.run for row in tables.main)
    found = [overall_row(row for row in tables.main if row.run == run) for run in runs]
    rows = [row for row in found if row is not None]
    levels = [level for level in tables.levels if level not in (RECODED, UNALTERED)]
    if len(levels) < 2 or not rows:
        return False
    figure.set_size_inches(width, min(0.75 * width, 3.6) + _legend_height(rows))
    axes = figure.add_subplot()
    for number, row in enumerate(rows):
        known = [level for level in levels if level in row.scores]
        # Beside each other, so that equal scores do not hide each other.
        places = [levels.index(level) + _offset(number, len(rows), 0.12) for level in known]
        _error_bars(axes, places, [row.scores[level] for level in known], number, _label(tables, row.run))
        axes.plot(places, [row.scores[level].value for level in known], color=_colour(number), linewidth=1)
    axes.set_xticks(range(len(levels)), levels)
    axes.set_xlim(-0.3, len(levels) - 0.7)
    axes.set_ylabel("score in points")
    axes.set_title(_titled(dict.fromkeys(one_line(row.name) for row in rows), rows), fontsize=8)
    _legend(figure, axes)
    return True


def draw_drops(figure: Any, tables: Tables, width: float) -> bool:
    """Draw the drop from clean to the hardest level of each benchmark, with 95 % intervals.

    Args:
        figure: An empty matplotlib figure.
        tables: The tables of the report.
        width: Width of the figure in inches.

    Returns:
        False if there is nothing to draw: no drop.
    """
    level = worst_level(tables.levels)
    rows = [row for row in tables.main if level in row.drops]
    if not level or not rows:
        return False
    names = {row.id: one_line(row.name) for row in rows}
    runs = list(dict.fromkeys(row.run for row in rows))
    height = 0.75 + len(names) * (0.16 + 0.13 * len(runs))
    figure.set_size_inches(width, height + _legend_height(runs))
    axes = figure.add_subplot()
    for number, run in enumerate(runs):
        mine = [row for row in rows if row.run == run]
        places = [list(names).index(row.id) + _offset(number, len(runs), 0.7) for row in mine]
        drops = [row.drops[level] for row in mine]
        _error_bars(axes, places, drops, number, _label(tables, run), across=True)
    for border in range(1, len(names)):
        axes.axhline(border - 0.5, color="0.9", linewidth=0.6, zorder=0)
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(names)), [fill(name, 18) for name in names.values()])
    axes.set_ylim(len(names) - 0.4, -0.6)
    _legend(figure, axes)
    mark = "".join(dict.fromkeys(_mark(tables, run) for run in runs)) if len(runs) == 1 else ""
    axes.set_xlabel(f"drop{mark} {CLEAN} → {level} in points", fontsize=_SMALL)
    return True


def draw_corruptions(figure: Any, tables: Tables, width: float) -> bool:
    """Draw a map of the drops by corruption, with numbers, 95 % intervals and counts of questions.

    The columns are the levels of each run, or its hardest level where all levels are too many for the width.

    Args:
        figure: An empty matplotlib figure.
        tables: The tables of the report.
        width: Width of the figure in inches.

    Returns:
        False if there is nothing to draw: no drop of a corruption.
    """
    part = next((p for p in tables.breakdowns if p.id == CORRUPTION), None)
    rows = {(row.run, row.id): row for row in part.rows if row.drops} if part else {}
    runs = list(dict.fromkeys(run for run, _ in rows))
    levels = [lv for lv in tables.levels if lv != RECODED and any(lv in row.drops for row in rows.values())]
    if not runs or not levels:
        return False
    if len(runs) * len(levels) * _CELL_WIDTH > width - _NAMES_WIDTH - _SCALE_WIDTH and len(runs) > 1:
        levels = levels[-1:]
    columns = [(run, level) for run in runs for level in levels]
    names = {row.id: row for row in rows.values()}
    drops = [[_drop(rows.get((run, id_)), level) for run, level in columns] for id_ in names]
    figure.set_size_inches(width, 1.1 + _CELL_HEIGHT * len(names))
    axes = figure.add_subplot()
    _map(figure, axes, drops, [_mark(tables, run) for run, _ in columns])
    axes.set_yticks(range(len(names)), [_counted(id_, rows, runs) for id_ in names], fontsize=_SMALL)
    _columns(axes, tables, runs, levels)
    what = f"Drop {CLEAN} → {levels[0]}" if len(levels) == 1 else f"Drop from {CLEAN}"
    axes.set_xlabel(f"{what} in points", fontsize=_SMALL)
    return True


def _map(figure: Any, axes: Any, drops: Sequence[Sequence[Estimate | None]], marks: Sequence[str]) -> None:
    """Write the map, its numbers and its scale, which is symmetric around 0."""
    values = [[math.nan if drop is None else drop.value for drop in line] for line in drops]
    edge = max(1.0, *(abs(value) for line in values for value in line if not math.isnan(value)))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-edge, vmax=edge, aspect="auto")
    for y, line in enumerate(drops):
        for x, drop in enumerate(line):
            if drop is None:
                axes.text(x, y, "–", ha="center", va="center", fontsize=_SMALLEST)
                continue
            ink = "white" if abs(drop.value) > 0.6 * edge else "black"
            number = fixed(drop.value) + marks[x]
            interval = f"[{fixed(drop.low, 0)}, {fixed(drop.high, 0)}]"
            axes.text(x, y - 0.16, number, ha="center", va="center", color=ink, fontsize=_SMALLEST)
            axes.text(x, y + 0.24, interval, ha="center", va="center", color=ink, fontsize=4.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    scale = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    scale.ax.tick_params(labelsize=_SMALLEST)
    scale.outline.set_visible(False)


def _columns(axes: Any, tables: Tables, runs: Sequence[str], levels: Sequence[str]) -> None:
    """Name the columns by level, and the runs above their levels; a run's only column has its name alone."""
    labels = [_label(tables, run) for run in runs]
    axes.xaxis.tick_top()
    if len(levels) == 1 and len(runs) > 1:
        axes.set_xticks(
            range(len(runs)),
            [fill(label, 24) for label in labels],
            rotation=90,
        )
        axes.tick_params(axis="x", labelsize=_SMALLEST)
        return
    axes.set_xticks(range(len(runs) * len(levels)), [*levels] * len(runs), fontsize=_SMALL)
    above = axes.secondary_xaxis("top")
    above.set_xticks([len(levels) * (i + 0.5) - 0.5 for i in range(len(runs))])
    above.set_xticklabels([fill(label, 9 * len(levels)) for label in labels], fontsize=_SMALL)
    above.tick_params(length=0, pad=14)
    above.spines[:].set_visible(False)
    for border in range(1, len(runs)):
        axes.axvline(len(levels) * border - 0.5, color="white", linewidth=3)


def _drop(row: LevelRow | None, level: str) -> Estimate | None:
    return row.drops.get(level) if row else None


def _counted(id_: str, rows: dict[tuple[str, str], LevelRow], runs: Sequence[str]) -> str:
    """A corruption's name with its number of questions, or the least and the most of all runs."""
    found = [rows[run, id_] for run in runs if (run, id_) in rows]
    counts = sorted({row.questions for row in found})
    several = f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else str(counts[0])
    return f"{one_line(found[0].name)}, n {several}"


def _error_bars(
    axes: Any,
    places: Sequence[float],
    found: Sequence[Estimate],
    number: int,
    label: str,
    across: bool = False,
) -> None:
    """Write estimates with their intervals as points; `across` the figure instead of upright."""
    values = [e.value for e in found]
    errors = [[e.value - e.low for e in found], [e.high - e.value for e in found]]
    x, y, bars = (values, places, {"xerr": errors}) if across else (places, values, {"yerr": errors})
    style: dict[str, Any] = {"markersize": 3.5, "capsize": 1.5, "elinewidth": 0.9, "linestyle": "none"}
    axes.errorbar(x, y, **bars, **style, color=_colour(number), marker=_MARKERS[number % 7], label=label)


def _offset(number: int, count: int, width: float) -> float:
    return (number - (count - 1) / 2) * width / count


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _titled(names: dict[str, None], rows: Sequence[LevelRow]) -> str:
    """The benchmark, or the number of benchmarks that the mean is over, and its questions."""
    counts = sorted({row.questions for row in rows})
    several = {len(row.covers) for row in rows if len(row.covers) > 1}
    of = f" of {max(several)} benchmarks" if several else ""
    n = f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else str(counts[0])
    return fill(f"{', '.join(names)}{of}, n {n}", 48)


def _legend(figure: Any, axes: Any) -> None:
    """Write the runs above the axes, never over what they show; a single one too."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=1, frameon=False, fontsize=_SMALL)


def _legend_height(entries: Sequence[object]) -> float:
    return 0.15 * len(entries) + 0.1


def _label(tables: Tables, name: str) -> str:
    """A run's name with the mark of an incomplete one.

    matplotlib leaves names that begin with an underscore out of legends.
    """
    line = one_line(name) + _mark(tables, name)
    return f" {line}" if line.startswith("_") else line


def _mark(tables: Tables, run: str) -> str:
    return "".join(MARK for info in tables.runs if info.label == run and not info.complete)
