"""One `Tables` object, unrounded, that every rendering is made of.

A score at a level is the mean over questions of what each earned there (over its corruptions
first, where it met several). A drop is the mean paired difference clean − level, in points.
`AVG` is the unweighted mean over benchmarks. Nothing is rounded before it is printed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmdbench.records import CLEAN, LEVELS, RECODED, Index
from mmdbench.report.results import RunResults, UnitHit
from mmdbench.spec import Spec
from mmdbench.stats import Estimate, macro_mean, paired_difference, proportion

__all__ = ["Breakdown", "LevelRow", "Tables", "make_tables"]

AVERAGE = "AVG"

_Unit = tuple[str, Index]


@dataclass(frozen=True, slots=True)
class LevelRow:
    """A row of scores: for each level the score, and the drop from clean to it, in points (0..100)."""

    name: str
    questions: int
    scores: Mapping[str, Estimate]
    drops: Mapping[str, Estimate]

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


@dataclass(frozen=True, slots=True)
class Tables:
    """All numbers of a run's report.

    `header` names the model, the protocol, the design and its weighting; `levels` are the levels
    of the run, clean first; `counts` say how many of how many cells were answered.
    """

    header: Mapping[str, str]
    levels: tuple[str, ...]
    main: tuple[LevelRow, ...]
    breakdowns: tuple[Breakdown, ...]
    counts: Mapping[str, int]
    complete: bool
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The tables as a JSON-able dict, unrounded."""
        return asdict(self)


def make_tables(results: RunResults, spec: Spec) -> Tables:
    """The tables of a graded run."""
    levels = tuple(level for level in (CLEAN, RECODED, *LEVELS) if level in results.plan.levels)
    hits = results.hits
    benches = list(dict.fromkeys(hit.bench for hit in hits))
    main = [_row(name, [h for h in hits if h.bench == name], levels) for name in benches]
    if len(main) > 1:
        main.append(_average(main, levels))
    category_of = {name: c.category for name, c in spec.corruptions.items()}
    breakdowns = [
        _breakdown("Question category", hits, levels, lambda h: h.category or None),
        _breakdown(
            "Corruption category",
            hits,
            levels,
            lambda h: category_of.get(h.corruption or ""),
            spec.categories,
        ),
        _breakdown("Corruption", hits, levels, lambda h: h.corruption, spec.corruptions),
    ]
    return Tables(
        header=_header(results, spec),
        levels=levels,
        main=tuple(main),
        breakdowns=tuple(b for b in breakdowns if b.rows),
        counts=dict(results.statuses) | {"planned": results.planned},
        complete=results.complete,
        notes=_notes(results),
    )


def _row(
    name: str, hits: Iterable[UnitHit], levels: Sequence[str], clean: Mapping[_Unit, float] | None = None
) -> LevelRow:
    by_level: dict[str, dict[_Unit, float]] = {level: {} for level in levels}
    earned: dict[str, dict[_Unit, list[float]]] = {level: {} for level in levels}
    for hit in hits:
        earned[hit.level].setdefault((hit.bench, hit.unit), []).append(hit.hit)
    for level, units in earned.items():
        by_level[level] = {unit: math.fsum(values) / len(values) for unit, values in units.items()}
    base = by_level.get(CLEAN, {}) if clean is None else clean
    scores: dict[str, Estimate] = {}
    drops: dict[str, Estimate] = {}
    for level in levels:
        shares = by_level[level]
        if level == CLEAN and clean is not None:
            touched = {unit for other in levels if other not in (CLEAN, RECODED) for unit in by_level[other]}
            shares = {unit: share for unit, share in clean.items() if unit in touched}
        estimate = proportion(list(shares.values()))
        if estimate is not None:
            scores[level] = estimate.scaled(100)
        both = [unit for unit in shares if unit in base]
        drop = paired_difference([base[u] for u in both], [shares[u] for u in both])
        if drop is not None and level != CLEAN:
            drops[level] = drop.scaled(100)
    return LevelRow(name, max((e.n for e in scores.values()), default=0), scores, drops)


def _average(rows: Sequence[LevelRow], levels: Sequence[str]) -> LevelRow:
    def mean(estimates: list[Estimate]) -> Estimate | None:
        return macro_mean(estimates) if len(estimates) == len(rows) else None

    scores = {lv: mean([r.scores[lv] for r in rows if lv in r.scores]) for lv in levels}
    drops = {lv: mean([r.drops[lv] for r in rows if lv in r.drops]) for lv in levels}
    return LevelRow(
        AVERAGE,
        sum(row.questions for row in rows),
        {lv: e for lv, e in scores.items() if e is not None},
        {lv: e for lv, e in drops.items() if e is not None},
    )


def _breakdown(
    title: str,
    hits: Sequence[UnitHit],
    levels: Sequence[str],
    key: Callable[[UnitHit], str | None],
    order: Iterable[str] = (),
) -> Breakdown:
    groups: dict[str, list[UnitHit]] = {name: [] for name in order}
    clean: dict[_Unit, float] = {}
    for hit in hits:
        if hit.level == CLEAN:
            clean[hit.bench, hit.unit] = hit.hit
        name = key(hit)
        if name is not None:
            groups.setdefault(name, []).append(hit)
    # A part's clean score is that of the very questions which its corrupted rows hold.
    rows = [_row(name, part, levels, clean) for name, part in groups.items() if part]
    return Breakdown(title, tuple(rows))


def _header(results: RunResults, spec: Spec) -> dict[str, str]:
    plan = results.plan
    weighting = (
        "corruption categories weigh the same"
        if plan.design == "mixed"
        else "corruption types weigh the same"
    )
    return {
        "model": plan.model,
        "design": f"{plan.design} ({weighting})",
        "protocol": plan.protocol,
        "answer extraction": plan.extraction,
        "profile": plan.profile,
        "codec": plan.codec,
        "sample": plan.sample or "all questions",
        "seed": str(plan.seed),
        "corruption spec": spec.version,
    }


def _notes(results: RunResults) -> tuple[str, ...]:
    notes = []
    if not results.complete:
        failed = results.statuses.get("missing", 0) + results.statuses.get("error", 0)
        notes.append(
            f"INCOMPLETE: {failed} of {results.planned} planned answers are missing or failed; "
            "they count as wrong. Run the same command again."
        )
    no_ops = sum(arm.no_ops for arm in results.arms)
    if no_ops:
        notes.append(
            f"{no_ops} corrupted images equal their clean image (a corruption that finds nothing to change)."
        )
    for arm in results.arms:
        where = arm.level + (f", {arm.corruption}" if arm.corruption else "")
        notes.extend(f"{where} – {warning}" for warning in arm.score.warnings)
    return tuple(notes)
