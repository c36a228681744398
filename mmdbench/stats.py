"""Intervals for scores and for drops.

A score is a mean over questions, a drop the mean of the paired differences of the same
questions. The question is the unit: what is counted once, and what is independent. All
functions work on shares (0..1) and say so; nothing here is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["CONFIDENCE", "Estimate", "macro_mean", "paired_difference", "proportion"]

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval and the number of questions behind it; `low ≤ value ≤ high`.

    The interval's own centre and half-width may differ from the value's; `variance` is that of
    the interval's centre and lets means of several estimates have an interval too.
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


def proportion(hits: Sequence[float], confidence: float = CONFIDENCE) -> Estimate | None:
    """The mean of hits in 0..1 with Wilson's score interval; None if there are none.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209. For hits that are not all 0 or 1 the
    binomial variance is an upper bound, so the interval is then a little too wide, never too narrow.

    >>> e = proportion([1] * 8 + [0] * 2)
    >>> round(e.low, 4), e.value, round(e.high, 4)
    (0.4902, 0.8, 0.9433)
    """
    n = len(hits)
    if not n:
        return None
    z = _z(confidence)
    p = math.fsum(hits) / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Estimate(p, min(low, p), max(high, p), n, centre, (half / z) ** 2)


def paired_difference(
    before: Sequence[float], after: Sequence[float], confidence: float = CONFIDENCE
) -> Estimate | None:
    """The mean of `before − after` over the same questions (hits in 0..1); None if there are none.

    Bonett and Price's adjusted Wald interval, Br. J. Math. Stat. Psychol. 65 (2012) 430: one
    pseudo-question that only the first answers and one that only the second answers are added,
    so that the interval keeps its width when no answer flips. The value itself is not adjusted.

    >>> e = paired_difference([1, 1, 1, 0], [1, 0, 1, 0])
    >>> e.value, round(e.low, 3), round(e.high, 3)
    (0.25, -0.383, 0.717)
    """
    n = len(before)
    if n != len(after):
        raise ValueError(f"a paired difference needs equal lengths, got {n} and {len(after)}")
    if not n:
        return None
    differences = [b - a for b, a in zip(before, after, strict=True)]
    total, squares = math.fsum(differences), math.fsum(d * d for d in differences)
    centre = total / (n + 2)
    variance = max(0.0, (squares + 2) / (n + 2) - centre**2) / (n + 2)
    half = _z(confidence) * math.sqrt(variance)
    value = total / n
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return Estimate(value, min(low, value), max(high, value), n, centre, variance)


def macro_mean(estimates: Sequence[Estimate], confidence: float = CONFIDENCE) -> Estimate | None:
    """The unweighted mean of independent estimates (one for each benchmark); None if there are none."""
    if not estimates:
        return None
    count = len(estimates)
    value = math.fsum(e.value for e in estimates) / count
    if count == 1:
        return estimates[0]
    centre = math.fsum(e.centre for e in estimates) / count
    variance = math.fsum(e.variance for e in estimates) / count**2
    half = _z(confidence) * math.sqrt(variance)
    low, high = min(centre - half, value), max(centre + half, value)
    return Estimate(value, low, high, sum(e.n for e in estimates), centre, variance)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
