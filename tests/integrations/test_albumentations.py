"""The transforms inside the real albumentations: seed, replay, serialisation, types."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import subprocess
import sys
import warnings
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest

from mmdbench import get_corruption_names
from mmdbench.corruptions import apply, sample
from mmdbench.errors import ImageInputError, IntensityError, UnknownNameError, UsageError
from pictures import picture

if find_spec("albumentations") is None:
    pytest.skip("albumentations is not installed (extra albumentations)", allow_module_level=True)

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # whatever other packages say while they are imported
    import albumentations as A  # noqa: N812 - as everybody writes it

    from mmdbench.integrations import albumentations as mmd

IMAGE = picture(1, 60, 80)


def title(name):
    return "".join(word.capitalize() for word in name.split("_"))


def runs(transform, times=5, image=IMAGE):
    return np.stack([transform(image=image)["image"] for _ in range(times)])


def pipeline(seed=None):
    return A.Compose(
        [mmd.MotionBlur(level=["low", "hard"], p=0.5), A.HorizontalFlip(p=0.5), mmd.MMDCorruption(p=0.7)],
        seed=seed,
    )


@pytest.mark.parametrize("name", get_corruption_names())
def test_each_corruption_has_a_transform_that_does_just_that(name):
    transform = getattr(mmd, title(name))(intensity=0.6, p=1)
    transform.set_random_seed(3)
    seed = random.Random(3)
    seed.random(), seed.random()
    params = sample(name, IMAGE.shape, intensity=0.6, seed=seed.getrandbits(32))
    assert (transform(image=IMAGE)["image"] == apply(name, IMAGE, params)).all()
    assert name in transform.__doc__


def test_there_are_no_others():
    assert sorted(mmd.__all__) == sorted(["MMDCorruption", *map(title, get_corruption_names())])
    assert all(getattr(mmd, name).__name__ == name for name in mmd.__all__)


def test_the_seed_of_a_pipeline_repeats_it_and_another_does_not():
    first, again, other = runs(pipeline(7)), runs(pipeline(7)), runs(pipeline(8))
    assert (first == again).all()
    assert (first != other).any()
    assert len({picture.tobytes() for picture in first}) > 1


def test_no_global_generator_is_used_or_moved():
    random.seed(0), np.random.seed(0)
    before = random.getstate(), np.random.get_state()[1].tobytes()
    runs(pipeline(7))
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before


@pytest.mark.parametrize("to", ["dict", "json", "yaml"])
def test_serialised_pipelines_do_the_same(to):
    there = pipeline(7)
    if to == "dict":
        back = A.from_dict(json.loads(json.dumps(A.to_dict(there))))
    else:
        buffer = io.StringIO()
        A.save(there, buffer, data_format=to)
        buffer.seek(0)
        back = A.load(buffer, data_format=to)
    back.set_random_seed(7)
    assert (runs(there) == runs(back)).all()
    assert A.to_dict(back) == A.to_dict(there)
    assert pickle.loads(pickle.dumps(mmd.Graffiti(level="hard"))).level == "hard"


def test_replay_repeats_the_picture_and_goes_through_json():
    compose = A.ReplayCompose([mmd.MMDCorruption(p=0.8), mmd.Graffiti(p=0.5), A.HorizontalFlip(p=0.5)])
    for _ in range(8):
        made = compose(image=IMAGE)
        record = json.loads(json.dumps(made["replay"]))
        assert (A.ReplayCompose.replay(record, image=IMAGE)["image"] == made["image"]).all()
        small = A.ReplayCompose.replay(record, image=picture(2, 20, 30))["image"]
        assert small.shape == (20, 30, 3)


def test_p_decides_how_often():
    changed = (runs(mmd.DarkIllumination(level="hard", p=0.3), 200) != IMAGE).any((1, 2, 3)).sum()
    assert 30 < changed < 95
    assert (runs(mmd.DarkIllumination(level="hard", p=0)) == IMAGE).all()


def test_the_drawing_one_draws_from_what_it_was_given():
    compose = A.ReplayCompose([mmd.MMDCorruption(["environmental", "graffiti"], intensity=(0.2, 0.3), p=1)])
    drawn = [compose(image=IMAGE)["replay"]["transforms"][0]["params"] for _ in range(150)]
    found = Counter(params["corruption"] for params in drawn)
    assert set(found) == {*get_corruption_names("environmental"), "graffiti"}
    assert all(0.2 <= params["strength"] <= 0.3 for params in drawn)


def test_masks_boxes_and_the_input_stay():
    mask, image = np.arange(60 * 80, dtype=np.uint8).reshape(60, 80), IMAGE.copy()
    compose = A.Compose(
        [mmd.Graffiti(level="hard", p=1), A.NoOp(p=1)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]),
    )
    made = compose(image=image, mask=mask, bboxes=[[1, 2, 30, 40]], labels=[1])
    assert (made["mask"] == mask).all()
    assert np.allclose(made["bboxes"], [[1, 2, 30, 40]])
    assert (image == IMAGE).all()
    assert (made["image"] != image).any()


def test_several_images_of_a_call_share_what_is_drawn():
    made = A.Compose([mmd.GaussianNoise(p=1)], seed=1)(image=IMAGE, images=np.stack([IMAGE, IMAGE]))
    assert (made["images"][0] == made["image"]).all()
    assert (made["images"][1] == made["image"]).all()


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (40, 50, 4)])
def test_grey_and_alpha(shape):
    image = np.full(shape, 120, np.uint8)
    made = mmd.GaussianNoise(p=1)(image=image)["image"]
    assert (made.shape, made.dtype) == (shape, np.uint8)
    assert (made != image).any()


def test_invalid_arguments_are_refused():
    for call, error in [
        ({"level": "hrad"}, UnknownNameError),
        ({"intensity": 2}, IntensityError),
        ({"level": "low", "intensity": 0.5}, UsageError),
        ({"p": 3}, ValueError),
        ({"severity": 3}, TypeError),
    ]:
        with pytest.raises(error):
            mmd.MotionBlur(**call)
    with pytest.raises(UnknownNameError, match="motion_blur"):
        mmd.MMDCorruption(["motionblur"])
    with pytest.raises(ImageInputError, match="uint8"):
        mmd.MotionBlur(p=1)(image=IMAGE.astype(np.float32) / 255)


def test_the_import_asks_no_server():
    code = (
        "import os, sys, urllib.request as u, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "os.environ.pop('NO_ALBUMENTATIONS_UPDATE', None)\n"
        "u.OpenerDirector.open = lambda *a, **k: sys.exit('a request was made')\n"
        "import mmdbench.integrations.albumentations\n"
        "assert 'NO_ALBUMENTATIONS_UPDATE' not in os.environ\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
