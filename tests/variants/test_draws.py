"""Draws of a corruption and a level: uniform, and as in CLEAR's published code."""

from __future__ import annotations

from collections import Counter

import pytest

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UsageError
from mmdbench.records import LEVELS, Question, RunPlan
from mmdbench.variants.design import parse_design, plan_cells
from mmdbench.variants.draws import DRAWS

SPEC = load_spec()


def expected(draw, name, level, rows=24_000):
    """Rows with a corruption at a level, of so many."""
    names = DRAWS[draw].corruption_weights(tuple(SPEC.corruptions))
    levels = DRAWS[draw].level_weights(LEVELS)
    return rows * names[name] / sum(names.values()) * levels[level] / sum(levels.values())


@pytest.mark.parametrize(
    ("draw", "name", "level", "rows"),
    [
        ("published", "lens_blur", "hard", 900),
        ("published", "graffiti", "hard", 1350),
        ("published", "hsv_saturation", "low", 120),
        ("uniform", "lens_blur", "hard", 500),
        ("uniform", "hsv_saturation", "low", 500),
    ],
)
def test_worked_examples(draw, name, level, rows) -> None:
    assert expected(draw, name, level) == pytest.approx(rows)


def test_published_weights_are_a_hundred_for_each_category() -> None:
    totals = Counter()
    for name, weight in DRAWS["published"].corruptions.items():
        totals[SPEC.corruptions[name].category] += weight
    assert set(DRAWS["published"].corruptions) == set(SPEC.corruptions)
    assert set(totals.values()) == {100}


class _Bench:
    name, family = "toy", "plain"
    questions = tuple(Question("toy", i, {"question": "?"}) for i in range(6000))


@pytest.mark.parametrize("draw", list(DRAWS))
def test_a_run_of_the_design_meets_the_probabilities(draw) -> None:
    plan = RunPlan("m", ("toy",), levels=LEVELS, design=f"drawn:{draw}")
    cells = [cell for _, (cell,) in plan_cells(plan, [_Bench()], SPEC)]
    found = Counter((cell.corruption, cell.level) for cell in cells)
    # Chi-square over the 48 cells: its mean is 47, its deviation 9.7.
    means = {(n, lv): expected(draw, n, lv, 6000) for n in SPEC.corruptions for lv in LEVELS}
    assert sum((found[key] - mean) ** 2 / mean for key, mean in means.items()) < 95
    assert cells == [cell for _, (cell,) in plan_cells(plan, [_Bench()], SPEC)]


def test_a_draw_keeps_to_the_levels_and_corruptions_of_the_plan() -> None:
    plan = RunPlan("m", ("toy",), levels=("low", "hard"), corruptions=("graffiti",), design="drawn:published")
    cells = [cell for _, (cell,) in plan_cells(plan, [_Bench()], SPEC)]
    levels = Counter(cell.level for cell in cells)
    assert {cell.corruption for cell in cells} == {"graffiti"}
    assert set(levels) == {"low", "hard"}
    assert 2.2 < levels["hard"] / levels["low"] < 2.8  # .5 to .2


def test_a_design_names_a_draw() -> None:
    assert parse_design("drawn:uniform") == ("drawn", 0)
    with pytest.raises(UsageError, match="uniform, published"):
        parse_design("drawn:twice")
