"""Hits as a series with one value for each question, and the scores and drops estimated from it.

The mean of a series is the score: over one arm the headline's mean, over several corruptions
(or sources) the unweighted mean of theirs. The question is the cluster of the variance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mmdbench.records import Index
from mmdbench.results.graded_run import UnitHit
from mmdbench.stats import Estimate, Stratified, group_balanced, paired_difference, proportion

__all__ = ["Series", "Unit", "change", "make_series", "score_of"]

Unit = tuple[str, Index]


@dataclass(frozen=True, slots=True)
class Series:
    """Contributions of questions to a score, which is the mean of `at.values` (0..1).

    With `apart`, every corruption weighs the same in the score.
    """

    hits: tuple[UnitHit, ...]
    apart: bool
    units: tuple[Unit, ...]
    at: Stratified

    @property
    def share(self) -> float:
        """The score, 0..1."""
        return float(np.mean(self.at.values))

    @property
    def binary(self) -> bool:
        """True if each question has exactly one hit, of 0 or 1."""
        return len(self.hits) == len(self.units) and all(hit.hit in (0.0, 1.0) for hit in self.hits)

    def only(self, units: frozenset[Unit]) -> Series:
        """The series of some of its questions."""
        return make_series((hit for hit in self.hits if (hit.bench, hit.unit) in units), apart=self.apart)


def make_series(hits: Iterable[UnitHit], *, apart: bool) -> Series:
    """The series of hits at one level; with `apart` every corruption weighs the same."""
    kept = tuple(hits)
    groups = [(hit.corruption if apart else None, hit.stratum) for hit in kept]
    units, values = group_balanced([hit.hit for hit in kept], [(h.bench, h.unit) for h in kept], groups)
    return Series(kept, apart, tuple(units), values)  # type: ignore[arg-type]


def score_of(series: Series) -> Estimate | None:
    """The score in points (0..100) with its interval; None if there are no hits."""
    estimate = proportion(series.at.values, residuals=series.at.residuals)
    return None if estimate is None else estimate.scaled(100)


def change(before: Series, after: Series) -> Estimate | None:
    """`before − after` in points (0..100), paired by question; None if the series share no question."""
    shared = frozenset(before.units) & frozenset(after.units)
    if not shared:
        return None
    if len(shared) < len(before.units):
        before = before.only(shared)
    if len(shared) < len(after.units):
        after = after.only(shared)
    place = {unit: i for i, unit in enumerate(after.units)}
    order = np.array([place[unit] for unit in before.units], np.intp)
    estimate = paired_difference(
        before.at.values, after.at.values[order], residuals=before.at.residuals - after.at.residuals[order]
    )
    return None if estimate is None else estimate.scaled(100)
