"""Calibration: the distance between the probability of answers and the share that is right."""

from __future__ import annotations

import numpy as np

from mmdbench.stats.means import Floats

__all__ = ["CALIBRATION_BINS", "calibration_error"]

CALIBRATION_BINS = 15
"""Number of bins in the experiments of Guo et al."""


def calibration_error(confidences: Floats, hits: Floats, bins: int = CALIBRATION_BINS) -> float | None:
    """The expected calibration error, over bins of equal width.

    The mean over answers of the distance between mean confidence and mean hit of the answer's bin; bin m of M
    holds confidences in ((m − 1)/M, m/M], the first one 0 as well.
    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017), equation 3.

    Args:
        confidences: The probability of each answer, 0..1.
        hits: The hit of each answer, 0..1; as many.
        bins: The number of bins, at least 1.

    Returns:
        The error, 0..1; None without answers.

    Raises:
        ValueError: The numbers differ in length, or a confidence is outside 0..1.

    >>> round(calibration_error([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0], bins=10), 3)
    0.1
    """
    sure, right = np.asarray(confidences, np.float64), np.asarray(hits, np.float64)
    if sure.shape != right.shape:
        raise ValueError(f"{len(sure)} confidences and {len(right)} hits must be equally many.")
    if not len(sure):
        return None
    if sure.min() < 0 or sure.max() > 1:
        raise ValueError(f"A confidence must be between 0 and 1, got {sure.min():g} to {sure.max():g}.")
    places = np.maximum(np.searchsorted(np.arange(bins + 1) / bins, sure), 1)
    gaps = np.bincount(places, sure - right, bins + 1)  # of each bin, its size times its distance
    return float(np.abs(gaps).sum() / len(sure))
