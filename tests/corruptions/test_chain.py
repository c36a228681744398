"""Choices, chains and batches: stateless, recorded, replayable, and equal to what `corrupt` gives."""

from __future__ import annotations

import json
import pickle
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from mmdbench import corrupt, get_corruption_names
from mmdbench.corruptions.batches import corrupt_batch
from mmdbench.corruptions.chain import Chain
from mmdbench.corruptions.choices import choice_of, keyed
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ImageInputError, IntensityError, ParamsError, UnknownNameError, UsageError
from pictures import picture

STAGES = ["capture", "transmission", "environmental", "post_processing"]


def steps(record):
    return [step["corruption"] for step in record["steps"]]


def test_a_chain_goes_through_the_stages_in_order_and_does_what_its_record_says():
    image = picture(1)
    lengths, seen = Counter(), Counter()
    for seed in range(60):
        degraded, record = Chain().recorded(image, seed)
        places = [STAGES.index(step["category"]) for step in record["steps"]]
        assert places == sorted(set(places))
        lengths[len(places)] += 1
        seen.update(places)
        expected = image
        for step in record["steps"]:
            assert 0.1 <= step["intensity"] <= 0.9
            from mmdbench.corruptions import apply

            expected = apply(step["corruption"], expected, step["params"])
        assert (degraded == expected).all()
    assert set(lengths) == {1, 2, 3, 4}
    assert all(15 <= seen[place] <= 50 for place in range(4))


def test_a_chain_has_no_state():
    chain, images = Chain(), [picture(k) for k in range(3)]
    forth = [chain(image, seed=5) for image in images]
    back = [pickle.loads(pickle.dumps(chain))(image, seed=5) for image in reversed(images)]
    assert all((a == b).all() for a, b in zip(forth, reversed(back), strict=True))
    assert all((a == b).all() for a, b in zip(forth, chain(images, seed=5), strict=True))
    assert any((chain(images[0], seed=s) != forth[0]).any() for s in range(3))


@pytest.mark.parametrize("name", ["graffiti", "gaussian_noise", "lens_blur"])
def test_a_chain_of_one_is_what_corrupt_gives(name):
    image = picture(2)
    for seed in (0, 9):
        assert (Chain.of((name, 0.45))(image, seed) == corrupt(image, name, intensity=0.45, seed=seed)).all()


def test_a_record_survives_json_and_replays_to_the_bit():
    image = Image.fromarray(picture(3))
    degraded, record = Chain.across(p=1, intensity=0.6).recorded(image, 4)
    assert len(record["steps"]) == 4
    again = Chain.replay(image, json.loads(json.dumps(record, allow_nan=False)))
    assert again.tobytes() == degraded.tobytes()
    other = Chain.replay(picture(4), record)
    assert other.shape == picture(4).shape
    assert (other != picture(4)).any()


def test_replay_uses_the_recorded_params():
    image = picture(3)
    _, record = Chain.of(("dark_illumination", 0.5)).recorded(image)
    record["steps"][0]["params"]["gain"] = 0.0
    assert not Chain.replay(image, record).any()


def test_replay_on_another_size_draws_layouts_again_unless_the_spec_has_changed():
    _, record = Chain.of(("block_exchange", 0.9), ("graffiti", 0.9)).recorded(picture(1, 100, 120), 0)
    small = Chain.replay(picture(1, 20, 30), record)
    assert small.shape == (20, 30, 3)
    assert (small == Chain.replay(picture(1, 20, 30), record)).all()
    record["spec_version"] = "0"
    with pytest.raises(UsageError, match="recorded size"):
        Chain.replay(picture(1, 20, 30), record)
    assert Chain.replay(picture(1, 100, 120), record).shape == (100, 120, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_a_chain_keeps_the_kind_of_image(mode):
    image = Image.fromarray(picture(5)).convert(mode)
    assert (Chain()(image).mode, Chain()(image).size) == (mode, image.size)


@pytest.mark.parametrize(
    "record", [None, {}, {"format": "mmdbench.chain/1"}, {"format": "other", "steps": []}]
)
def test_a_wrong_record_is_refused(record):
    with pytest.raises(ParamsError, match=r"recorded\(\)"):
        Chain.replay(picture(1), record)


def test_a_record_with_a_broken_step_is_refused():
    _, record = Chain().recorded(picture(1))
    del record["steps"][0]["params"]
    with pytest.raises(ParamsError, match="params"):
        Chain.replay(picture(1), record)


@pytest.mark.parametrize("name", load_spec().corruptions)
def test_strengths_may_begin_at_0(name):
    image = picture(3)
    degraded, record = Chain.of((name, 0)).recorded(image, 1)
    assert record["steps"][0]["intensity"] == 0
    assert (Chain.replay(image, record) == degraded).all()
    assert Chain.replay(image[:20, :30], record).shape == (20, 30, 3)
    changed = {"scan_lines", "sharpness_change", "motion_blur", "jpeg_compression", "hsv_saturation"}
    assert (degraded == image).all() or name in {*changed, "mean_shift"}


def test_robust_r1s_strengths_are_even_from_0_to_1():
    chain = Chain.across(intensity=(0, 1), p=1)
    drawn = [
        step["intensity"] for seed in range(60) for step in chain.recorded(picture(1, 8, 8), seed)[1]["steps"]
    ]
    assert min(drawn) < 0.05
    assert max(drawn) > 0.95
    assert abs(sum(drawn) / len(drawn) - 0.5) < 0.08
    with pytest.raises(IntensityError, match=r"in \[0, 1\]"):
        Chain.across(intensity=(-0.1, 1))


def test_at_least_is_kept_and_bounded():
    for seed in range(20):
        _, record = Chain.across(p=0.01, at_least=2).recorded(picture(1), seed)
        assert len(record["steps"]) >= 2
    _, record = Chain.across(p=0.0, at_least=0).recorded(picture(1))
    assert record["steps"] == []
    with pytest.raises(UsageError):
        Chain.across(at_least=5)


def test_choices_follow_the_weights_of_the_release():
    choice, spec = choice_of(), load_spec()
    found = Counter(choice.for_key("test", k).corruption for k in range(4000))
    total = sum(entry.release_weight for entry in spec.corruptions.values())
    for name, entry in spec.corruptions.items():
        expected = 4000 * entry.release_weight / total
        assert abs(found[name] - expected) < 5 * expected**0.5, name


def test_choices_draw_levels_ranges_and_p():
    drawn = [choice_of("graffiti", level=["low", "hard"], p=0.25).for_key(k) for k in range(800)]
    assert 130 < sum(d is not None for d in drawn) < 270
    assert {d.intensity for d in drawn if d} == {0.23, 0.9}
    spread = [choice_of("graffiti", intensity=(0.2, 0.4)).for_key(k).intensity for k in range(200)]
    assert 0.2 <= min(spread) < 0.22
    assert 0.38 < max(spread) <= 0.4
    assert {choice_of("graffiti", intensity=0.3).for_key(k).intensity for k in range(20)} == {0.3}


def test_a_choice_of_one_is_what_corrupt_gives():
    image = picture(6)
    drawn = choice_of("motion_blur", level="hard").for_image(image, 3)
    assert (drawn.corrupted(image) == corrupt(image, "motion_blur", level="hard", seed=3)).all()


def test_another_seed_makes_another_choice():
    drawn = [choice_of().for_image(picture(6), seed) for seed in range(30)]
    assert len({d.corruption for d in drawn}) > 5
    assert len({d.intensity for d in drawn}) == 30
    assert len({d.seed for d in drawn}) == 30


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"corruptions": "motionblur"}, UnknownNameError),
        ({"corruptions": []}, UsageError),
        ({"level": "hrad"}, UnknownNameError),
        ({"level": []}, UnknownNameError),
        ({"level": "low", "intensity": 0.3}, UsageError),
        ({"intensity": -0.1}, IntensityError),
        ({"intensity": (0.9, 0.1)}, IntensityError),
        ({"intensity": (0.1, 0.2, 0.3)}, IntensityError),
        ({"p": 1.5}, UsageError),
        ({"profile": "papr"}, UnknownNameError),
    ],
)
def test_a_wrong_choice_is_refused(call, error):
    with pytest.raises(error):
        choice_of(**call)


def test_keyed_numbers_are_pinned():
    uniform = keyed("test", 1)
    assert [round(uniform(), 6) for _ in range(3)] == PINNED


PINNED = [0.552618, 0.757607, 0.489483]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_batch_is_its_images_one_by_one(workers):
    images = np.stack([picture(k) for k in range(4)])
    found = corrupt_batch(
        images,
        ["graffiti", "motion_blur", "gaussian_noise", "scan_lines"],
        level=["low", "mid", "hard", "low"],
        seed=[3, 2, 1, 0],
        workers=workers,
    )
    assert (found.shape, found.dtype) == (images.shape, np.uint8)
    assert (found[1] == corrupt(images[1], "motion_blur", level="mid", seed=2)).all()
    assert (found[2] == corrupt(images[2], "gaussian_noise", level="hard", seed=1)).all()
    assert (images == np.stack([picture(k) for k in range(4)])).all()


def test_a_batch_of_lists_and_of_nothing():
    pictures = [Image.fromarray(picture(1)), picture(2, 20, 30)]
    blurred, array = corrupt_batch(pictures, "lens_blur", intensity=0.5)
    assert (blurred.size, array.shape) == (pictures[0].size, (20, 30, 3))
    assert corrupt_batch([], "lens_blur", level="low") == []
    assert corrupt_batch(np.zeros((0, 4, 4, 3), np.uint8), "lens_blur", level="low").shape == (0, 4, 4, 3)


@pytest.mark.parametrize(
    ("images", "call", "error"),
    [
        (np.zeros((4, 4, 3), np.uint8), {"level": "low"}, ImageInputError),
        ("photo.jpg", {"level": "low"}, ImageInputError),
        ([picture(1)] * 2, {"level": ["low"]}, UsageError),
        ([picture(1)] * 2, {"level": "low", "seed": [1, 2, 3]}, UsageError),
        ([picture(1)], {"level": "low", "workers": 0}, UsageError),
    ],
)
def test_a_wrong_batch_is_refused(images, call, error):
    with pytest.raises(error):
        corrupt_batch(images, "lens_blur", **call)


def test_every_corruption_can_be_a_step():
    image = picture(7, 30, 40)
    chain = Chain.of(*((name, 0.5) for name in get_corruption_names()))
    degraded, record = chain.recorded(image)
    assert steps(record) == get_corruption_names()
    assert (Chain.replay(image, json.loads(json.dumps(record))) == degraded).all()
