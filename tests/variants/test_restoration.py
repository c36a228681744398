"""Restoring before any model: shipped restorers help, and results of a user's own are checked."""

from __future__ import annotations

import io
import threading
import time
from importlib import metadata

import numpy as np
import pytest
from PIL import Image

from mmdbench.errors import MissingExtraError, ModelError, UnknownNameError, UsageError
from mmdbench.records import ImageBytes, Recipe, Variant
from mmdbench.system.digest import pixel_digest, value_digest
from mmdbench.variants.restoration import ENTRY_POINTS, open_restorer, restored
from mmdbench.variants.restorers import SHIPPED
from pictures import picture, png


def scene(height=96, width=128):
    """A picture with flat areas, slopes and hard edges, as photographs have."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 / width, y * 255 / height, 120 + 60 * np.sin(x / 19)], axis=-1)
    base[20:60, 30:70] = (230, 40, 60)
    base[40:90, 80:110] = (20, 60, 200)
    return base.clip(0, 255).astype(np.uint8)


def loss(a, b):
    return float(np.mean((a.astype(float) - b.astype(float)) ** 2))


def jpeg(pixels, quality):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def test_nlmeans_takes_noise_away():
    clean = scene()
    noisy = np.clip(clean + np.random.RandomState(1).normal(0, 15, clean.shape), 0, 255).astype(np.uint8)
    found = open_restorer("opencv-nlmeans").restore(noisy)
    assert loss(clean, found) < 0.6 * loss(clean, noisy)


@pytest.mark.parametrize("quality", [5, 10, 20])
def test_deblock_takes_blocks_away(quality):
    clean = scene()
    with Image.open(io.BytesIO(jpeg(clean, quality))) as image:
        coded = np.asarray(image)
    found = open_restorer("opencv-deblock").restore(coded)
    assert loss(clean, found) < loss(clean, coded)

    def step(pixels):  # how much larger the steps across the blocks' borders are than those beside them
        across = np.abs(np.diff(pixels.astype(float), axis=1)).mean(axis=(0, 2))
        return across[7::8].mean() - np.delete(across, np.s_[7::8]).mean()

    assert step(found) < 0.7 * step(coded)


def test_deblock_leaves_a_picture_without_blocks_as_it_is():
    assert loss(scene(), open_restorer("opencv-deblock").restore(scene())) < 0.5


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("shape", [(48, 64, 3), (1, 1, 3), (7, 300, 3), (33, 5, 3)])
def test_shipped_restorers_are_pure(name, shape):
    restorer = open_restorer(name)
    pixels = picture(4, *shape[:2])
    before = pixels.copy()
    first, second = restorer.restore(pixels), restorer.restore(pixels)
    assert (first.shape, first.dtype) == (shape, np.uint8)
    assert np.array_equal(first, second)
    assert np.array_equal(pixels, before)
    flat = np.full(shape, 90, np.uint8)
    assert np.abs(restorer.restore(flat).astype(int) - 90).max() <= 1


def darker(pixels):
    pixels //= 2  # in place, as careless code does
    return pixels


def smaller(pixels):
    return pixels[:-1]


def as_floats(pixels):
    return pixels.astype(float)


def broken(pixels):
    raise ValueError("no weights")


def only_multiples(pixels):
    assert pixels.shape[0] % 16 == pixels.shape[1] % 16 == 0
    return 255 - pixels


not_a_function = 3


class Alone:
    """Fails if two calls overlap."""

    def __init__(self):
        self.inside = 0

    def restore(self, pixels):
        self.inside += 1
        assert self.inside == 1
        time.sleep(0.01)
        self.inside -= 1
        return pixels


ALONE = Alone()
HERE = __name__


def test_a_function_of_ones_own():
    pixels = picture(2)
    before = pixels.copy()
    assert np.array_equal(open_restorer(f"{HERE}:darker").restore(pixels), before // 2)
    assert np.array_equal(pixels, before), "what is given stays as it is"
    print_one = open_restorer(f"{HERE}:darker").fingerprint()
    assert print_one["function"] == f"{HERE}:darker"
    assert print_one != open_restorer(f"{HERE}:broken").fingerprint()
    value_digest(print_one)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smaller", r"uint8 \(48, 64, 3\) like its input, got uint8 \(47, 64, 3\)"),
        ("as_floats", "float64"),
        ("broken", "ValueError: no weights"),
    ],
)
def test_the_result_of_a_function_is_checked(name, message):
    with pytest.raises(ModelError, match=message):
        open_restorer(f"{HERE}:{name}").restore(picture(1))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("opencv-nlmean", UnknownNameError, "Did you mean 'opencv-nlmeans'"),
        ("no.such.module:restore", UsageError, "Cannot import"),
        (f"{HERE}:nothing", UsageError, "Cannot import"),
        (f"{HERE}:not_a_function", UsageError, "not a function"),
        (":", UsageError, "module:function"),
        ("none.onnx", UsageError, "no file"),
    ],
)
def test_a_name_that_nothing_answers_to(name, kind, message):
    if name.endswith(".onnx"):
        pytest.importorskip("onnxruntime")
    with pytest.raises(kind, match=message):
        open_restorer(name)


def test_a_package_can_register_one(monkeypatch):
    point = metadata.EntryPoint("theirs", f"{HERE}:darker", ENTRY_POINTS)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == ENTRY_POINTS else [])
    restorer = open_restorer("theirs")
    assert restorer.fingerprint()["name"] == "theirs"
    assert np.array_equal(restorer.restore(picture(1)), picture(1) // 2)


def test_functions_from_elsewhere_are_called_one_at_a_time():
    restorer = open_restorer(f"{HERE}:ALONE.restore")
    failures = []

    def call():
        try:
            restorer.restore(picture(1))
        except ModelError as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def cards(tmp_path, text):
    path = tmp_path / "restorers.toml"
    path.write_text(text)
    return [path]


@pytest.mark.parametrize("shape", [(48, 64), (47, 65), (5, 3), (1, 17)])
def test_a_card_pads_to_what_a_function_needs(shape, tmp_path):
    files = cards(tmp_path, f'[net]\nfunction = "{HERE}:only_multiples"\nmultiple = 16\n')
    pixels = picture(3, *shape)
    assert np.array_equal(open_restorer("net", files).restore(pixels), 255 - pixels)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("[net]\n", UsageError, "either onnx"),
        ('[net]\nonnx = "a"\nfunction = "b:c"\n', UsageError, "either onnx"),
        ('[net]\nfunction = "b:c"\nmultple = 2\n', UnknownNameError, "Did you mean 'multiple'"),
        ('[net]\nfunction = "b:c"\nmultiple = 0\n', UsageError, "between 1 and 1024"),
        ("net = 3\n", UsageError, "either onnx"),
        ("[net\n", UsageError, "not valid TOML"),
    ],
)
def test_a_card_that_does_not_fit(text, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        open_restorer("net", cards(tmp_path, text))


def test_a_file_of_cards_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="Cannot read"):
        open_restorer("net", [tmp_path / "none.toml"])


def network(path, factor, channels_first=True):
    """A network that multiplies by `factor` and adds 0.25 to red alone."""
    onnx = pytest.importorskip("onnx", reason="the test builds its network with the package onnx")
    pytest.importorskip("onnxruntime")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    shape = [1, 3, "h", "w"] if channels_first else ["n"]
    red = make.make_tensor("red", kind, [1, 3, 1, 1], [0.25, 0, 0])
    graph = make.make_graph(
        [make.make_node("Mul", ["x", "f"], ["m"]), make.make_node("Add", ["m", "red"], ["y"])],
        "g",
        [make.make_tensor_value_info("x", kind, shape)],
        [make.make_tensor_value_info("y", kind, shape)],
        [make.make_tensor("f", kind, [1], [factor]), red],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def test_an_onnx_network_by_card_and_by_path(tmp_path):
    network(tmp_path / "net.onnx", 0.5)
    pixels = picture(5, 21, 30)
    expected = np.rint(np.clip(pixels / 255 * 0.5 + [0.25, 0, 0], 0, 1) * 255)
    by_card = open_restorer("net", cards(tmp_path, '[net]\nonnx = "net.onnx"\nmultiple = 8\n'))
    by_path = open_restorer(str(tmp_path / "net.onnx"))
    for restorer in (by_card, by_path):
        assert np.abs(restorer.restore(pixels) - expected).max() <= 1
    before = by_card.fingerprint()
    network(tmp_path / "net.onnx", 3.0)
    changed = open_restorer("net", cards(tmp_path, '[net]\nonnx = "net.onnx"\nmultiple = 8\n'))
    assert changed.fingerprint() != before, "other weights are another restorer"
    assert changed.restore(np.full((8, 8, 3), 200, np.uint8)).min() == 255


def test_an_onnx_file_that_will_not_do(tmp_path, monkeypatch):
    network(tmp_path / "flat.onnx", 1.0, channels_first=False)
    with pytest.raises(ModelError, match="1×3×H×W"):
        open_restorer(str(tmp_path / "flat.onnx"))
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ModelError, match="onnxruntime loads"):
        open_restorer(str(tmp_path / "text.onnx"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="onnxruntime"):
        open_restorer(str(tmp_path / "flat.onnx"))


def test_a_restored_variant_is_what_the_model_gets():
    recipe = Recipe("d", "jpeg_compression", 0.3, "paper", "1", 0, "jpeg:95")
    data = jpeg(picture(6), 60)
    with Image.open(io.BytesIO(data)) as image:
        seen = np.asarray(image)
    variant = Variant(recipe, {"q": 5}, ImageBytes(data, "image/jpeg"), pixel_digest(seen))
    found = restored(variant, open_restorer("opencv-deblock"))
    expected = open_restorer("opencv-deblock").restore(seen)
    with Image.open(io.BytesIO(found.image.data)) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), expected)
    assert found.pixels == pixel_digest(expected)
    assert found.restored["before"] == variant.pixels
    assert (found.recipe, found.params) == (recipe, {"q": 5})
    assert 0 < found.restored["seconds"] < 5


def test_the_restorers_time_is_counted_and_nothing_else():
    data = png(np.zeros((1500, 1500, 3), np.uint8))
    recipe = Recipe("d", None, None, "", "", 0, "source")
    found = restored(
        Variant(recipe, {}, ImageBytes(data, "image/png"), ""), open_restorer(f"{HERE}:ALONE.restore")
    )
    assert 0.01 <= found.restored["seconds"] < 0.2
