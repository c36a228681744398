"""Headline tables: scores at the worst level and at every level, and drops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmdbench.records import CLEAN, UNALTERED
from mmdbench.report.scores import AVERAGE, AVERAGE_NAME, LevelRow, overall_row, worst_level
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.stats import Estimate

__all__ = [
    "PAIRED",
    "drop_table",
    "ladder_table",
    "level_columns",
    "level_values",
    "levels_table",
    "worst_table",
]

Rows = Mapping[str, Sequence[LevelRow]]
"""The main rows of each run, by its label."""


def worst_table(rows: Rows, levels: Sequence[str]) -> Table:
    """Scores of runs × benchmarks at the worst level, as in the paper's table 1."""
    level = worst_level(levels) or (levels[-1] if levels else "")
    names = _names(rows)
    unaltered = {row.id for of_run in rows.values() for row in of_run if UNALTERED in row.scores}
    columns = tuple(
        Column(f"{name} ({UNALTERED})" if row_id in unaltered else name, best="max", intervals=False)
        for row_id, name in names.items()
    )
    body = []
    for label, of_run in rows.items():
        known = {row.id: row for row in of_run}
        body.append(
            Row((label,), tuple(value_of(_at(known[n], level)) if n in known else None for n in names))
        )
    return Table(
        f"scores-{level}", f"Score at {level}", ("Model",), columns, tuple(body), _AVERAGES, model_at=0
    )


def levels_table(rows: Rows, levels: Sequence[str]) -> Table:
    """Scores of each benchmark at every level, with intervals, and the drop from clean to the worst level."""
    several = len(rows) > 1
    labels = ("Benchmark", "Model") if several else ("Benchmark",)
    body = []
    for row_id, name in _names(rows).items():
        for label, of_run in rows.items():
            named, section = ((name, label), name) if several else ((name,), "")
            ids = (row_id, label)[: len(named)]
            body += [
                Row(named, level_values(row, levels), row.is_average, section, ids)
                for row in of_run
                if row.id == row_id
            ]
    return Table(
        "levels",
        "Score by level",
        labels,
        level_columns(levels),
        tuple(body),
        _AVERAGES,
        model_at=1 if several else None,
    )


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
        known = {row.id: row for row in of_run}
        for level in levels:
            values = tuple(value_of(known[n].scores.get(level)) if n in known else None for n in names)
            if any(values):
                body.append(
                    Row((label, level) if several else (level,), values, section=label if several else "")
                )
    labels = ("Model", "Level") if several else ("Level",)
    columns = tuple(Column(name, intervals=False) for name in names.values())
    return Table(
        "ladder",
        "Benchmarks by level",
        labels,
        columns,
        tuple(body),
        _AVERAGES,
        model_at=0 if several else None,
    )


def drop_table(rows: Rows, levels: Sequence[str]) -> Table | None:
    """Means over benchmarks of runs × levels, with the drop, as in the paper's table 2."""
    worst = worst_level(levels)
    if not worst or CLEAN not in levels:
        return None
    levels = [level for level in levels if level != UNALTERED]
    columns = [Column(level, best="max", intervals=False) for level in levels]
    columns += [
        Column("drop", best="min", difference=True),
        Column("drop %", "%", best="min", difference=True),
    ]
    body = []
    for label, of_run in rows.items():
        row = overall_row(of_run)
        if row is not None:
            named = label if row.id == AVERAGE else f"{label} ({row.name})"
            body.append(Row((named,), level_values(row, levels)[1:], ids=(label,)))
    return Table(
        "drops",
        "Mean over benchmarks and its drop",
        ("Model",),
        tuple(columns),
        tuple(body),
        _AVERAGES,
        model_at=0,
    )


PAIRED = "; drops are paired by question"
"""The words of captions on drops of runs; those of published results have no questions to pair."""
_AVERAGES = f"{AVERAGE_NAME} is the unweighted mean over benchmarks{PAIRED}."


def _at(row: LevelRow, level: str) -> Estimate | None:
    """The score at a level; of a benchmark that is degraded already the only score that it has."""
    return row.scores.get(UNALTERED, row.scores.get(level))


def _names(rows: Rows) -> dict[str, str]:
    """Names of the rows by id, those of means last."""
    found = {row.id: row for of_run in rows.values() for row in of_run}
    return {row.id: row.name for row in sorted(found.values(), key=lambda row: (row.outside, row.is_average))}
