"""Tests of two models on the same questions, and corrections for many tests at once."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["benjamini_hochberg", "holm", "mcnemar", "mcnemar_above"]


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
