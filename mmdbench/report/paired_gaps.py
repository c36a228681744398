"""Paired differences of two runs on the same questions, of whole benchmarks and of parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmdbench.report.question_series import Series, change, make_series
from mmdbench.report.scores import AVERAGE, Partition, counted_hits, run_series
from mmdbench.results.graded_run import RunResults
from mmdbench.results.hit_columns import HitColumns
from mmdbench.stats import Estimate, mcnemar, mean_difference

__all__ = ["Gap", "bench_gaps", "gap_of", "mean_gap", "part_gaps"]


@dataclass(frozen=True, slots=True)
class Gap:
    """`first − second` in points on the questions that both hold, with the p-value of no difference.

    `id` is the benchmark's file, `AVERAGE`, or the part or watched row that the gap is of.
    Where every question has one hit of 0 or 1, `only_first` and `only_second` count the questions
    that only one of the two has right, and the p-value is McNemar's exact one; otherwise it is that
    of the interval. `equal` is True if all hits are the same.
    """

    id: str
    level: str
    estimate: Estimate
    p_value: float
    test: str
    only_first: int | None = None
    only_second: int | None = None
    equal: bool = False


def bench_gaps(first: RunResults, second: RunResults, levels: Sequence[str]) -> list[Gap]:
    """Gaps of each benchmark that both runs have scores of, and of their mean, for each level in turn.

    Args:
        first: The run whose scores count positive.
        second: The run that is subtracted.
        levels: The levels to compare.

    Returns:
        The gaps, level by level.
    """
    found: list[Gap] = []
    ours, theirs = run_series(first), run_series(second)
    for level in levels:
        here = []
        for key in ((bench, level) for bench in first.benches):
            gap = gap_of(*key, ours[key], theirs[key]) if key in ours and key in theirs else None
            here += [gap] if gap else []
        counted = [gap for gap in here if gap.id not in first.outside]
        found += here
        if len(counted) > 1:
            found.append(mean_gap(AVERAGE, level, counted))
    return found


def part_gaps(
    first: RunResults, second: RunResults, levels: Sequence[str], partition: Partition
) -> list[Gap]:
    """A gap for each level and part of the hits.

    Args:
        first: The run whose scores count positive.
        second: The run that is subtracted.
        levels: The levels to compare.
        partition: The parts to compare, all of them named in its order.

    Returns:
        Gaps of pooled questions under the design `mixed`, else of the mean over benchmarks.
    """
    sides = []
    for run in (first, second):
        parts: dict[tuple[str, str, str], HitColumns] = {}
        for name, hits in partition.divide(counted_hits(run)).items():
            for level in levels:
                here = hits.at(level)
                benches = (
                    {bench: here.of(bench) for bench in here.bench.distinct} if run.apart else {"": here}
                )
                parts.update({(name, level, bench): part for bench, part in benches.items() if len(part)})
        sides.append({k: make_series(hits, apart=run.apart) for k, hits in parts.items()})
    found = []
    for level in levels:
        for name in partition.order:
            keys = [k for k in sides[0] if k[:2] == (name, level) and k in sides[1]]
            gaps = [g for k in keys if (g := gap_of(name, level, sides[0][k], sides[1][k])) is not None]
            if gaps:
                found.append(gaps[0] if len(gaps) == 1 else mean_gap(name, level, gaps))
    return found


def gap_of(gap_id: str, level: str, first: Series, second: Series) -> Gap | None:
    """The gap of two series.

    Args:
        gap_id: The benchmark or part that the series are of.
        level: Their level.
        first: The series that counts positive.
        second: The series that is subtracted.

    Returns:
        The gap; None if the series share no question.
    """
    estimate = change(first, second)
    if estimate is None:
        return None
    if not (first.binary and second.binary):
        equal = _by_question(first) == _by_question(second)
        return Gap(gap_id, level, estimate, estimate.p_value(), "paired", equal=equal)
    places = second.places(first.hits.question)  # each question has one hit
    ours, theirs = first.hits.hit[places >= 0], second.hits.hit[places[places >= 0]]
    gained, lost = int((ours > theirs).sum()), int((ours < theirs).sum())
    p = mcnemar(gained, lost)
    return Gap(gap_id, level, estimate, p, "McNemar", gained, lost, equal=not gained + lost)


def _by_question(series: Series) -> dict[object, float]:
    questions = zip(series.hits.question.values, series.hits.corruption.values, strict=True)
    return dict(zip(questions, series.hits.hit.tolist(), strict=True))


def mean_gap(gap_id: str, level: str, gaps: Sequence[Gap]) -> Gap:
    """The gap of the unweighted mean over benchmarks.

    Args:
        gap_id: Id of the mean.
        level: Level of the gaps.
        gaps: One gap for each benchmark, at least one.

    Returns:
        The gap of the mean.
    """
    estimate = mean_difference([gap.estimate for gap in gaps])
    assert estimate is not None
    equal = all(gap.equal for gap in gaps)
    return Gap(gap_id, level, estimate, 1.0 if equal else estimate.p_value(), "paired", equal=equal)
