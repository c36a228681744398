"""The table of scores under other rules, and the counts of the replies behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmdbench.records import in_order
from mmdbench.report.tables.table import Column, Row, Table, Value
from mmdbench.scoring import Score

__all__ = ["ScoredPart", "counted", "regraded_table"]

_ALWAYS = ("planned", "answered", "resolved")
_SOMETIMES = ("refused", "unresolved", "judged", "judge_failed", "truncated")
_FAULTS = ("missing", "error", "empty", "inference_failed")


@dataclass(frozen=True, slots=True)
class ScoredPart:
    """A score with its place: the benchmark's name in tables, the level or file, corruption and repeat."""

    bench: str
    column: str
    score: Score
    corruption: str = ""
    repeat: int = 1


def regraded_table(parts: Sequence[ScoredPart], most_rows: int) -> Table:
    """The scores by benchmark and level, each metric in a row of its own.

    A row "at most" has the score if every reply that no rule reads were right; it is left out where it
    would repeat the row above.

    Args:
        parts: The scores.
        most_rows: Largest number of rows.
    """
    by_place: dict[tuple[str, str, str], list[ScoredPart]] = {}
    for part in parts:
        repeat = str(part.repeat) if part.repeat > 1 else ""
        by_place.setdefault((part.bench, part.corruption, repeat), []).append(part)
    named = dict.fromkeys(part.column for part in parts)
    columns = in_order(named) or tuple(named)
    used = [any(place[at] for place in by_place) for at in range(3)]
    rows = [
        Row((*(name for name, use in zip(place, used, strict=True) if use), label), (*cells,))
        for place, own in by_place.items()
        for label, cells in _metric_rows(own, columns)
    ]
    names = [name for name, use in zip(("Benchmark", "Corruption", "Repeat"), used, strict=True) if use]
    left = len(rows) - most_rows
    return Table(
        "regraded",
        "Scores",
        (*names, "Metric"),
        (Column("n", "count", digits=0), *map(Column, columns)),
        tuple(rows[:most_rows]),
        f"… and {left} more rows; --json and the file of scores list all." if left > 0 else "",
    )


def _metric_rows(
    parts: Sequence[ScoredPart], columns: Sequence[str]
) -> Iterable[tuple[str, list[Value | None]]]:
    """The rows of one benchmark: its headline, its upper bound if that differs, and its further metrics."""
    scores = {part.column: part.score for part in parts}
    counts = {score.counts["planned"] for score in scores.values()}
    size = Value(next(iter(counts))) if len(counts) == 1 else None
    first = next(iter(scores.values()))
    more = [
        name
        for name, value in first.metrics.items()
        if name != first.metric_key and isinstance(value, (float, type(None)))
    ]
    rows = {
        first.metric: {at: score.headline for at, score in scores.items()},
        f"{first.metric}, at most": {at: score.upper_bound for at, score in scores.items()},
        **{name.replace("_", " "): {at: s.metrics.get(name) for at, s in scores.items()} for name in more},
    }
    headline, bound, *_ = rows
    for label, numbers in rows.items():
        repeated = label == bound and numbers == rows[headline]
        if label == headline or (not repeated and set(numbers.values()) != {None}):
            yield label, [size, *(_value(numbers.get(at)) for at in columns)]


def _value(number: float | None) -> Value | None:
    return None if number is None else Value(number)


def counted(parts: Sequence[ScoredPart]) -> str:
    """The numbers of replies by outcome, those of faults with their benchmarks; zeros are left out."""
    totals: Counter[str] = Counter()
    where: dict[str, dict[str, None]] = {}
    for part in parts:
        numbers = dict(part.score.counts)
        numbers["unfinished thoughts"] = sum(g.stage == "unfinished_thought" for g in part.score.grades)
        for name, number in numbers.items():
            totals[name] += number
            if number:
                where.setdefault(name, {})[part.bench] = None
    several = len({part.bench for part in parts}) > 1
    shown = [f"{totals[name]} {name}" for name in _ALWAYS]
    for name in (*_SOMETIMES, *_FAULTS, "unfinished thoughts"):
        if totals[name]:
            of = f" ({', '.join(where[name])})" if several else ""
            shown.append(f"{totals[name]} {name.replace('_', ' ')}{of}")
    return ", ".join(shown)
