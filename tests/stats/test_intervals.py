"""Intervals against worked values, and tests against another way to compute them."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from mmdbench.stats import (
    Estimate,
    benjamini_hochberg,
    detectable_effect,
    difference,
    group_balanced,
    half_width,
    holm,
    macro_half_width,
    mcnemar,
    mean_difference,
    paired_difference,
    proportion,
    stratify,
)


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


def test_hits_between_0_and_1_have_a_narrower_interval_than_yes_and_no():
    halves, sure = proportion([0.4, 0.6] * 50), proportion([0, 1] * 50)
    assert halves.value == sure.value == 0.5
    assert 0 < halves.high - halves.low < 0.4 * (sure.high - sure.low)


def test_equal_hits_feign_no_certainty():
    e = proportion([0.5] * 20)
    assert e.low < 0.48 < 0.52 < e.high
    assert proportion([1.0] * 20).low < 0.9


def test_a_drop_keeps_its_width_when_nothing_flips():
    e = paired_difference([1] * 50, [1] * 50)
    assert e.value == 0
    assert e.low < -0.01 < 0.01 < e.high


def test_a_drop_is_paired():
    before = [1, 0] * 200
    assert paired_difference(before, before).high < 0.01
    shuffled = [0, 1] * 200
    assert paired_difference(before, shuffled).high > 0.05


def test_bonett_and_price_against_a_worked_value():
    # 12 and 5 discordant among 100: (12 − 5)/102 ± 1.96 √((19/102 − (7/102)²)/102).
    e = paired_difference([1] * 12 + [0] * 5 + [1] * 83, [0] * 12 + [1] * 5 + [1] * 83)
    centre, half = 7 / 102, 1.959964 * ((19 / 102 - (7 / 102) ** 2) / 102) ** 0.5
    assert e.value == pytest.approx(0.07)
    assert (e.low, e.high) == (pytest.approx(centre - half), pytest.approx(centre + half))


def test_estimates_of_nothing_are_none():
    assert proportion([]) is None
    assert paired_difference([], []) is None
    assert mean_difference([]) is None


def test_hits_are_shares():
    with pytest.raises(ValueError, match="between 0 and 1"):
        proportion([0, 2, 3])


def test_pairs_must_match():
    with pytest.raises(ValueError, match="equal lengths"):
        paired_difference([1], [1, 0])


def test_scaling_a_drop_negatively_keeps_low_below_high():
    e = paired_difference([1, 1, 0], [0, 1, 0]).scaled(-100)
    assert e.low < e.value < e.high


def test_p_values_agree_with_the_interval():
    e = paired_difference([1] * 30 + [0] * 170, [0] * 20 + [1] * 10 + [0] * 165 + [1] * 5)
    low, high = e.bounds(0.95)
    assert (low, high) == (pytest.approx(e.low), pytest.approx(e.high))
    assert e.p_value(low) == pytest.approx(0.05)
    assert e.p_above(low) == pytest.approx(0.025)
    flat = Estimate(0, 0, 0, 5, 0, 0)
    assert (flat.p_value(), flat.p_above(), flat.p_value(1)) == (1.0, 1.0, 0.0)


def test_newcombe_difference_against_published_values():
    # Newcombe, Stat. Med. 17 (1998) 873, table II, method 10.
    def share(k, n):
        return proportion([1] * k + [0] * (n - k))

    for a, m, b, n, low, high in [(9, 10, 3, 10, 0.1705, 0.8090), (10, 10, 0, 20, 0.6791, 1.0)]:
        e = difference(share(a, m), share(b, n))
        assert (round(e.low, 4), round(e.high, 4)) == (low, high)


@pytest.mark.parametrize(("b", "c"), [(0, 1), (3, 3), (0, 8), (2, 11), (40, 61), (700, 640)])
def test_mcnemar_is_the_binomial_test(b, c):
    tail = sum(Fraction(comb(b + c, k), 2 ** (b + c)) for k in range(min(b, c) + 1))
    assert mcnemar(b, c) == mcnemar(c, b) == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-12)


def test_corrections_keep_the_order_of_the_question():
    p = [0.5, 0.001, 0.02, 0.02]
    assert holm(p) == pytest.approx([0.5, 0.004, 0.06, 0.06])
    assert benjamini_hochberg(p) == pytest.approx([0.5, 0.004, 0.08 / 3, 0.08 / 3])
    assert holm([]) == benjamini_hochberg([]) == []


def test_a_stratified_sample_of_everything_is_certain():
    s = stratify([1, 0, 1, 1], ["a", "a", "b", "b"], {"a": 2, "b": 2})
    e = proportion(s.values, residuals=s.residuals, fraction=s.fraction)
    assert (e.low, e.value, e.high) == (pytest.approx(0.75), 0.75, pytest.approx(0.75))


def test_a_stratum_of_which_all_was_asked_adds_no_variance():
    # Cochran's formula by hand: only b varies, 2 of its 60 were asked; a is known.
    s = stratify([1, 0, 1, 0, 1, 0], ["a", "a", "a", "a", "b", "b"], {"a": 4, "b": 60})
    variance = (60 / 64) ** 2 * 0.5 / 2 * (1 - 2 / 60)
    assert (s.residuals**2).sum() / 6**2 * (1 - s.fraction) == pytest.approx(variance)
    alone = stratify([1, 0, 1, 0, 1, 0], ["a", "a", "a", "a", "b", "b"], {"a": 400, "b": 60})
    assert (alone.residuals**2).sum() > 0


def test_strata_weigh_by_their_size_in_the_whole():
    s = stratify([1, 1, 0, 0, 0], ["a", "a", "b", "b", "b"], {"a": 60, "b": 40})
    assert s.values.mean() == pytest.approx(0.6)
    assert s.fraction == 0.05
    assert stratify([1, 0, 0, 0], "abcd", 40).values.mean() == 0.25
    assert np.abs(stratify([1, 0, 1, 1], "abbb", 40).residuals).sum() > 0


def test_every_corruption_weighs_the_same():
    units, s = group_balanced([1, 1, 1, 0], ["q1", "q2", "q3", "q3"], ["x", "x", "x", "y"])
    assert units.tolist() == ["q1", "q2", "q3"]
    assert s.values.mean() == 0.5
    # y was asked once: its distance to the grand mean stands in for the variance it cannot have.
    assert s.residuals == pytest.approx([0, 0, -0.5 * 3 / 2])


def test_sizes_against_the_simulated_table():
    assert round(100 * half_width(1500, flips=0.1), 2) == 1.6
    assert half_width(0) == detectable_effect(0) == macro_half_width([]) == float("inf")
    assert half_width(400) == pytest.approx(half_width(100) / 2)
