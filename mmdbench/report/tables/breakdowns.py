"""Tables of breakdowns: by question category, by corruption category and by corruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mmdbench.corruptions.spec import Spec
from mmdbench.report.paired_gaps import part_gaps
from mmdbench.report.scores import Breakdown, LevelRow, partitions, worst_level
from mmdbench.report.tables.headline import level_columns, level_values
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.graded_run import RunResults
from mmdbench.stats import difference

__all__ = ["corruption_table", "part_table"]

OVERALL = "overall"


def part_table(part: Breakdown, levels: Sequence[str], weighting: str) -> Table:
    """The rows of a breakdown at every level, for each run in turn.

    Args:
        part: The breakdown.
        levels: The levels of all runs.
        weighting: The caption, which names the weighting of questions or benchmarks.

    Returns:
        The table, without rows if the breakdown has none.
    """
    runs = dict.fromkeys(row.run for row in part.rows)
    several = len(runs) > 1
    body = [
        Row(
            (row.name, row.run) if several else (row.name,),
            level_values(row, levels),
            section=row.name if several else "",
        )
        for row in (sorted(part.rows, key=_order(part)) if several else part.rows)
    ]
    labels = (part.title, "Model") if several else (part.title,)
    return Table(
        part.id,
        f"By {part.title.lower()}",
        labels,
        level_columns(levels, intervals=False),
        tuple(body),
        weighting,
    )


def corruption_table(
    parts: Mapping[str, Breakdown],
    main: Mapping[str, Sequence[LevelRow]],
    runs: Sequence[RunResults],
    levels: Sequence[str],
    spec: Spec,
    weighting: str,
) -> Table | None:
    """Corruptions × models at the worst level with differences to the first, as in the paper's table 10.

    Args:
        parts: The breakdowns by corruption category and by corruption.
        main: The main rows of each run and published result, by label; the first is the reference.
        runs: The graded runs, whose differences are paired.
        levels: The levels of all runs.
        spec: The corruptions and their categories.
        weighting: The caption, which names the weighting of questions or benchmarks.

    Returns:
        The table; None if nothing has a score at the worst level.
    """
    level = worst_level(levels)
    rows = {(r.run, r.id): r for part in parts.values() for r in part.rows if level in r.scores}
    labels = [label for label in main if any(run == label for run, _ in rows)]
    if not labels:
        return None
    for label in labels:
        whole = [r for r in main[label] if level in r.scores]
        rows[label, OVERALL] = whole[-1] if whole else rows[next(k for k in rows if k[0] == label)]
    deltas = _deltas(runs, labels, level, spec)
    body = []
    for category in spec.categories:
        names = [n for n, c in spec.corruptions.items() if c.category == category]
        here = [(name, name) for name in names if any((label, name) in rows for label in labels)]
        for name, shown_as in [*here, (category, f"{category} avg")] if here else []:
            values = _values(rows, deltas, labels, name, level)
            body.append(Row((shown_as,), values, name == category, category))
    body.append(Row((OVERALL,), _values(rows, deltas, labels, OVERALL, level), summary=True))
    return Table(
        "corruption-models",
        f"Score at {level} by corruption",
        ("Corruption",),
        _model_columns(labels),
        tuple(body),
        weighting,
        across=True,
    )


def _model_columns(labels: Sequence[str]) -> tuple[Column, ...]:
    several = len(labels) > 1
    scores = [Column(x, digits=2, best="max" if several else "", intervals=not several) for x in labels]
    names = [f"Δ {label}" if len(labels) > 2 else "Δ" for label in labels[1:]]
    return (*scores, *(Column(name, digits=2, signed=True, difference=True) for name in names))


def _values(
    rows: Mapping[tuple[str, str], LevelRow],
    deltas: Mapping[tuple[str, str], Value],
    labels: Sequence[str],
    name: str,
    level: str,
) -> tuple[Value | None, ...]:
    found = [rows.get((label, name)) for label in labels]
    values = [None if row is None else value_of(row.scores[level]) for row in found]
    for label, row in zip(labels[1:], found[1:], strict=True):
        paired = deltas.get((label, name))
        if paired is None and row is not None and found[0] is not None:
            values.append(value_of(difference(row.scores[level], found[0].scores[level])))
        else:
            values.append(paired)
    return tuple(values)


def _deltas(
    runs: Sequence[RunResults], labels: Sequence[str], level: str, spec: Spec
) -> dict[tuple[str, str], Value]:
    found: dict[tuple[str, str], Value] = {}
    by_name = {run.name: run for run in runs}
    if labels[0] not in by_name:
        return found
    _, by_category, by_corruption = partitions(spec)
    for label in (label for label in labels[1:] if label in by_name):
        pair = (by_name[label], by_name[labels[0]])
        gaps = [*part_gaps(*pair, (level,), by_corruption), *part_gaps(*pair, (level,), by_category)]
        found |= {(label, gap.id): v for gap in gaps if (v := value_of(gap.estimate)) is not None}
    return found


def _order(part: Breakdown) -> Callable[[LevelRow], int]:
    places = {name: i for i, name in enumerate(dict.fromkeys(row.id for row in part.rows))}
    return lambda row: places[row.id]
