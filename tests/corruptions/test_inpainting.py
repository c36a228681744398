"""The inpainting gives OpenCV's bytes, with numba and without, at every size, radius and layout."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

# Private: users choose no implementation, and do not see which one is in use.
from mmdbench.corruptions import _inpainting, apply, sample
from mmdbench.corruptions._inpainting import _kernel, inpaint
from numba_kernels import engine_fixture, needs_numba, photo, run_python


def by_opencv(image: np.ndarray, mask: np.ndarray, radius: int) -> np.ndarray:
    """OpenCV itself, not by way of the package."""
    return cv2.inpaint(np.array(image, order="C"), np.array(mask, order="C"), radius, cv2.INPAINT_TELEA)


def holes(rng: np.random.RandomState, height: int, width: int) -> np.ndarray:
    """Boxes, some beyond the edges; now and then single pixels, a frame or stripes."""
    mask = np.zeros((height, width), np.uint8)
    kind = rng.randint(8)
    if kind == 0:
        mask[rng.random_sample((height, width)) < 0.2] = 255
    elif kind == 1:
        mask[[0, -1]] = mask[:, [0, -1]] = 255
    elif kind == 2:
        mask[:: rng.randint(2, 6)] = 1
    else:
        for _ in range(rng.randint(1, 8)):
            y, x = rng.randint(height), rng.randint(width)
            mask[y : y + rng.randint(1, 30), x : x + rng.randint(1, 60)] = 255
    return mask


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use numba from the first picture on."""
    for bound in ("_PIXELS_BEFORE_NUMBA", "_PIXELS_BEFORE_KERNEL"):  # private: users do not choose them
        monkeypatch.setattr(_inpainting, bound, 0)


engine = engine_fixture(_inpainting)


@needs_numba
def test_the_kernel_is_in_use() -> None:
    kernel = _kernel()
    assert kernel is not None
    image = photo("chelsea_120x160")
    mask = holes(np.random.RandomState(7), *image.shape[:2])
    assert np.array_equal(kernel(image, mask, 3), by_opencv(image, mask, 3))


@needs_numba
@pytest.mark.parametrize("seed", range(10))
def test_random_holes(seed: int) -> None:
    rng = np.random.RandomState(seed)
    for case in range(40):
        height, width = rng.randint(3, rng.choice([6, 20, 120]), 2)
        image = cv2.resize(photo(), (int(width), int(height)))
        if case % 3 == 0:
            image = rng.randint(0, 256, (height, width, 3)).astype(np.uint8)
        if case % 7 == 0:
            image = (255 * rng.randint(0, 2, image.shape)).astype(np.uint8)
        mask = holes(rng, height, width)
        if mask.all():
            continue
        radius = int(rng.choice([1, 2, 3, 3, 3, 4, 7, 12]))
        found = inpaint(image, mask, radius)
        assert found.dtype == np.uint8
        assert np.array_equal(found, by_opencv(image, mask, radius)), (case, image.shape, radius)


@needs_numba
@pytest.mark.parametrize("level", ["low", "mid", "hard"])
def test_the_masks_that_are_drawn(level: str) -> None:
    image = cv2.resize(photo(), (1024, 768), interpolation=cv2.INTER_CUBIC)
    for seed in range(6):
        params = sample("watermark_damage", image.shape, level=level, seed=seed)
        mask = np.zeros(image.shape[:2], np.uint8)
        for x0, y0, x1, y1 in params["boxes"]:
            mask[y0 : y1 + 1, x0 : x1 + 1] = 255
        assert np.array_equal(inpaint(image, mask, 3), by_opencv(image, mask, 3)), seed


@pytest.mark.parametrize("radius", [1, 3, 30, 100])
def test_every_edge_and_corner(radius: int, engine: str) -> None:
    image = photo("chelsea_120x160")[:24, :30]
    for rows in (slice(0, 3), slice(1, 5), slice(10, 14), slice(19, 23), slice(20, 24), slice(0, 24)):
        for columns in (slice(0, 3), slice(1, 5), slice(12, 19), slice(25, 29), slice(26, 30)):
            mask = np.zeros(image.shape[:2], np.uint8)
            mask[rows, columns] = 255
            assert np.array_equal(inpaint(image, mask, radius), by_opencv(image, mask, radius))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 300), (300, 1), (2, 300)])
def test_an_image_too_thin_for_opencv(size: tuple[int, int], engine: str) -> None:
    image = np.random.RandomState(1).randint(0, 256, (*size, 3)).astype(np.uint8)
    mask = np.zeros(size, np.uint8)
    mask.flat[mask.size // 2] = 255
    framed, framed_mask = (cv2.copyMakeBorder(a, 1, 1, 1, 1, cv2.BORDER_REPLICATE) for a in (image, mask))
    expected = by_opencv(framed, framed_mask, 3)[1:-1, 1:-1]
    assert np.array_equal(inpaint(image, mask, 3), expected)


def test_any_memory_layout(engine: str) -> None:
    image, mask = photo("page_200x150")[30:90, 20:100], np.zeros((60, 80), np.uint8)
    mask[10:30, 20:70] = 255
    expected = by_opencv(image, mask, 3)
    frozen = image.copy()
    frozen.flags.writeable = False
    layouts = {"view": image, "read-only": frozen, "Fortran": np.asfortranarray(image)}
    for name, layout in layouts.items():
        before = layout.copy()
        found = inpaint(layout, np.asfortranarray(mask), 3)
        assert np.array_equal(found, expected), name
        assert np.array_equal(layout, before), name
        assert not np.shares_memory(found, layout), name


def test_threads_do_not_disturb_each_other(engine: str) -> None:
    rng = np.random.RandomState(5)
    cases = [(photo(), holes(rng, 192, 256)) for _ in range(12)]
    expected = [by_opencv(image, mask, 3) for image, mask in cases]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda case: inpaint(*case, 3), cases))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_corruption_is_the_same_with_and_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo()
    params = sample("watermark_damage", image.shape, level="hard", seed=4)
    found = apply("watermark_damage", image, params)
    monkeypatch.setattr(_inpainting, "_kernel", lambda: None)
    assert np.array_equal(apply("watermark_damage", image, params), found)


@needs_numba
@pytest.mark.parametrize("loaded", [False, True])
def test_numba_is_loaded_only_where_there_is_enough_to_do(
    loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numba

    if loaded:
        monkeypatch.setitem(sys.modules, "numba", numba)
    else:
        monkeypatch.delitem(sys.modules, "numba")
    used: list[int] = []
    monkeypatch.setattr(_inpainting, "_kernel", lambda: used.append(1))
    monkeypatch.setattr(_inpainting, "_PIXELS_BEFORE_NUMBA", 100 * 100 * (9 if loaded else 3))
    monkeypatch.setattr(_inpainting, "_PIXELS_BEFORE_KERNEL", 100 * 100 * (3 if loaded else 1))
    monkeypatch.setattr(_inpainting, "_seen", 0)  # private: it counts for the whole process
    image, mask = photo()[:100, :100], np.zeros((100, 100), np.uint8)
    mask[10:20, 10:20] = 255
    for _ in range(5):
        inpaint(image, mask, 3)
    assert len(used) == 2


def test_other_processors_keep_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert _kernel.__wrapped__() is None


@pytest.mark.parametrize("radius", [-1, 0, 101, 1000])
def test_a_radius_that_opencv_would_clamp(radius: int, engine: str) -> None:
    image, mask = photo()[:40, :50], np.zeros((40, 50), np.uint8)
    mask[10:25, 20:45] = 255
    assert np.array_equal(inpaint(image, mask, radius), by_opencv(image, mask, radius))


def test_hidden_numba_means_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert _kernel.__wrapped__() is None


@needs_numba
def test_the_gil_is_released() -> None:
    from mmdbench.corruptions._inpainting_numba import _fill  # private: the lock is released by this part

    assert _fill.targetoptions["nogil"]


PORTABLE = """
import cv2
import numpy as np
from mmdbench.corruptions import _inpainting

_inpainting._PIXELS_BEFORE_NUMBA = _inpainting._PIXELS_BEFORE_KERNEL = 0
rng = np.random.RandomState(3)
for case in range(4):
    image = cv2.resize(rng.randint(0, 256, (9, 12, 3)).astype(np.uint8), (75, 50))
    mask = np.zeros((50, 75), np.uint8)
    for _ in range(3):
        y, x = rng.randint(40), rng.randint(60)
        mask[y : y + 14, x : x + 25] = 255
    expected = cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA)
    print(int((_inpainting.inpaint(image, mask, 3) != expected).sum()))
print("numba" in __import__("sys").modules)
"""


@needs_numba
@pytest.mark.parametrize("processor", ["generic", "haswell"])
def test_another_processor_gives_the_same(processor: str, tmp_path: Path) -> None:
    environment = {"NUMBA_CPU_NAME": processor, "NUMBA_CACHE_DIR": str(tmp_path)}
    if processor == "generic":
        environment["NUMBA_CPU_FEATURES"] = ""
    assert run_python(PORTABLE, **environment).split() == ["0"] * 4 + ["True"]
