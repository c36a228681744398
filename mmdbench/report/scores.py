"""Scores and drops by level: of benchmarks, of their mean, and of parts of the whole.

A score at a level is the mean over questions of what each earned there (over its corruptions
first, where it met several). A drop is the mean paired difference clean − level, in points.
`AVG` is the unweighted mean over the benchmarks that are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmdbench.records import CLEAN, LEVELS, RECODED
from mmdbench.report.question_series import Series, Unit, change, make_series, score_of
from mmdbench.results.graded_run import RunResults, UnitHit
from mmdbench.stats import Estimate, macro_mean

__all__ = [
    "AVERAGE",
    "Breakdown",
    "LevelRow",
    "breakdown",
    "levels_of",
    "main_rows",
    "run_series",
    "worst_level",
]

AVERAGE = "AVG"


@dataclass(frozen=True, slots=True)
class LevelRow:
    """A row of scores: for each level the score, and the drop from clean to it, in points (0..100)."""

    name: str
    questions: int
    scores: Mapping[str, Estimate]
    drops: Mapping[str, Estimate]
    run: str = ""

    def drop_percent(self, level: str) -> float | None:
        """The drop as a share of the clean score, in percent; None if nothing was right when clean."""
        clean = self.scores.get(CLEAN)
        if clean is None or level not in self.drops or not clean.value:
            return None
        return 100 * self.drops[level].value / clean.value


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The same rows for the parts of a whole: question categories, corruption categories, corruptions."""

    title: str
    rows: tuple[LevelRow, ...]


def levels_of(runs: Iterable[RunResults]) -> tuple[str, ...]:
    """The levels that any of the runs has, clean first and hard last."""
    present = {level for run in runs for level in run.plan.levels}
    return tuple(level for level in (CLEAN, RECODED, *LEVELS) if level in present)


def worst_level(levels: Sequence[str]) -> str:
    """The hardest degraded level, or nothing."""
    degraded = [level for level in levels if level not in (CLEAN, RECODED)]
    return degraded[-1] if degraded else ""


def run_series(run: RunResults) -> dict[tuple[str, str], Series]:
    """(benchmark, level) → the series of its hits."""
    hits: dict[tuple[str, str], list[UnitHit]] = {}
    for hit in run.hits:
        hits.setdefault((hit.bench, hit.level), []).append(hit)
    return {key: make_series(part, apart=run.apart) for key, part in hits.items()}


def main_rows(run: RunResults, levels: Sequence[str]) -> list[LevelRow]:
    """A row for each benchmark, also for those without a score, and the mean over those with one."""
    series = run_series(run)
    rows = [
        _row(
            run.title(name), {lv: series[name, lv] for lv in levels if (name, lv) in series}, levels, run.name
        )
        for name in run.benches
    ]
    scored = [row for row in rows if row.scores]
    if len(scored) > 1:
        label = AVERAGE if len(scored) == len(rows) else f"{AVERAGE} of {len(scored)}"
        rows.append(_average(label, scored, levels))
    return rows


def breakdown(
    run: RunResults,
    levels: Sequence[str],
    key: Callable[[UnitHit], str | None],
    order: Iterable[str] = (),
) -> list[LevelRow]:
    """A row for each part of the run's hits, compared with the clean score of its own questions.

    Where each question meets several corruptions, a row is the unweighted mean over benchmarks;
    under `mixed` a benchmark may have few questions in a part, so there all questions are pooled.
    """
    parts: dict[str, list[UnitHit]] = {name: [] for name in order}
    clean: dict[Unit, UnitHit] = {}
    for hit in run.hits:
        if hit.level == CLEAN:
            clean[hit.bench, hit.unit] = hit
        name = key(hit)
        if name is not None:
            parts.setdefault(name, []).append(hit)
    rows = []
    for name, hits in parts.items():
        benches = list(dict.fromkeys(hit.bench for hit in hits)) if run.apart else [""]
        rows_of = [
            _part(name, [h for h in hits if bench in ("", h.bench)], clean, levels, run) for bench in benches
        ]
        if rows_of:
            rows.append(rows_of[0] if len(rows_of) == 1 else _average(name, rows_of, levels))
    return [row for row in rows if row.scores]


def _part(
    name: str, hits: Sequence[UnitHit], clean: Mapping[Unit, UnitHit], levels: Sequence[str], run: RunResults
) -> LevelRow:
    by_level: dict[str, Series] = {}
    for level in levels:
        if level != CLEAN:
            here = [replace_stratum(hit, run) for hit in hits if hit.level == level]
            if here:
                by_level[level] = make_series(here, apart=run.apart)
    asked = dict.fromkeys((hit.bench, hit.unit) for hit in hits)
    base = [replace_stratum(clean[unit], run) for unit in asked if unit in clean]
    if base and CLEAN in levels:
        by_level[CLEAN] = make_series(base, apart=run.apart)
    return _row(name, by_level, levels, run.name)


def replace_stratum(hit: UnitHit, run: RunResults) -> UnitHit:
    """The hit without its stratum where benchmarks are pooled, as strata are a benchmark's own."""
    if run.apart or not hit.stratum:
        return hit
    return UnitHit(hit.bench, hit.unit, hit.level, hit.corruption, hit.category, hit.hit)


def _row(name: str, series: Mapping[str, Series], levels: Sequence[str], run: str) -> LevelRow:
    scores: dict[str, Estimate] = {}
    drops: dict[str, Estimate] = {}
    for level in levels:
        if level not in series:
            continue
        estimate = score_of(series[level])
        if estimate is not None:
            scores[level] = estimate
        if level != CLEAN and CLEAN in series:
            drop = change(series[CLEAN], series[level])
            if drop is not None:
                drops[level] = drop
    return LevelRow(name, max((e.n for e in scores.values()), default=0), scores, drops, run)


def _average(name: str, rows: Sequence[LevelRow], levels: Sequence[str]) -> LevelRow:
    def mean(estimates: list[Estimate]) -> Estimate | None:
        return macro_mean(estimates) if len(estimates) == len(rows) else None

    scores = {lv: mean([r.scores[lv] for r in rows if lv in r.scores]) for lv in levels}
    drops = {lv: mean([r.drops[lv] for r in rows if lv in r.drops]) for lv in levels}
    return LevelRow(
        name,
        sum(row.questions for row in rows),
        {lv: e for lv, e in scores.items() if e is not None},
        {lv: e for lv, e in drops.items() if e is not None},
        rows[0].run,
    )
