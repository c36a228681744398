"""Figures for papers: scores by level, drops by benchmark, and the map of corruptions × levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from mmdbench.errors import MissingExtraError, StoreError, UsageError
from mmdbench.records import CLEAN, RECODED, UNALTERED
from mmdbench.report.scores import CORRUPTION, LevelRow, overall_row, worst_level
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import MARK
from mmdbench.stats.rounding import fixed
from mmdbench.system.printable import one_line

__all__ = ["FORMATS", "draw_figures"]

FORMATS = ("svg", "pdf")

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""

_NOTE_POINTS, _NOTE_INCHES, _NOTE_CHARACTERS_PER_INCH = 6, 0.1, 20

_STYLE: Any = {
    "svg.hashsalt": "mmdbench",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 9,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_figures(tables: Tables, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write the figures of a report; those that its tables do not suffice for are left out.

    Args:
        tables: The tables of the report.
        folder: Folder of the figures; it is made if it is missing.
        formats: Some of `svg` and `pdf`.

    Returns:
        The paths of the files.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UsageError: Another format is asked for.
        StoreError: A file cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"Cannot draw {name!r}.", hint=f"Formats: {', '.join(FORMATS)}.")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib, which draws figures,", "plot") from error
    paths = []
    with mpl.rc_context(_STYLE):
        for name, draw in (("levels", _levels), ("drops", _drops), ("corruptions", _corruptions)):
            figure = Figure(layout="constrained")
            if not draw(figure, tables):
                continue
            _write_notes(figure, tables)
            for kind in formats:
                path = folder / f"{name}.{kind}"
                _save(figure, path, kind)
                paths.append(path)
    return paths


def _save(figure: Any, path: Path, kind: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a date, equal numbers give equal files.
        figure.savefig(
            path, format=kind, metadata={"Date": None} if kind == "svg" else {"CreationDate": None}
        )
    except OSError as error:
        raise StoreError(f"Cannot write {path}: {error}.") from error


def _write_notes(figure: Any, tables: Tables) -> None:
    """Write the notes above the axes if a run is incomplete, else below them, on a taller figure."""
    width, height = figure.get_size_inches()
    per_line = int(width * _NOTE_CHARACTERS_PER_INCH)
    for notes, write, colour in zip(
        tables.notes_around(), (figure.suptitle, figure.supxlabel), ("#b00020", "0.3"), strict=True
    ):
        lines = [line for note in notes for line in wrap(one_line(note), per_line)]
        if lines:
            figure.set_size_inches(width, height + _NOTE_INCHES * len(lines))
            write("\n".join(lines), fontsize=_NOTE_POINTS, color=colour, ha="center")


def _levels(figure: Any, tables: Tables) -> bool:
    rows = _last_rows(tables)
    levels = [level for level in tables.levels if level not in (RECODED, UNALTERED)]
    if len(levels) < 2:
        return False
    figure.set_size_inches(4.2, 3.0)
    axes = figure.add_subplot()
    for row, colour in zip(rows, _cycle(len(rows)), strict=True):
        known = [level for level in levels if level in row.scores]
        places = [levels.index(level) for level in known]
        scores = [row.scores[level] for level in known]
        axes.plot(places, [e.value for e in scores], "o-", color=colour, label=_label(row.run), markersize=4)
        axes.fill_between(
            places, [e.low for e in scores], [e.high for e in scores], color=colour, alpha=0.15, linewidth=0
        )
    axes.set_xticks(range(len(levels)), levels)
    axes.set_ylabel("score in points")
    axes.set_xlabel(_rules(tables), fontsize=6)
    axes.legend(frameon=False)
    return True


def _drops(figure: Any, tables: Tables) -> bool:
    level = worst_level(tables.levels)
    rows = [row for row in tables.main if level in row.drops]
    if not level or not rows:
        return False
    names = {row.id: row.name for row in rows}
    runs = list(dict.fromkeys(row.run for row in rows))
    figure.set_size_inches(4.6, 0.8 + 0.22 * len(names) * (len(runs) + 0.5))
    axes = figure.add_subplot()
    for number, (run, colour) in enumerate(zip(runs, _cycle(len(runs)), strict=True)):
        mine = [row for row in rows if row.run == run]
        places = [
            list(names).index(row.id) + (number - (len(runs) - 1) / 2) * 0.8 / len(runs) for row in mine
        ]
        gaps = [row.drops[level] for row in mine]
        errors = [[e.value - e.low for e in gaps], [e.high - e.value for e in gaps]]
        axes.errorbar(
            [e.value for e in gaps],
            places,
            xerr=errors,
            fmt="o",
            color=colour,
            label=_label(run + _mark(tables, run)),
            markersize=4,
            capsize=2,
        )
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(range(len(names)), map(one_line, names.values()))
    axes.invert_yaxis()
    mark = _mark(tables, runs[0]) if len(runs) == 1 else ""
    paired = "paired, " if tables.runs else ""
    words = f"drop{mark} {CLEAN} → {level} in points, {paired}95 % intervals"
    axes.set_xlabel(f"{words}\n{_rules(tables)}", fontsize=7)
    if len(runs) > 1:
        axes.legend(frameon=False)
    return True


def _corruptions(figure: Any, tables: Tables) -> bool:
    part = next((p for p in tables.breakdowns if p.id == CORRUPTION), None)
    first = next((info.label for info in tables.runs), "")
    rows = [row for row in part.rows if row.run == first and row.drops] if part else []
    levels = [
        level for level in tables.levels if any(level in row.drops for row in rows) and level != RECODED
    ]
    if not rows or not levels:
        return False
    figure.set_size_inches(1.9 + 0.7 * len(levels), 0.9 + 0.24 * len(rows))
    axes = figure.add_subplot()
    values = [[row.drops[lv].value if lv in row.drops else math.nan for lv in levels] for row in rows]
    mark = _mark(tables, first)
    edge = max(1.0, *(abs(v) for line in values for v in line if not math.isnan(v)))
    axes.imshow(values, cmap="RdBu_r", vmin=-edge, vmax=edge, aspect="auto")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            if not math.isnan(value):
                ink = "white" if abs(value) > 0.6 * edge else "black"
                axes.text(x, y, fixed(value) + mark, ha="center", va="center", color=ink, fontsize=7)
    axes.set_xticks(range(len(levels)), levels)
    axes.set_yticks(range(len(rows)), [one_line(row.name) for row in rows])
    axes.set_title(f"{one_line(first)}: drop from clean, points", fontsize=8)
    axes.set_xlabel(_rules(tables), fontsize=6)
    return True


def _label(name: str) -> str:
    """A name in a legend, where matplotlib leaves out names that begin with an underscore."""
    line = one_line(name)
    return f" {line}" if line.startswith("_") else line


def _mark(tables: Tables, run: str) -> str:
    return "".join(MARK for info in tables.runs if info.label == run and not info.complete)


def _last_rows(tables: Tables) -> list[LevelRow]:
    runs = dict.fromkeys(row.run for row in tables.main)
    found = [overall_row(row for row in tables.main if row.run == run) for run in runs]
    return [row for row in found if row is not None]


def _cycle(count: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(count)]


def _rules(tables: Tables) -> str:
    return one_line(f"{tables.header['protocol']}, {tables.header['design']}").replace(" (", "\n(")
