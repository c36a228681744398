"""Expected calibration error, against its definition written out bin by bin."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmdbench.stats import CALIBRATION_BINS, calibration_error


def by_hand(confidences, hits, bins):
    total = 0.0
    for m in range(1, bins + 1):
        inside = [
            (c, h)
            for c, h in zip(confidences, hits, strict=True)
            if (m - 1) / bins < c <= m / bins or (m == 1 and c == 0)
        ]
        if inside:
            confidence = math.fsum(c for c, _ in inside) / len(inside)
            accuracy = math.fsum(h for _, h in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("bins", [1, 10, CALIBRATION_BINS])
def test_it_is_the_definition(bins):
    rng = np.random.default_rng(5)
    for n in (1, 7, 400):
        confidences = np.round(rng.random(n), 1 if n == 7 else 6)  # some on the edges of bins
        hits = rng.integers(0, 2, n)
        found = calibration_error(confidences, hits, bins)
        assert found == pytest.approx(by_hand(confidences.tolist(), hits.tolist(), bins))


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not():
    assert calibration_error([1.0, 1.0, 0.0], [1, 1, 0]) == 0
    assert calibration_error([1.0, 1.0], [0, 0]) == 1
    assert calibration_error([], []) is None


@pytest.mark.parametrize(("confidences", "hits"), [([0.5], []), ([1.2], [1]), ([-0.1], [0])])
def test_wrong_numbers_are_refused(confidences, hits):
    with pytest.raises(ValueError, match="must be"):
        calibration_error(confidences, hits)
