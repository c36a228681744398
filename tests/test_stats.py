"""Intervals against worked values and against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from mmdbench.stats import macro_mean, paired_difference, proportion


def test_wilson_against_published_values():
    # Newcombe, Stat. Med. 17 (1998) 857, table I: score intervals without continuity correction.
    for hits, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        e = proportion([1] * hits + [0] * (n - hits))
        assert (round(e.low, 4), round(e.high, 4)) == (low, high)
        assert e.n == n


def test_a_drop_keeps_its_width_when_nothing_flips():
    e = paired_difference([1] * 50, [1] * 50)
    assert e.value == 0
    assert e.low < -0.01 < 0.01 < e.high


def test_a_drop_is_paired():
    before = [1, 0] * 200
    assert paired_difference(before, before).high < 0.01
    shuffled = [0, 1] * 200
    assert paired_difference(before, shuffled).high > 0.05


def test_estimates_of_nothing_are_none():
    assert proportion([]) is None
    assert paired_difference([], []) is None
    assert macro_mean([]) is None


def test_pairs_must_match():
    with pytest.raises(ValueError, match="equal lengths"):
        paired_difference([1], [1, 0])


def test_scaling_a_drop_negatively_keeps_low_below_high():
    e = paired_difference([1, 1, 0], [0, 1, 0]).scaled(-100)
    assert e.low < e.value < e.high


@pytest.mark.parametrize(
    ("n", "flips", "gain"), [(150, 0.15, 0.02), (500, 0.05, 0.05), (60, 0.3, 0.1), (1500, 0.1, 0.01)]
)
def test_coverage_of_drops(n, flips, gain):
    rng = np.random.RandomState(7)
    runs = 2000
    draws = rng.random_sample((runs, n))
    differences = (draws < flips).astype(int) - (draws > 1 - gain)
    truth = flips - gain
    hit = 0
    for row in differences:
        e = paired_difference(np.maximum(row, 0).tolist(), np.maximum(-row, 0).tolist())
        hit += e.low <= truth <= e.high
    assert 0.93 <= hit / runs <= 0.975


def test_coverage_of_the_macro_mean():
    rng = np.random.RandomState(3)
    sizes, truth, hit, runs = (100, 300, 800), (0.1, 0.05, 0.2), 0, 1500
    for _ in range(runs):
        parts = []
        for n, p in zip(sizes, truth, strict=True):
            lost = (rng.random_sample(n) < p).astype(int)
            parts.append(paired_difference(lost.tolist(), [0] * n))
        e = macro_mean(parts)
        hit += e.low <= sum(truth) / 3 <= e.high
    assert 0.93 <= hit / runs <= 0.975
