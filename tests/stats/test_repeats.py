"""Repeats: intervals of means over repeats hold the truth; the parts of the variance are those planted."""

from __future__ import annotations

import numpy as np
import pytest

from mmdbench.stats import paired_difference, proportion, repeat_variance

RUNS = 1000


def answers(rng, questions, repeats, factor=1.0):
    """Hits of questions that are right with a chance of their own, at one factor for each level."""
    chances = np.clip(rng.beta(0.8, 0.5, questions) * 0.95, 0, 1)
    draw = lambda p: (rng.random_sample((questions, repeats)) < p[:, None]).astype(float)  # noqa: E731
    return draw(chances), draw(chances * factor)


TRUTH = 0.95 * 0.8 / 1.3


@pytest.mark.parametrize(("questions", "repeats"), [(40, 2), (120, 3), (120, 8)])
def test_the_interval_of_a_score_over_repeats_holds_the_truth(questions, repeats):
    rng = np.random.RandomState(questions + repeats)
    held = 0
    for _ in range(RUNS):
        found = proportion(answers(rng, questions, repeats)[0].mean(axis=1))
        held += found.low <= TRUTH <= found.high
    assert 0.93 <= held / RUNS <= 0.97


def test_the_interval_of_a_drop_over_repeats_holds_the_truth():
    rng, held = np.random.RandomState(4), 0
    for _ in range(RUNS):
        clean, hard = (hits.mean(axis=1) for hits in answers(rng, 120, 4, 0.8))
        found = paired_difference(clean, hard)
        held += found.low <= 0.2 * TRUTH <= found.high
    assert 0.93 <= held / RUNS <= 0.97


def test_answers_taken_for_questions_would_hold_too_little():
    rng, held = np.random.RandomState(5), 0
    for _ in range(RUNS):
        found = proportion(answers(rng, 120, 8)[0].ravel())
        held += found.low <= TRUTH <= found.high
    assert held / RUNS < 0.75


def test_the_parts_of_the_variance_are_those_planted():
    rng = np.random.RandomState(6)
    chances = rng.beta(0.8, 0.5, 1_000_000)
    between, within = chances.var(), (chances * (1 - chances)).mean()
    found = [
        repeat_variance((rng.random_sample((100, 3)) < rng.beta(0.8, 0.5, 100)[:, None]).astype(float))
        for _ in range(RUNS)
    ]
    assert np.mean([one.between_questions for one in found]) == pytest.approx(between, rel=0.02)
    assert np.mean([one.between_repeats for one in found]) == pytest.approx(within, rel=0.02)
    # The spread of single repeats' scores over the same questions.
    spread = np.mean([np.var(one.scores, ddof=1) for one in found])
    assert np.mean([one.score_deviation**2 for one in found]) == pytest.approx(spread, rel=0.1)


def test_the_variance_of_the_means_is_the_sum_of_its_parts():
    hits = answers(np.random.RandomState(7), 60, 4)[0]
    found = repeat_variance(hits)
    assert (found.between_questions + found.between_repeats / 4) / 60 == pytest.approx(
        hits.mean(axis=1).var(ddof=1) / 60
    )


def test_one_repeat_has_no_spread():
    with pytest.raises(ValueError, match="two repeats"):
        repeat_variance(np.ones((5, 1)))
    assert repeat_variance(np.ones((1, 3))).between_questions == 0
