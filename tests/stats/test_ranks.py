"""Ranks with their uncertainty."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from mmdbench.stats import mcnemar_above, rank_intervals


def test_ranks_hold_the_true_ones_of_all_models_at_once():
    rng = np.random.default_rng(5)
    truth = np.array([0.8, 0.8, 0.72, 0.6, 0.6])
    best = [1 + int((truth > one).sum()) for one in truth]
    held = narrow = 0
    for _ in range(400):
        ease = rng.random((120, 1))
        hits = (0.5 * ease + 0.5 * rng.random((120, 5))) < _thresholds(truth)
        tests = {}
        for i, j in permutations(range(5), 2):
            only = int((hits[:, i] & ~hits[:, j]).sum()), int((hits[:, j] & ~hits[:, i]).sum())
            tests[i, j] = mcnemar_above(*only)
        found = rank_intervals(5, tests)
        held += all(low <= rank <= high for rank, (low, high) in zip(best, found, strict=True))
        narrow += found[0][1] <= 3
    assert held >= 380
    assert narrow > 100


def _thresholds(shares):
    """Values that the mean of two uniform numbers is below with these probabilities, all above a half."""
    return 1 - np.sqrt((1 - shares) / 2)


def test_a_model_that_was_not_compared_may_have_any_rank():
    assert rank_intervals(3, {(0, 1): 1e-9, (1, 0): 1.0}) == [(1, 2), (2, 3), (1, 3)]
    assert rank_intervals(1, {}) == [(1, 1)]
