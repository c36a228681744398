"""Sides from 1 to 32,766 px: what is drawn can be applied, in reasonable time."""

from __future__ import annotations

import numpy as np
import pytest

from mmdbench.corruptions import corrupt, get_corruption_names, sample
from mmdbench.corruptions.images import MAX_SIDE
from mmdbench.corruptions.operations import find_corruption
from mmdbench.corruptions.params import check_params
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.corruptions.sets import set_members
from mmdbench.corruptions.spec_file import load_spec

NAMES = [*get_corruption_names(), *set_members("everyday")]


@pytest.fixture(autouse=True)
def sets_in_use():
    use_corruptions(["everyday"])


def test_counts_of_the_profile_scaled_stop_growing_at_256_short_sides():
    sides = (1, 255, 256, 257, 4000, MAX_SIDE)
    discs = [load_spec().values("dirty_lens", 0.9, (1, side), "scaled").integer("discs") for side in sides]
    assert discs == [270, 255 * 270, *[256 * 270] * 4]


@pytest.mark.parametrize("size", [(1, MAX_SIDE), (MAX_SIDE, 2)])
@pytest.mark.parametrize("profile", ["paper", "scaled"])
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"mean_shift"}))
def test_the_longest_side_works(name, profile, size):
    image = np.random.RandomState(0).randint(0, 256, (*size, 3)).astype(np.uint8)
    assert corrupt(image, name, level="hard", profile=profile).shape == image.shape


@pytest.mark.parametrize("profile", ["paper", "scaled"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_for_a_huge_picture_can_be_applied(name, profile):
    fields = find_corruption(load_spec(), name).fields
    for size in ((MAX_SIDE, MAX_SIDE), (2000, MAX_SIDE), (MAX_SIDE, 7000)):
        for seed in range(8):
            params = sample(name, size, intensity=1.0, seed=seed, profile=profile)
            assert check_params(name, fields, params) == params
