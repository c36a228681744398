"""Hits as a series with one value for each question, and the scores and drops estimated from it.

The mean of a series is the score: over one arm the headline's mean, over several corruptions
(or sources) the unweighted mean of theirs. The question is the cluster of the variance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mmdbench.records import Index
from mmdbench.results.hit_columns import CodedColumn, Codes, HitColumns, UnitHit, in_columns
from mmdbench.stats import Estimate, Stratified, group_balanced, paired_difference, proportion

__all__ = ["Series", "Unit", "change", "make_series", "score_of"]

Unit = tuple[str, Index]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Contributions of questions to a score, which is the mean of `at.values` (0..1).

    `questions` are the codes of the questions in `hits.question`, in the order in which they first occur.
    With `apart`, every corruption weighs the same in the score.
    """

    hits: HitColumns
    apart: bool
    questions: Codes
    at: Stratified

    @property
    def units(self) -> list[Unit]:
        """The questions."""
        return [self.hits.question.names.values[code] for code in self.questions.tolist()]

    @property
    def share(self) -> float:
        """The score, 0..1."""
        return float(np.mean(self.at.values))

    @property
    def binary(self) -> bool:
        """True if each question has exactly one hit, of 0 or 1."""
        return len(self.hits) == len(self.questions) and bool(np.isin(self.hits.hit, (0.0, 1.0)).all())

    @property
    def question(self) -> CodedColumn:
        """The questions as a column."""
        return CodedColumn(self.hits.question.names, self.questions)

    def places(self, questions: CodedColumn) -> Codes:
        """The place in this series of each of some questions, -1 for those that it lacks."""
        place = np.full(len(self.hits.question.names.values) + 1, -1, np.intp)  # the last is that of code -1
        place[self.questions] = np.arange(len(self.questions))
        return place[self.hits.question.like(questions)]

    def only(self, other: Series) -> Series:
        """The series of those questions that another one has too; itself if it has all of them."""
        shared = other.places(self.hits.question) >= 0
        return self if shared.all() else make_series(self.hits.only(shared), apart=self.apart)


def make_series(hits: HitColumns | Iterable[UnitHit], *, apart: bool) -> Series:
    """The series of hits at one level; with `apart` every corruption weighs the same."""
    kept = in_columns(hits)
    groups = kept.stratum.codes
    if apart:
        groups = kept.corruption.codes * len(kept.stratum.names.values) + groups
    questions, values = group_balanced(kept.hit, kept.question.codes, groups)
    return Series(kept, apart, questions, values)


def score_of(series: Series) -> Estimate | None:
    """The score in points (0..100) with its interval; None if there are no hits."""
    estimate = proportion(series.at.values, residuals=series.at.residuals)
    return None if estimate is None else estimate.scaled(100)


def change(before: Series, after: Series) -> Estimate | None:
    """`before − after` in points (0..100), paired by question; None if the series share no question."""
    before, after = before.only(after), after.only(before)
    if not len(before.questions):
        return None
    order = after.places(before.question)
    estimate = paired_difference(
        before.at.values, after.at.values[order], residuals=before.at.residuals - after.at.residuals[order]
    )
    return None if estimate is None else estimate.scaled(100)
