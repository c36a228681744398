"""The function for `Dataset.map`: with the real package, and alone."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from mmdbench import corrupt, get_corruption_names
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ImageDecodeError, UnknownNameError, UsageError
from mmdbench.integrations.datasets import MMDCorruption
from pictures import picture, png

PICTURES = [picture(k, 30 + k, 40) for k in range(6)]


def pil(k):
    return Image.fromarray(PICTURES[k])


def test_an_example_gets_what_corrupt_gives():
    made = MMDCorruption("graffiti", level="hard", seed=2)({"image": pil(0), "label": 1})
    assert list(made) == ["image"]
    assert (np.asarray(made["image"]) == corrupt(PICTURES[0], "graffiti", level="hard", seed=2)).all()


def test_batches_lists_of_images_and_none():
    one = MMDCorruption(seed=1, record="drawn", into="bad")
    batch = one({"image": [pil(0), None, [pil(1), pil(2)]]})
    assert batch["bad"][1] is None
    assert batch["drawn"][1] == {"corruption": None, "intensity": None, "seed": None}
    for k, made in ((0, batch["bad"][0]), (1, batch["bad"][2][0]), (2, batch["bad"][2][1])):
        assert (np.asarray(one({"image": pil(k)})["bad"]) == np.asarray(made)).all()
    drawn = batch["drawn"][2][1]
    assert drawn["corruption"] in get_corruption_names()
    assert 0.23 <= drawn["intensity"] <= 0.9


def test_undecoded_cells():
    function = MMDCorruption("lens_blur", level="hard")
    expected = np.asarray(function({"image": pil(0)})["image"])
    for cell in ({"bytes": png(PICTURES[0]), "path": None}, png(PICTURES[0])):
        assert (np.asarray(function({"image": cell})["image"]) == expected).all()
    with pytest.raises(ImageDecodeError, match="'image'"):
        function({"image": {"bytes": b"no picture", "path": None}})
    with pytest.raises(ImageDecodeError):
        function({"image": {"bytes": None, "path": "nowhere.png"}})


def test_it_can_be_pickled_and_compared():
    function = MMDCorruption(["capture", "graffiti"], intensity=[0.2, 0.5], p=0.5)
    again = pickle.loads(pickle.dumps(function))
    assert again == function
    assert hash(again) == hash(function)
    assert function != MMDCorruption(["capture", "graffiti"], intensity=[0.2, 0.6], p=0.5)


def test_invalid_arguments_are_refused():
    with pytest.raises(UnknownNameError):
        MMDCorruption("motionblur")
    with pytest.raises(UsageError, match="column 'picture'"):
        MMDCorruption(column="picture")({"image": pil(0)})


needs_datasets = pytest.mark.skipif(
    find_spec("datasets") is None, reason="datasets is not installed (extra datasets)"
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever other packages say while they are imported
        import datasets

    datasets.disable_progress_bars()
    rows = {"image": [pil(k) for k in range(6)], "label": list(range(6))}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    return datasets.Dataset.from_dict(rows, features=features)


@needs_datasets
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"batched": True, "batch_size": 4}, {"num_proc": 2}])
def test_a_mapped_dataset_holds_the_same_pictures_however_it_is_mapped(data, options):
    import datasets

    made = data.map(MMDCorruption(seed=3, record="drawn"), **options)
    assert isinstance(made.features["image"], datasets.Image)
    for k in range(6):
        drawn = made[k]["drawn"]
        expected = corrupt(PICTURES[k], drawn["corruption"], intensity=drawn["intensity"], seed=3)
        assert (np.asarray(made[k]["image"]) == expected).all()
        assert made[k]["label"] == k


@needs_datasets
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_another_column_is_an_image_column_too(data):
    import datasets

    made = data.map(MMDCorruption("graffiti", level="hard", into="bad"))
    assert isinstance(made.features["bad"], datasets.Image)
    assert (np.asarray(made[0]["image"]) == PICTURES[0]).all()
    assert made[0]["bad"].size == made[0]["image"].size


@needs_datasets
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_undecoded_columns_of_a_dataset(data):
    import datasets

    made = data.cast_column("image", datasets.Image(decode=False)).map(
        MMDCorruption("graffiti", level="hard")
    )
    image = made.cast_column("image", datasets.Image())[0]["image"]
    assert (np.asarray(image) == corrupt(PICTURES[0], "graffiti", level="hard")).all()


FINGERPRINT = """
import warnings
warnings.simplefilter("ignore")
from datasets.fingerprint import Hasher
from mmdbench.integrations.datasets import MMDCorruption
print(Hasher.hash(MMDCorruption(["capture", "graffiti"], level=["low", "hard"], seed=3)))
"""


@needs_datasets
def test_the_fingerprint_is_the_same_in_every_process_and_differs_with_every_option():
    found = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "HF_HUB_OFFLINE": "1"}
        run = subprocess.run(
            [sys.executable, "-c", FINGERPRINT], env=environment, capture_output=True, text=True, check=True
        )
        found.add(run.stdout.strip())
    assert len(found) == 1
    from datasets.fingerprint import Hasher

    options = [
        {},
        {"seed": 1},
        {"level": "low"},
        {"p": 0.5},
        {"profile": "scaled"},
        {"corruptions": "graffiti"},
    ]
    options += [{"intensity": 0.4}, {"column": "x"}, {"into": "y"}, {"record": "z"}]
    prints = {Hasher.hash(MMDCorruption(**one)) for one in options}
    assert len(prints) == len(options)
    older = MMDCorruption()
    assert older.spec_digest == load_spec().digest
    object.__setattr__(older, "spec_digest", "another spec")
    assert Hasher.hash(older) not in prints


@needs_datasets
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_dataset_on_disk_finds_its_cache_again(data, tmp_path):
    import datasets

    data.save_to_disk(tmp_path / "data")
    made = [
        datasets.load_from_disk(tmp_path / "data").map(MMDCorruption("graffiti", level="hard"))
        for _ in range(2)
    ]
    assert len(made[0].cache_files) == 1
    assert made[0].cache_files == made[1].cache_files


def test_a_picture_of_a_dataset_is_written_without_loss():
    made = MMDCorruption("gaussian_noise", level="low")({"image": pil(0)})["image"]
    buffer = io.BytesIO()
    made.save(buffer, made.format or "PNG")
    assert (np.asarray(Image.open(buffer)) == np.asarray(made)).all()
