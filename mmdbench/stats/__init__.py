"""Intervals, tests and sample sizes for scores and for drops, with numpy alone.

A score is a mean over questions, a drop the mean of the paired differences of the same
questions. The question is the unit that is counted once and is independent of the others. All
functions take and return shares (0..1); nothing is rounded.
"""

from __future__ import annotations

from mmdbench.stats.cached_keys import FOUND_ABOVE, chance_found, key_bits_found
from mmdbench.stats.calibration import CALIBRATION_BINS, calibration_error
from mmdbench.stats.estimates import CONFIDENCE, Estimate, difference, mean_difference, mean_score
from mmdbench.stats.means import paired_difference, proportion
from mmdbench.stats.repeats import RepeatVariance, repeat_variance
from mmdbench.stats.sizes import (
    detectable_effect,
    detectable_given,
    flips_of,
    half_width,
    macro_half_width,
    questions_needed,
)
from mmdbench.stats.strata import Stratified, group_balanced, stratify
from mmdbench.stats.testing import benjamini_hochberg, holm, mcnemar, mcnemar_above, rank_intervals

__all__ = [
    "CALIBRATION_BINS",
    "CONFIDENCE",
    "FOUND_ABOVE",
    "Estimate",
    "RepeatVariance",
    "Stratified",
    "benjamini_hochberg",
    "calibration_error",
    "chance_found",
    "detectable_effect",
    "detectable_given",
    "difference",
    "flips_of",
    "group_balanced",
    "half_width",
    "holm",
    "key_bits_found",
    "macro_half_width",
    "mcnemar",
    "mcnemar_above",
    "mean_difference",
    "mean_score",
    "paired_difference",
    "proportion",
    "questions_needed",
    "rank_intervals",
    "repeat_variance",
    "stratify",
]
