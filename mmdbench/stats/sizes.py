"""What a number of questions can show: half-widths and detectable effects, before anything is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from mmdbench.stats.estimates import CONFIDENCE, Estimate, normal_quantile

__all__ = ["FLIPS", "detectable_effect", "detectable_given", "half_width", "macro_half_width"]

FLIPS = 0.1
"""The share of answers that differ between two arms, where nobody knows better."""


def half_width(n: int, flips: float = FLIPS, confidence: float = CONFIDENCE) -> float:
    """Half the width of the interval of a paired difference over n questions, as a share.

    `flips` is the share of questions whose hit differs; Wald's interval of matched pairs at a
    difference of zero: A. Agresti, Categorical Data Analysis, 3rd ed. (2013), section 11.1.

    >>> round(100 * half_width(2974, flips=0.05), 2), round(100 * half_width(218, flips=0.1), 2)
    (0.8, 4.2)
    """
    return normal_quantile(confidence) * math.sqrt(flips / n) if n > 0 else math.inf


def macro_half_width(sizes: Sequence[int], flips: float = FLIPS, confidence: float = CONFIDENCE) -> float:
    """The same for the unweighted mean over benchmarks of these sizes.

    >>> round(100 * macro_half_width([2974, 218, 300, 2638, 1500, 764], flips=0.05), 2)
    0.75
    """
    widths = [half_width(n, flips, confidence) for n in sizes]
    return math.sqrt(math.fsum(w * w for w in widths)) / len(widths) if widths else math.inf


def detectable_effect(n: int, flips: float = FLIPS, alpha: float = 0.05, power: float = 0.8) -> float:
    """The difference that a one-sided paired test over n questions finds with that power, as a share.

    The normal sample-size formula for matched pairs: J. E. Connor, Biometrics 43 (1987) 207.

    >>> [round(100 * detectable_effect(n, flips=0.05), 1) for n in (2974, 218, 1500)]
    [1.0, 3.8, 1.4]
    """
    return _reach(alpha, power) * math.sqrt(flips / n) if n > 0 else math.inf


def detectable_given(estimate: Estimate, alpha: float = 0.05, power: float = 0.8) -> float:
    """The difference that a one-sided test finds with that power, where answers vary as in `estimate`.

    `detectable_effect` with the variance that was measured in the place of flips / n; in the
    unit of the estimate.
    """
    return _reach(alpha, power) * math.sqrt(estimate.variance)


def _reach(alpha: float, power: float) -> float:
    return NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(power)
