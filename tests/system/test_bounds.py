"""Checks of numbers that a user gives: the message states the rule and the value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmdbench.errors import UsageError
from mmdbench.system.bounds import require_above, require_at_least, require_between


def accepts(require, *arguments, **options):
    """True if a check lets its arguments pass."""
    try:
        require(*arguments, **options)
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int64(1), -0.1, 1.1, -1, 2])
def test_a_number_passes_where_it_keeps_the_rule(value):
    assert accepts(require_between, "p", value, 0, 1) == (0 <= value <= 1)
    assert accepts(require_at_least, "p", value, 0) == (value >= 0)
    assert accepts(require_above, "p", value, -1, below=2) == (-1 < value < 2)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, True, "1", None, [1]])
def test_everything_else_is_refused_with_the_rule_and_the_value(value):
    with pytest.raises(UsageError) as caught:
        require_between("--p", value, 0, 1)
    assert str(caught.value) == f"--p must be between 0 and 1, got {value!r}."


def test_ends_of_an_open_interval_are_refused():
    require_above("alpha", math.inf, 0)
    with pytest.raises(UsageError, match=r"alpha must be above 0, got 0\."):
        require_above("alpha", 0, 0)
    with pytest.raises(UsageError, match=r"alpha must be above 0 and below 0\.5, got 0\.5\."):
        require_above("alpha", 0.5, 0, below=0.5)


def test_whole_numbers():
    require_at_least("radius", np.int32(3), 0, whole=True)
    with pytest.raises(UsageError, match=r"radius must be a whole number of at least 0, got 1\.0\."):
        require_at_least("radius", 1.0, 0, whole=True)
