"""A value with its interval, and means and differences of independent ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["CONFIDENCE", "Estimate", "difference", "macro_mean", "normal_quantile"]

CONFIDENCE = 0.95
"""The confidence of every interval, unless a function is given another."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval and the number of questions behind it; `low ≤ value ≤ high`.

    Score intervals are not symmetric about the value: `centre` is the middle of the interval, and
    `variance` belongs to it. Both let a mean of several estimates have an interval too.
    """

    value: float
    low: float
    high: float
    n: int
    centre: float
    variance: float

    def scaled(self, factor: float) -> Estimate:
        """The same estimate in another unit: `scaled(100)` turns shares into points."""
        return Estimate(
            self.value * factor,
            min(self.low * factor, self.high * factor),
            max(self.low * factor, self.high * factor),
            self.n,
            self.centre * factor,
            self.variance * factor**2,
        )

    def bounds(self, confidence: float) -> tuple[float, float]:
        """The two-sided normal interval at another confidence, stretched to hold the value."""
        half = normal_quantile(confidence) * math.sqrt(self.variance)
        return min(self.centre - half, self.value), max(self.centre + half, self.value)

    def p_above(self, null: float = 0.0) -> float:
        """One-sided p-value of the hypothesis that the truth is at most `null` (normal, as the interval)."""
        if self.variance == 0:
            return 0.0 if self.centre > null else 1.0
        return 1 - NormalDist().cdf((self.centre - null) / math.sqrt(self.variance))

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided p-value of the hypothesis that the truth is `null` (normal, as the interval)."""
        above = self.p_above(null)
        return min(1.0, 2 * min(above, 1 - above)) if self.variance or self.centre != null else 1.0


def macro_mean(estimates: Sequence[Estimate], confidence: float = CONFIDENCE) -> Estimate | None:
    """The unweighted mean of independent estimates, one for each benchmark; None if there are none.

    The variance of a mean of k independent estimates is the sum of theirs, divided by k²
    (Cochran, Sampling Techniques, 3rd ed., 1977, theorem 5.2, with equal weights).
    """
    if not estimates:
        return None
    count = len(estimates)
    if count == 1:
        return estimates[0]
    value = math.fsum(e.value for e in estimates) / count
    centre = math.fsum(e.centre for e in estimates) / count
    variance = math.fsum(e.variance for e in estimates) / count**2
    half = normal_quantile(confidence) * math.sqrt(variance)
    low, high = min(centre - half, value), max(centre + half, value)
    return Estimate(value, low, high, sum(e.n for e in estimates), centre, variance)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """`first − second` of two independent estimates, such as a run's score and a published one.

    Newcombe's hybrid interval, Stat. Med. 17 (1998) 873, method 10: the two intervals' distances
    to their values are squared and added.

    >>> from mmdbench.stats import proportion
    >>> e = difference(proportion([1] * 56 + [0] * 14), proportion([1] * 48 + [0] * 32))
    >>> round(e.value, 4), round(e.low, 4), round(e.high, 4)
    (0.2, 0.0524, 0.3339)
    """
    value = first.value - second.value
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    high = value + math.hypot(first.high - first.value, second.value - second.low)
    variance = first.variance + second.variance
    return Estimate(value, low, high, min(first.n, second.n), first.centre - second.centre, variance)


def normal_quantile(confidence: float) -> float:
    """Half the width of a two-sided normal interval, in standard errors.

    >>> round(normal_quantile(0.95), 2)
    1.96
    """
    return NormalDist().inv_cdf((1 + confidence) / 2)
