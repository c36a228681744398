"""Intervals for one mean of hits and for the mean of paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mmdbench.stats.estimates import CONFIDENCE, Estimate, normal_quantile, wilson

__all__ = ["Floats", "paired_difference", "proportion"]

Floats = Sequence[float] | NDArray[np.float64]
"""Numbers, one for each question."""

_PSEUDO = 2.0  # the least that held 93 % with few right answers in simulations (docs/statistics.md)


def proportion(
    hits: Floats,
    confidence: float = CONFIDENCE,
    *,
    residuals: Floats | None = None,
    fraction: float = 0.0,
) -> Estimate | None:
    """The mean of hits with Wilson's score interval.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209. Hits that are not all 0 or 1 (a mean
    over corruptions, a judge's grade) enter with their effective number: n times the binomial
    variance over their own, as Korn and Graubard, Survey Methodology 24 (1998) 193, do for
    clustered samples. Their own variance is (n · variance + binomial variance) / (n + 1), so that
    the interval of equal hits keeps a width.

    Args:
        hits: One hit for each question, in 0..1.
        confidence: The confidence of the interval, in (0, 1).
        residuals: Numbers of mean 0 that replace hits − mean in the variance, where strata explain
            a part of it; as many as hits.
        fraction: The share of a finite population that was asked; it leaves (1 − fraction) of the
            variance.

    Returns:
        The mean and its interval, as shares; None without hits.

    Raises:
        ValueError: The mean is outside 0..1.

    >>> e = proportion([1] * 8 + [0] * 2)
    >>> round(e.low, 4), e.value, round(e.high, 4)
    (0.4902, 0.8, 0.9433)
    """
    values = np.asarray(hits, np.float64)
    n = len(values)
    if not n:
        return None
    mean = _mean(values)
    p = min(max(mean, 0.0), 1.0)
    if abs(p - mean) > 1e-9:
        raise ValueError(f"the mean of hits must be between 0 and 1, got {mean}")
    spread = values - p if residuals is None else np.asarray(residuals, np.float64)
    binomial = p * (1 - p)
    own = (math.fsum(spread * spread) + binomial) / (n + 1) * (1 - fraction)
    # At 0 and 1 the sample holds no variance of any kind, and Wilson's limit needs only the number.
    size = n * binomial / own if own > 1e-15 else n / max(1 - fraction, 1e-12)
    measured = spread / n * math.sqrt(1 - fraction)
    sampling, fourth = math.fsum(measured**2), math.fsum(measured**4)
    return replace(wilson(p, size, n, confidence), sampling=sampling, fourth=fourth)


def paired_difference(
    before: Floats,
    after: Floats,
    confidence: float = CONFIDENCE,
    *,
    residuals: Floats | None = None,
    fraction: float = 0.0,
) -> Estimate | None:
    """The mean of `before − after` over the same questions, with its interval.

    Bonett and Price's adjusted Wald interval, Br. J. Math. Stat. Psychol. 65 (2012) 430: one
    pseudo-question that only the first answers and one that only the second answers are added,
    so that the interval keeps its width when no answer flips. The value itself is not adjusted.
    The squared difference of a pseudo-question is q² = min(1, max((Σd² + 2) / (m + 2), 2 / (2 + f))):
    d are the m differences that are not 0; f is the smallest of the numbers of right and of wrong
    answers, before and after. Hits that are all 0 or 1 have q² = 1, as in the paper. Means over
    corruptions differ by less; the second term keeps the interval wide where so few answers are
    right, or wrong, that their differences say little.

    Args:
        before: One hit for each question, in 0..1.
        after: The hits of the same questions, in the same order.
        confidence: The confidence of the interval, in (0, 1).
        residuals: As in `proportion`, in place of difference − mean.
        fraction: As in `proportion`.

    Returns:
        The mean and its interval, as shares in −1..1; None without questions.

    Raises:
        ValueError: The two are not of the same length.

    >>> e = paired_difference([1, 1, 1, 0], [1, 0, 1, 0])
    >>> e.value, round(e.low, 3), round(e.high, 3)
    (0.25, -0.383, 0.717)
    """
    n = len(before)
    if n != len(after):
        raise ValueError(f"a paired difference needs equal lengths, got {n} and {len(after)}")
    if not n:
        return None
    gaps = np.asarray(before, np.float64) - np.asarray(after, np.float64)
    value = _mean(gaps)
    spread = gaps - value if residuals is None else np.asarray(residuals, np.float64)
    pseudo = _pseudo_square(gaps, math.fsum(before), math.fsum(after))
    rest = 1 - fraction
    squares = math.fsum(spread * spread) + n * value * value + 2 * pseudo
    centre = value * (1 - rest * 2 / (n + 2))
    variance = max(0.0, squares / (n + 2) - (value * n / (n + 2)) ** 2) / (n + 2) * rest
    half = normal_quantile(confidence) * math.sqrt(variance)
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    sampling = math.fsum(spread * spread) / n**2 * rest
    return Estimate(value, min(low, value), max(high, value), n, centre, variance, sampling)


def _pseudo_square(gaps: NDArray[np.float64], before: float, after: float) -> float:
    """The squared difference q² of a pseudo-question; `before` and `after` are sums of hits."""
    moved = gaps[np.abs(gaps) > 1e-12]
    seen = (math.fsum(moved * moved) + _PSEUDO) / (len(moved) + _PSEUDO)
    few = max(0.0, min(before, after, len(gaps) - before, len(gaps) - after))
    return min(1.0, max(seen, _PSEUDO / (_PSEUDO + few)))


def _mean(values: NDArray[np.float64]) -> float:
    return math.fsum(values) / len(values)
