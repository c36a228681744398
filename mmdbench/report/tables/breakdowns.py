"""Tables of breakdowns: by question category, by corruption category and by corruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mmdbench.corruptions.spec import Spec
from mmdbench.report.paired_gaps import bench_gaps, part_gaps
from mmdbench.report.scores import (
    Breakdown,
    LevelRow,
    overall_row,
    partitions,
    why_no_difference,
    worst_level,
)
from mmdbench.report.tables.headline import level_columns, level_values
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.graded_run import RunResults
from mmdbench.stats import Estimate, difference

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
        model_at=1 if several else None,
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
        main: The rows of each run and published result, by label; the first is the reference.
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
        whole = overall_row(r for r in main[label] if level in r.scores)
        rows |= {} if whole is None else {(label, OVERALL): whole}
    by_name = {run.name: run for run in runs}
    # Published results are older than any run; among runs the reference is the old one.
    pairs = [(label, labels[0]) if label in by_name else (labels[0], label) for label in labels[1:]]
    deltas = _Deltas(rows, level, _paired(by_name, pairs, level, spec))
    body = _corruption_rows(spec, labels, pairs, deltas)
    captions = [
        weighting,
        *(["Δ is new − old."] if pairs else []),
        *(f"Δ is – where {w}." for w in deltas.reasons),
    ]
    return Table(
        "corruption-models",
        f"Score at {level} by corruption",
        ("Corruption",),
        _model_columns(labels, pairs),
        tuple(body),
        " ".join(captions),
        across=True,
    )


def _corruption_rows(
    spec: Spec, labels: Sequence[str], pairs: Sequence[tuple[str, str]], deltas: _Deltas
) -> list[Row]:
    def values(name: str) -> tuple[Value | None, ...]:
        found = (deltas.rows.get((label, name)) for label in labels)
        scores = [None if row is None else value_of(row.scores[deltas.level]) for row in found]
        return (*scores, *(deltas.of(pair, name) for pair in pairs))

    body = []
    for category in spec.categories:
        names = [n for n, c in spec.corruptions.items() if c.category == category]
        here = [(name, name) for name in names if any((label, name) in deltas.rows for label in labels)]
        for name, shown_as in [*here, (category, f"{category} avg")] if here else []:
            body.append(Row((shown_as,), values(name), name == category, category))
    return [*body, Row((OVERALL,), values(OVERALL), summary=True)]


def _model_columns(labels: Sequence[str], pairs: Sequence[tuple[str, str]]) -> tuple[Column, ...]:
    several = len(labels) > 1
    scores = [Column(x, best="max" if several else "", intervals=not several) for x in labels]
    deltas = (
        Column(f"Δ {new} − {old}", signed=True, difference=True, rests_on=(new, old)) for new, old in pairs
    )
    return (*scores, *deltas)


@dataclass(frozen=True, slots=True)
class _Deltas:
    """Differences between rows of the same questions, and the reasons for those that are missing."""

    rows: Mapping[tuple[str, str], LevelRow]
    level: str
    paired: Mapping[tuple[tuple[str, str], str], Estimate]
    reasons: dict[str, None] = field(default_factory=dict)

    def of(self, pair: tuple[str, str], name: str) -> Value | None:
        new, old = (self.rows.get((label, name)) for label in pair)
        if new is None or old is None:
            return None
        why = why_no_difference(new, old, self.level)
        if why:
            self.reasons[why] = None
            return None
        gap = self.paired.get((pair, name))
        return value_of(gap or difference(new.scores[self.level], old.scores[self.level]))


def _paired(
    runs: Mapping[str, RunResults], pairs: Sequence[tuple[str, str]], level: str, spec: Spec
) -> dict[tuple[tuple[str, str], str], Estimate]:
    """Paired differences of runs by the pair and the id of the row."""
    found: dict[tuple[tuple[str, str], str], Estimate] = {}
    _, by_category, by_corruption = partitions(spec)
    for pair in (pair for pair in pairs if set(pair) <= set(runs)):
        new, old = (runs[label] for label in pair)
        for partition in (by_corruption, by_category):
            found |= {(pair, gap.id): gap.estimate for gap in part_gaps(new, old, (level,), partition)}
        benches = [gap for gap in bench_gaps(new, old, (level,)) if gap.id not in new.outside]
        if benches:
            found[pair, OVERALL] = benches[-1].estimate  # the mean, if there is one
    return found


def _order(part: Breakdown) -> Callable[[LevelRow], int]:
    places = {name: i for i, name in enumerate(dict.fromkeys(row.id for row in part.rows))}
    return lambda row: places[row.id]
