"""A value with its interval, and means and differences of independent ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

__all__ = [
    "CONFIDENCE",
    "Estimate",
    "difference",
    "mean_difference",
    "mean_score",
    "normal_quantile",
]

CONFIDENCE = 0.95
"""The confidence of every interval, unless a function is given another."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval and the number of questions behind it; `low ≤ value ≤ high`.

    Score intervals are not symmetric about the value: `centre` is the middle of the interval, and
    `variance` belongs to it. `sampling` is the variance of the value as it was measured, and `fourth`
    the sum of the fourth powers of the questions' shares in it: where few questions make the
    variance, it is itself uncertain. Means of scores are made from both.
    """

    value: float
    low: float
    high: float
    n: int
    centre: float
    variance: float
    sampling: float = 0.0
    fourth: float = 0.0

    def scaled(self, factor: float) -> Estimate:
        """The same estimate in another unit: `scaled(100)` turns shares into points."""
        return Estimate(
            self.value * factor,
            min(self.low * factor, self.high * factor),
            max(self.low * factor, self.high * factor),
            self.n,
            self.centre * factor,
            self.variance * factor**2,
            self.sampling * factor**2,
            self.fourth * factor**4,
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


def mean_difference(estimates: Sequence[Estimate], confidence: float = CONFIDENCE) -> Estimate | None:
    """The unweighted mean of independent differences, one for each benchmark; None if there are none.

    The variance of a mean of k independent estimates is the sum of theirs, divided by k²
    (Cochran, Sampling Techniques, 3rd ed., 1977, theorem 5.2, with equal weights). The interval is
    around the mean itself: the centre of each single interval is drawn to 0, and the mean of
    the centres would be drawn as far, however many benchmarks there are.
    """
    if len(estimates) < 2:
        return estimates[0] if estimates else None
    count = len(estimates)
    value = math.fsum(e.value for e in estimates) / count
    variance = math.fsum(e.variance for e in estimates) / count**2
    sampling = math.fsum(e.sampling for e in estimates) / count**2
    half = normal_quantile(confidence) * math.sqrt(variance)
    n = sum(e.n for e in estimates)
    return Estimate(value, value - half, value + half, n, value, variance, sampling)


def mean_score(
    estimates: Sequence[Estimate], confidence: float = CONFIDENCE, *, whole: float = 1.0
) -> Estimate | None:
    """The unweighted mean of independent scores, one for each benchmark, with a score interval.

    Wilson's interval (J. Am. Stat. Assoc. 22 (1927) 209), with one variance for each benchmark. It
    holds every truth whose distance to the mean is at most the quantile times the standard error
    at that truth; a truth that is farther away is shared among the benchmarks as their variances are.
    For one benchmark, and no answer added, it is Wilson's. Each benchmark enters with its effective
    number of answers (Korn and Graubard, Survey Methodology 24 (1998) 193). For the variances, two
    right and two wrong answers (A. Agresti and B. A. Coull, Am. Stat. 52 (1998) 119) are shared
    among the benchmarks, so that those with every answer right are not certain; where that is less than
    one answer for each, the rest of it is an answer as good as the mean.

    Args:
        estimates: Scores of `proportion` or of this function.
        confidence: The confidence of the interval, in (0, 1).
        whole: The score if all answers are right: 1 for shares, 100 for points.

    Returns:
        The mean in the unit of the estimates; a single score as it is; None if there are none.

    >>> from mmdbench.stats import proportion
    >>> e = mean_score([proportion([1] * 38 + [0] * 2)] * 6)
    >>> round(e.low, 3), round(e.value, 3), round(e.high, 3)
    (0.913, 0.95, 0.973)
    """
    if len(estimates) < 2:
        return estimates[0] if estimates else None
    count, square = len(estimates), normal_quantile(confidence) ** 2
    value = math.fsum(e.value for e in estimates) / count
    shares = [min(max(e.value / whole, 0.0), 1.0) for e in estimates]
    design = _design_effect(estimates, shares, whole)
    sizes, added, mean = [e.n / design for e in estimates], 4 / count, value / whole
    right = added / 2 + max(0.0, 1 - added) * mean
    raised = [(n * p + right) / (n + max(1.0, added)) for n, p in zip(sizes, shares, strict=True)]
    parts = [p * (1 - p) / n for n, p in zip(sizes, raised, strict=True)]
    total = math.fsum(parts)
    weights = [part / total for part in parts]
    slope = math.fsum(w * (1 - 2 * p) / n for w, p, n in zip(weights, shares, sizes, strict=True)) / count
    bend = 1 + square * math.fsum(w * w / n for w, n in zip(weights, sizes, strict=True))
    shift = square * slope / 2 / bend
    half = math.sqrt(shift**2 + square * total / count**2 / bend)
    low, high, n = max(0.0, mean + shift - half), min(1.0, mean + shift + half), sum(e.n for e in estimates)
    found = Estimate(mean, min(low, mean), max(high, mean), n, mean + shift, half**2 / square).scaled(whole)
    sampling = math.fsum(e.sampling for e in estimates) / count**2
    fourth = math.fsum(e.fourth for e in estimates) / count**4
    return replace(found, value=value, sampling=sampling, fourth=fourth)


def _design_effect(estimates: Sequence[Estimate], shares: Sequence[float], whole: float) -> float:
    """The variance of all scores together as a share of that of single answers, one for each question.

    Where it is below 1 (several answers to a question, grades) it was measured on few questions:
    with ν of them, effectively, it is raised by 3/(2ν) of itself and by 1/(2ν²), and stays below 1
    (docs/decisions/intervals.md). ν is the square of the variance over the sum of fourth powers.
    """
    binomial = math.fsum(p * (1 - p) / e.n for p, e in zip(shares, estimates, strict=True))
    variance = math.fsum(e.sampling for e in estimates) / whole**2
    fourth = math.fsum(e.fourth for e in estimates) / whole**4
    if binomial < 1e-15 or variance < 1e-15:
        return 1.0
    effect, doubt = variance / binomial, fourth / variance**2
    return max(effect, min(1.0, effect * (1 + 1.5 * doubt) + doubt**2 / 2))


def wilson(p: float, size: float, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """Wilson's score interval of a share.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.

    Args:
        p: The share, in 0..1.
        size: The effective number of answers, above 0; it need not be a whole number.
        n: The number of questions to report.
        confidence: The confidence of the interval, in (0, 1).

    Returns:
        The share and its interval.
    """
    z = normal_quantile(confidence)
    centre = (p + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(p * (1 - p) / size + z * z / (4 * size * size))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Estimate(p, min(low, p), max(high, p), n, centre, (half / z) ** 2)


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
