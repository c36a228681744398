"""Half-widths and detectable effects to expect from a number of questions, before a model is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from mmdbench.stats.estimates import CONFIDENCE, Estimate, normal_quantile

__all__ = [
    "FLIPS",
    "detectable_effect",
    "detectable_given",
    "flips_of",
    "half_width",
    "macro_half_width",
    "questions_needed",
]

FLIPS = 0.1
"""The share of answers that differ between two arms, where it is not known."""


def half_width(n: int, flips: float = FLIPS, confidence: float = CONFIDENCE) -> float:
    """Half the width of the interval of a paired difference.

    Wald's interval of matched pairs at a difference of zero: A. Agresti, Categorical Data Analysis,
    3rd ed. (2013), section 11.1.

    Args:
        n: The number of questions.
        flips: The share of questions whose hit differs between the two arms.
        confidence: The confidence of the interval, in (0, 1).

    Returns:
        The half-width as a share; infinite without questions.

    >>> round(100 * half_width(2974, flips=0.05), 2), round(100 * half_width(218, flips=0.1), 2)
    (0.8, 4.2)
    """
    return normal_quantile(confidence) * math.sqrt(flips / n) if n > 0 else math.inf


def macro_half_width(sizes: Sequence[int], flips: float = FLIPS, confidence: float = CONFIDENCE) -> float:
    """Half the width of the interval of the unweighted mean drop over several benchmarks.

    Args:
        sizes: The number of questions of each benchmark.
        flips: The share of questions whose hit differs between the two arms.
        confidence: The confidence of the interval, in (0, 1).

    Returns:
        The half-width as a share; infinite without benchmarks.

    >>> round(100 * macro_half_width([2974, 218, 300, 2638, 1500, 764], flips=0.05), 2)
    0.75
    """
    widths = [half_width(n, flips, confidence) for n in sizes]
    return math.sqrt(math.fsum(w * w for w in widths)) / len(widths) if widths else math.inf


def detectable_effect(n: int, flips: float = FLIPS, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest difference that McNemar's exact one-sided test finds with at least a given power.

    The normal sample-size formula for matched pairs (J. E. Connor, Biometrics 43 (1987) 207) with
    one answer as continuity correction: without it the exact test finds 72 to 78 of 100 differences
    of which the formula promises 80. At least as many answers flip as the difference needs.

    Args:
        n: The number of questions.
        flips: The share of questions whose hit differs between the two arms.
        alpha: The rate of false alarms of the test, in (0, 1).
        power: The probability of finding the difference, in (0, 1).

    Returns:
        The difference as a share, at most 1; infinite if none is large enough for so few questions.

    >>> [round(100 * detectable_effect(n, flips=0.05), 1) for n in (2974, 218, 1500)]
    [1.1, 4.2, 1.5]
    """
    size, sure = NormalDist().inv_cdf(1 - alpha), NormalDist().inv_cdf(power)

    def is_found(difference: float) -> bool:
        moved = max(flips, difference)
        spread = math.sqrt(max(0.0, moved - difference**2) * n)
        return n * difference >= size * math.sqrt(moved * n) + 1 + sure * spread

    low, high = 0.0, 1.0
    if n <= 0 or not is_found(high):
        return math.inf
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if is_found(middle) else (middle, high)
    return high


def questions_needed(effect: float, flips: float = FLIPS, alpha: float = 0.05, power: float = 0.8) -> float:
    """The number of questions by which `detectable_effect` falls to a difference.

    Args:
        effect: The difference as a share, at most 1.
        flips: The share of questions whose hit differs between the two arms.
        alpha: The rate of false alarms of the test, in (0, 1).
        power: The probability of finding the difference, in (0, 1).

    Returns:
        A whole number; infinite for a difference of 0.

    >>> questions_needed(0.1, flips=0.1), round(100 * detectable_effect(79, flips=0.1), 1)
    (79, 10.0)
    """
    if effect <= 0:
        return math.inf
    moved = max(flips, effect)
    size, sure = NormalDist().inv_cdf(1 - alpha), NormalDist().inv_cdf(power)
    # The condition of `detectable_effect` is a quadratic one in √n.
    slope = size * math.sqrt(moved) + sure * math.sqrt(max(0.0, moved - effect**2))
    return math.ceil(((slope + math.sqrt(slope**2 + 4 * effect)) / (2 * effect)) ** 2)


def detectable_given(
    estimate: Estimate, alpha: float = 0.05, power: float = 0.8, *, whole: float = 1.0
) -> float:
    """`detectable_effect` with the questions and the flips of a difference that was measured.

    Args:
        estimate: A difference of `paired_difference` or `mean_difference`.
        alpha: The rate of false alarms of the test, in (0, 1).
        power: The probability of finding the difference, in (0, 1).
        whole: The unit of the estimate: 1 for shares, 100 for points.

    Returns:
        The difference, in the unit of the estimate; infinite if none is large enough.
    """
    return whole * detectable_effect(estimate.n, flips_of(estimate, whole=whole), alpha, power)


def flips_of(estimate: Estimate, *, whole: float = 1.0) -> float:
    """The mean square of the paired differences of an estimate: the share of answers that flip.

    `whole` is the unit of the estimate: 1 for shares, 100 for points.
    """
    return min(1.0, (estimate.n * estimate.sampling + estimate.value**2) / whole**2)
