"""The set `everyday`: its form, and what holds for every member."""

from __future__ import annotations

import pytest

from mmdbench.corruptions.sets import find_set
from mmdbench.corruptions.spec_file import read_stanza
from mmdbench.errors import SpecError
from mmdbench.records import LEVELS

SET = find_set("everyday")


def number_of(**number):
    stanza = {"category": "capture", "meaning": "m", "numbers": {"gain": {"unit": "gain", **number}}}
    return read_stanza("x", stanza, "", SET.spec).numbers["gain"]


def test_a_calibrated_number_is_linear_between_its_levels_and_the_ends_of_the_plausible_range():
    number = number_of(plausible=[10, 0], at=[8, 5, 0.1])
    low, mid, hard = (SET.spec.intensities[level] for level in LEVELS)
    assert [number.at(i) for i in (0.0, low, mid, hard, 1.0)] == [10, 8, 5, 0.1, 0]
    assert number.at((low + mid) / 2) == pytest.approx(6.5)
    assert number.at(low / 2) == pytest.approx(9)
    assert number.depends_on_intensity
    assert not number.is_range


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ({"plausible": [0, 1], "at": [0.1, 0.2]}, "at: .* list of the values at low, mid, hard"),
        ({"plausible": [0, 1]}, "at: None where the list"),
        ({"plausible": [0, 1], "at": [0.1, 0.2, 1.5]}, "at: 1.5 where a number from 0 to 1"),
        ({"plausible": [1], "at": [0.1, 0.2, 0.3]}, "plausible: .*a list of two ends"),
        ({"plausible": [0, 1], "formula": "i", "at": [0.1, 0.2, 0.3]}, "exactly one of"),
    ],
)
def test_a_wrong_calibrated_number_is_refused(number, message):
    with pytest.raises(SpecError, match=message):
        number_of(**number)
