"""Variance of hits between questions and between repeats of the same question."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RepeatVariance", "repeat_variance"]


@dataclass(frozen=True, slots=True)
class RepeatVariance:
    """Variance components of hits: `between_questions` and `between_repeats`, as squares of shares.

    `scores` are those of the single repeats; `questions` is their number.
    """

    questions: int
    scores: tuple[float, ...]
    between_questions: float
    between_repeats: float

    @property
    def score_deviation(self) -> float:
        """The standard deviation of one repeat's score over repeats of the same questions."""
        return math.sqrt(self.between_repeats / self.questions)


def repeat_variance(hits: NDArray[np.float64]) -> RepeatVariance:
    """Split the variance of repeated hits.

    The estimators of the one-way analysis of variance with random effects, of which a negative
    one counts as 0: S. R. Searle, G. Casella and C. E. McCulloch, Variance Components (1992), section 3.6.
    The mean over R repeats of n questions has the variance (between questions + between repeats / R) / n,
    which is what the intervals of the questions' means hold.

    Args:
        hits: One row for each question and one column for each repeat, in 0..1; two columns at least.

    Returns:
        The components.

    Raises:
        ValueError: There is one repeat, or no question.

    >>> found = repeat_variance(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]))
    >>> found.scores, found.between_repeats, round(found.between_questions, 4)
    ((0.75, 0.5), 0.125, 0.1667)
    """
    questions, repeats = hits.shape
    if repeats < 2 or not questions:
        raise ValueError(f"at least one question and two repeats are needed, got {questions} and {repeats}")
    means = hits.mean(axis=1)
    within = float(((hits - means[:, None]) ** 2).sum()) / (questions * (repeats - 1))
    among = float(means.var(ddof=1)) if questions > 1 else 0.0
    scores = tuple(float(score) for score in hits.mean(axis=0))
    return RepeatVariance(questions, scores, max(0.0, among - within / repeats), within)
