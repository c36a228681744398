"""Headline tables: scores at the worst level and at every level, and drops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmdbench.records import CLEAN
from mmdbench.report.scores import AVERAGE, LevelRow, worst_level
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of

__all__ = ["drop_table", "ladder_table", "level_columns", "level_values", "levels_table", "worst_table"]

Rows = Mapping[str, Sequence[LevelRow]]
"""The main rows of each run, by its label."""


def worst_table(rows: Rows, levels: Sequence[str]) -> Table:
    """Scores of runs × benchmarks at the worst level, as in the paper's table 1."""
    level = worst_level(levels) or (levels[-1] if levels else "")
    names = _names(rows)
    columns = tuple(Column(name, digits=2, best="max", intervals=False) for name in names)
    body = []
    for label, of_run in rows.items():
        known = {row.name: row for row in of_run}
        body.append(
            Row((label,), tuple(value_of(known[n].scores.get(level)) if n in known else None for n in names))
        )
    return Table(f"scores-{level}", f"Score at {level}", ("Model",), columns, tuple(body), _AVERAGES)


def levels_table(rows: Rows, levels: Sequence[str]) -> Table:
    """Scores of each benchmark at every level, with intervals, and the drop from clean to the worst level."""
    several = len(rows) > 1
    labels = ("Benchmark", "Model") if several else ("Benchmark",)
    body = []
    for name in _names(rows):
        for label, of_run in rows.items():
            for row in of_run:
                if row.name == name:
                    named = (row.name, label) if several else (row.name,)
                    body.append(
                        Row(
                            named,
                            level_values(row, levels),
                            name.startswith(AVERAGE),
                            name if several else "",
                        )
                    )
    return Table("levels", "Score by level", labels, level_columns(levels), tuple(body), _AVERAGES)


def level_columns(levels: Sequence[str], *, intervals: bool = True) -> tuple[Column, ...]:
    """Columns of a row by level: number of questions, score at each level, drop in points and percent."""
    worst = worst_level(levels) if CLEAN in levels else ""
    columns = [Column("n", "count", 0), *(Column(level, intervals=intervals) for level in levels)]
    if worst:
        columns += [Column(f"drop clean → {worst}", difference=True), Column("drop %", "%", difference=True)]
    return tuple(columns)


def level_values(row: LevelRow, levels: Sequence[str]) -> tuple[Value | None, ...]:
    """The values of a row for the columns of `level_columns`."""
    values: list[Value | None] = [Value(row.questions)]
    values += [value_of(row.scores.get(level)) for level in levels]
    worst = worst_level(levels) if CLEAN in levels else ""
    if worst:
        percent = row.drop_percent(worst)
        values += [value_of(row.drops.get(worst)), None if percent is None else Value(percent)]
    return tuple(values)


def ladder_table(rows: Rows, levels: Sequence[str]) -> Table:
    """Scores of levels × benchmarks, as in the paper's table 9."""
    names = _names(rows)
    several = len(rows) > 1
    body = []
    for label, of_run in rows.items():
        known = {row.name: row for row in of_run}
        for level in levels:
            values = tuple(value_of(known[n].scores.get(level)) if n in known else None for n in names)
            if any(values):
                body.append(
                    Row((label, level) if several else (level,), values, section=label if several else "")
                )
    labels = ("Model", "Level") if several else ("Level",)
    columns = tuple(Column(name, digits=2, intervals=False) for name in names)
    return Table("ladder", "Benchmarks by level", labels, columns, tuple(body), _AVERAGES)


def drop_table(rows: Rows, levels: Sequence[str]) -> Table | None:
    """Means over benchmarks of runs × levels, with the drop, as in the paper's table 2."""
    worst = worst_level(levels)
    if not worst or CLEAN not in levels:
        return None
    columns = [Column(level, digits=2, best="max", intervals=False) for level in levels]
    columns += [
        Column("drop", digits=2, best="min", difference=True),
        Column("drop %", "%", best="min", difference=True),
    ]
    body = []
    for label, of_run in rows.items():
        row = next((r for r in of_run if r.name.startswith(AVERAGE)), of_run[0] if len(of_run) == 1 else None)
        if row is not None:
            named = label if row.name == AVERAGE else f"{label} ({row.name})"
            body.append(Row((named,), level_values(row, levels)[1:]))
    return Table(
        "drops", "Mean over benchmarks and its drop", ("Model",), tuple(columns), tuple(body), _AVERAGES
    )


_AVERAGES = "AVG is the unweighted mean over benchmarks; drops are paired by question."


def _names(rows: Rows) -> list[str]:
    found = dict.fromkeys(row.name for of_run in rows.values() for row in of_run)
    return [n for n in found if not n.startswith(AVERAGE)] + [n for n in found if n.startswith(AVERAGE)]
