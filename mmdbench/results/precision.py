"""`--target-ci`: larger and larger nested samples, until the interval is narrow enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mmdbench.records import CLEAN, UNDEGRADED, BenchData, RunPlan
from mmdbench.results.graded_run import RunResults, UnitHit
from mmdbench.scoring.families import unit_of
from mmdbench.stats import Estimate, mean_difference, mean_score, paired_difference, proportion
from mmdbench.system.bounds import require_above
from mmdbench.variants.design import parse_sample, sample_questions

__all__ = ["Step", "half_width_points", "until_precise"]

_FIRST = 100
_MARGIN = 1.1
_LEAST_GROWTH, _MOST_GROWTH = 1.25, 4.0


@dataclass(frozen=True, slots=True)
class Step:
    """One round: the number of questions asked so far, and the half-width that they gave, in points.

    `exhausted` is True if no question is left.
    """

    questions: int
    half_width: float
    reached: bool
    exhausted: bool = False


def until_precise(
    plan: RunPlan, benches: Sequence[BenchData], target: float, run: Callable[[RunPlan], float | None]
) -> Iterator[Step]:
    """Run larger and larger samples until the half-width is small enough or no question is left.

    Samples are nested, so nothing is asked twice. A round of all questions is the whole run, no sample.

    Args:
        plan: The plan; its sample is the first one.
        benches: The benchmarks of the plan.
        target: The half-width to reach, in points.
        run: Carries a plan out and returns its half-width in points, or None if the run was stopped.

    Yields:
        Each round.

    Raises:
        UsageError: The target is not above 0.
    """
    require_above("--target-ci, in points,", target, 0)
    sample = parse_sample(plan.sample)
    per_bench = sample.per_bench if sample else len(benches) > 1
    size = sample.size if sample else _FIRST
    most = _most(benches, per_bench=per_bench)
    while True:
        size = min(size, most)
        whole = size >= most
        current = replace(plan, sample="" if whole else f"{size}/bench" if per_bench else str(size))
        width = run(current)
        if width is None:
            return
        asked = sum(len(rows) for rows in sample_questions(current, benches))
        yield Step(asked, width, width <= target, whole)
        if width <= target or whole:
            return
        growth = min(_MOST_GROWTH, max(_LEAST_GROWTH, _MARGIN * (width / target) ** 2))
        size = math.ceil(size * growth)


def half_width_points(results: RunResults) -> float:
    """The widest 95 % half-width of the run's drops from clean, averaged over benchmarks, in points.

    Of its scores, if it lacks clean answers or degraded ones. Each question counts once, however many
    corruptions it met.
    """
    hits = _by_level([hit for hit in results.hits if hit.bench not in results.outside] or results.hits)
    clean = hits.get(CLEAN)
    levels = [level for level in hits if level not in UNDEGRADED]
    if clean and levels:
        widths = [_drop_half_width(clean, hits[level]) for level in levels]
    else:
        widths = [_score_half_width(rows) for rows in hits.values()]
    return 100 * max(widths, default=1.0)


_Level = Mapping[str, Mapping[object, float]]


def _by_level(hits: Iterable[UnitHit]) -> dict[str, dict[str, dict[object, float]]]:
    sums: dict[str, dict[str, dict[object, list[float]]]] = {}
    for hit in hits:
        sums.setdefault(hit.level, {}).setdefault(hit.bench, {}).setdefault(hit.unit, []).append(hit.hit)
    return {
        level: {
            bench: {unit: math.fsum(rows) / len(rows) for unit, rows in units.items()}
            for bench, units in benches.items()
        }
        for level, benches in sums.items()
    }


def _drop_half_width(clean: _Level, degraded: _Level) -> float:
    found = []
    for bench, units in degraded.items():
        shared = [unit for unit in units if unit in clean.get(bench, {})]
        found.append(paired_difference([clean[bench][u] for u in shared], [units[u] for u in shared]))
    return _half_width(mean_difference([estimate for estimate in found if estimate is not None]))


def _score_half_width(level: _Level) -> float:
    found = [proportion(list(units.values())) for units in level.values()]
    return _half_width(mean_score([estimate for estimate in found if estimate is not None]))


def _half_width(mean: Estimate | None) -> float:
    return 1.0 if mean is None else (mean.high - mean.low) / 2


def _most(benches: Sequence[BenchData], *, per_bench: bool) -> int:
    sizes = [len({unit_of(q, bench.family) for q in bench.questions}) for bench in benches]
    return max(sizes, default=1) if per_bench else sum(sizes)
