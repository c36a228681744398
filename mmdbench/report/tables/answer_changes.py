"""Tables of answers that change with severity: flips, retained scores, worst cases, scores that rise."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mmdbench.records import CLEAN, RECODED, UNDEGRADED
from mmdbench.report.question_series import Series, change, make_series, score_of
from mmdbench.report.scores import counted_hits, run_series
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.graded_run import RunResults
from mmdbench.results.hit_columns import HitColumns
from mmdbench.stats.estimates import CONFIDENCE, normal_quantile

__all__ = ["flip_table", "ladder_flags", "retained_share", "retention_table", "worst_case_table"]

_LABELS = ("Model", "Benchmark", "Level")


def flip_table(runs: Sequence[RunResults]) -> Table:
    """Shares of questions that flip right → wrong and wrong → right, and the net drop.

    A net drop of 5 points may be 5 flips in a hundred questions, or 25.
    """
    body = []
    for run, bench, level, before, after in _degraded_series(runs):
        if before is not None:
            lost, gained = (_flips(before, after, sign) for sign in (1, -1))
            values = (value_of(score_of(lost)), value_of(score_of(gained)), value_of(change(before, after)))
            body.append(_row(run, bench, level, values))
    names = (("right → wrong", "%"), ("wrong → right", "%"), ("net drop", "points"))
    columns = tuple(Column(name, unit, difference=True) for name, unit in names)
    caption = "In percent of the questions; over corruptions first, where a question met several."
    return Table("flips", "Answers that flip", _LABELS, columns, tuple(body), caption, model_at=0)


def _degraded_series(
    runs: Iterable[RunResults],
) -> Iterator[tuple[RunResults, str, str, Series | None, Series]]:
    """Run, benchmark, level, clean series and series of every level but the clean one.

    The clean series is that of the level's questions.
    """
    for run in runs:
        series = run_series(run)
        for (bench, level), after in series.items():
            if level != CLEAN:
                clean = series.get((bench, CLEAN))
                yield run, bench, level, clean and clean.only(after), after


def _row(run: RunResults, bench: str, level: str, values: tuple[Value | None, ...]) -> Row:
    return Row((run.name, run.title(bench), level), values, section=f"{run.name} {bench}")


def _flips(before: Series, after: Series, sign: int) -> Series:
    clean, known = _clean_hits(before, after.hits)
    hits = replace(after.hits, hit=np.maximum(0.0, sign * (clean - after.hits.hit)))
    return make_series(hits.only(known), apart=after.apart)


def _clean_hits(before: Series, hits: HitColumns) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The clean hit of the question of each hit, and which of them there are."""
    places = before.places(hits.question)
    one_each = np.zeros(len(before.questions) + 1)  # the last is that of questions without a clean hit
    one_each[before.places(before.hits.question)] = before.hits.hit
    return one_each[places], places >= 0


def retention_table(runs: Sequence[RunResults]) -> Table:
    """Share of the clean score that is left at each level, with and without what a guess scores."""
    body = []
    for run, bench, level, before, after in _degraded_series(runs):
        if before is not None and level != RECODED:
            guess = run.chance.get(bench, 0.0)
            values = (
                retained_share(before, after, 0.0),
                retained_share(before, after, guess),
                Value(100 * guess),
            )
            body.append(_row(run, bench, level, values))
    columns = (
        Column("retained", "%", difference=True),
        Column("retained above chance", "%", difference=True),
        Column("chance"),
    )
    caption = (
        "Retained = score / clean score; above chance = (score − chance) / (clean − chance), and none where "
        "the clean score is not above chance. Intervals by the delta method."
    )
    return Table("retention", "What is retained", _LABELS, columns, tuple(body), caption, model_at=0)


def retained_share(before: Series, after: Series, guess: float) -> Value | None:
    """The score above a guess that is left, as a share of the clean one, in percent.

    Its interval is that of a ratio of two means: G. W. Oehlert, Am. Stat. 46 (1992) 27.

    Args:
        before: The clean series.
        after: The series of the same questions at a degraded level.
        guess: The score of a guess, 0..1.

    Returns:
        The share with its interval; None if the clean score is not clearly above a guess, or the
        series are of different questions.
    """
    clean = score_of(before)
    if clean is None or clean.low <= 100 * guess or not _of_same_questions(before, after):
        return None
    usable = before.share - guess
    ratio = (after.share - guess) / usable
    spread = before.at.residuals[before.places(after.question)]
    parts = (after.at.residuals - ratio * spread) / usable
    half = normal_quantile(CONFIDENCE) * math.sqrt(math.fsum(parts * parts)) / len(parts)
    return Value(100 * ratio, 100 * (ratio - half), 100 * (ratio + half), len(parts))


def _of_same_questions(before: Series, after: Series) -> bool:
    return before.only(after) is before and after.only(before) is after


def worst_case_table(runs: Sequence[RunResults]) -> Table:
    """Share of questions that stay right under every corruption, and the corruption that breaks most."""
    body = []
    for run, bench, level, before, after in _degraded_series(run for run in runs if run.apart):
        if level in UNDEGRADED:
            continue
        places = after.places(after.hits.question)
        rows = np.lexsort((after.hits.hit, places))  # of equal hits the first is first
        _, first = np.unique(places[rows], return_index=True)
        worst = make_series(after.hits.only(rows[first]), apart=False)
        values = (value_of(score_of(after)), value_of(score_of(worst)), Value(_breaker(before, after)))
        body.append(_row(run, bench, level, values))
    columns = (
        Column("mean over corruptions"),
        Column("worst corruption per question"),
        Column("breaks most", "text"),
    )
    caption = "Worst = the question's lowest hit over its corruptions, as in HELM's worst-case robustness."
    return Table(
        "worst-case", "Worst corruption per question", _LABELS, columns, tuple(body), caption, model_at=0
    )


def _breaker(before: Series | None, after: Series) -> str:
    if before is None:
        return "–"
    clean, _ = _clean_hits(before, after.hits)
    right = after.hits.only(clean > 0)
    asked = Counter(name or "" for name in right.corruption.values)
    broken = Counter(name or "" for name in right.only(right.hit == 0).corruption.values)
    shares = {name: count / asked[name] for name, count in broken.items()}
    if not shares:
        return "–"
    name = max(sorted(shares), key=lambda n: shares[n])
    return f"{name} ({broken[name]} of {asked[name]})"


def ladder_flags(runs: Sequence[RunResults]) -> Table:
    """Steps between levels at which the harder level scores better, and if that is more than noise."""
    body = []
    for run in runs:
        for name, series in _ladders(run):
            levels = [level for level in run.plan.levels if level != RECODED and level in series]
            for lower, upper in pairwise(levels):
                gain = change(series[upper], series[lower])
                if gain is not None and gain.value > 0:
                    verdict = "more than noise" if gain.low > 0 else "within noise"
                    body.append(Row((run.name, name, f"{lower} → {upper}"), (value_of(gain), Value(verdict))))
    columns = (Column("gain", signed=True, difference=True), Column("verdict", "text"))
    caption = (
        "A harder level should not score better. Each interval stands for itself: of many rows a few leave "
        "noise by chance."
    )
    labels = ("Model", "Part", "Step")
    return Table("severity", "Ladders that rise", labels, columns, tuple(body), caption, model_at=0)


def _ladders(run: RunResults) -> Iterator[tuple[str, Mapping[str, Series]]]:
    series = run_series(run)
    for bench in run.benches:
        yield run.title(bench), {level: s for (name, level), s in series.items() if name == bench}
    counted = counted_hits(run).without_strata()
    clean = make_series(counted.at(CLEAN), apart=False)
    for name in filter(None, counted.corruption.distinct):
        hits = counted.only(counted.corruption.equals(name))
        ladder = {level: make_series(hits.at(level), apart=False) for level in hits.level.distinct}
        asked = make_series(hits, apart=False)
        yield name, {**ladder, CLEAN: clean.only(asked)}
