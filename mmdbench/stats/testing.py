"""Tests of two models on the same questions, and corrections for many tests at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mmdbench.stats.estimates import CONFIDENCE

__all__ = ["benjamini_hochberg", "holm", "mcnemar", "mcnemar_above", "rank_intervals"]


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact two-sided p-value, from the numbers of questions that only one model answers right.

    The binomial test of the discordant pairs: Q. McNemar, Psychometrika 12 (1947) 153.

    >>> mcnemar(0, 0), round(mcnemar(1, 9), 5)
    (1.0, 0.02148)
    """
    return min(1.0, 2 * mcnemar_above(max(only_first, only_second), min(only_first, only_second)))


def mcnemar_above(only_first: int, only_second: int) -> float:
    """The exact one-sided p-value of the hypothesis that the first model is not the better one.

    >>> mcnemar_above(0, 0), round(mcnemar_above(9, 1), 5), round(mcnemar_above(1, 9), 5)
    (1.0, 0.01074, 0.99902)
    """
    n = only_first + only_second
    tail = term = 1
    for i in range(only_second):
        term = term * (n - i) // (i + 1)
        tail += term
    return float(tail / 2**n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the chance of any false finding (the family-wise error).

    Source: S. Holm, Scand. J. Stat. 6 (1979) 65.

    >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    count, worst = len(p_values), 0.0
    adjusted = [1.0] * count
    for rank, place in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (count - rank) * p_values[place]))
        adjusted[place] = worst
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the share of false findings among the findings.

    Source: Y. Benjamini and Y. Hochberg, J. R. Stat. Soc. B 57 (1995) 289.

    >>> [round(p, 4) for p in benjamini_hochberg([0.01, 0.04, 0.03, 0.005])]
    [0.02, 0.04, 0.04, 0.02]
    """
    count, least = len(p_values), 1.0
    adjusted = [1.0] * count
    for rank, place in enumerate(sorted(range(count), key=lambda i: -p_values[i])):
        least = min(least, p_values[place] * count / (count - rank))
        adjusted[place] = least
    return adjusted


def rank_intervals(
    count: int, not_better: Mapping[tuple[int, int], float], alpha: float = 1 - CONFIDENCE
) -> list[tuple[int, int]]:
    """The ranks, 1 for the best, that each of several models may have: all of them at once hold the truth.

    A model's best rank is one after those that are found better than it, its worst is before those that are
    found worse. Findings are by Holm over the one-sided tests of every ordered pair, so that with
    probability 1 − `alpha` none of them is false. Source: M. Mogstad, J. P. Romano, A. M. Shaikh and
    D. Wilhelm, Review of Economic Studies 91 (2024) 476, with Holm's adjustment in place of a bootstrap.

    Args:
        count: Number of models.
        not_better: One-sided p-values by pairs (i, j), of the hypothesis that model i is not better than j;
            a pair that is missing was not tested, so that nothing is found of it.
        alpha: Chance of any false finding.

    Returns:
        Best and worst rank of each model.

    >>> rank_intervals(3, {(0, 1): 0.2, (1, 0): 0.8, (0, 2): 1e-5, (2, 0): 1, (1, 2): 1e-4, (2, 1): 1})
    [(1, 2), (1, 2), (3, 3)]
    """
    adjusted = zip(not_better, holm(list(not_better.values())), strict=True)
    found = [pair for pair, p in adjusted if p <= alpha]
    better, worse = Counter(j for _, j in found), Counter(i for i, _ in found)
    return [(1 + better[i], count - worse[i]) for i in range(count)]
