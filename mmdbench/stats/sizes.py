"""Half-widths and detectable effects to expect from a number of questions, before a model is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from mmdbench.stats.estimates import CONFIDENCE, Estimate, normal_quantile

__all__ = ["FLIPS", "detectable_effect", "detectable_given", "half_width", "macro_half_width"]

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
    """The smallest difference that a one-sided paired test finds with a given power.

    The normal sample-size formula for matched pairs: J. E. Connor, Biometrics 43 (1987) 207.

    Args:
        n: The number of questions.
        flips: The share of questions whose hit differs between the two arms.
        alpha: The rate of false alarms of the test, in (0, 1).
        power: The probability of finding the difference, in (0, 1).

    Returns:
        The difference as a share; infinite without questions.

    >>> [round(100 * detectable_effect(n, flips=0.05), 1) for n in (2974, 218, 1500)]
    [1.0, 3.8, 1.4]
    """
    return _reach(alpha, power) * math.sqrt(flips / n) if n > 0 else math.inf


def detectable_given(estimate: Estimate, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest difference that a one-sided test finds, where answers vary as they did in an estimate.

    Args:
        estimate: A measured difference; its variance takes the place of flips / n.
        alpha: The rate of false alarms of the test, in (0, 1).
        power: The probability of finding the difference, in (0, 1).

    Returns:
        The difference, in the unit of the estimate.
    """
    return _reach(alpha, power) * math.sqrt(estimate.variance)


def _reach(alpha: float, power: float) -> float:
    return NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power)
