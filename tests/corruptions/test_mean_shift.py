"""The mean-shift filter gives OpenCV's bytes, with numba and without, at every size and layout."""

from __future__ import annotations

import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

# Private: users choose no implementation, and do not see which one is in use.
from mmdbench.corruptions import _mean_shift
from mmdbench.corruptions._mean_shift import _kernel, mean_shift
from mmdbench.errors import SlowWarning
from numba_kernels import engine_fixture, needs_numba, photo, run_python

PHOTOS = ("astronaut_256x192", "chelsea_120x160", "page_200x150")
LEVELS = {"low": 9, "mid": 18, "hard": 36}


def by_opencv(image: np.ndarray, spatial_radius: int, color_radius: int) -> np.ndarray:
    """OpenCV itself, not by way of the package."""
    return cv2.pyrMeanShiftFiltering(np.array(image, order="C"), spatial_radius, color_radius, maxLevel=1)


def differing(image: np.ndarray, spatial_radius: int, color_radius: int) -> int:
    result = mean_shift(image, spatial_radius, color_radius)
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    return int((result != by_opencv(image, spatial_radius, color_radius)).sum())


engine = engine_fixture(_mean_shift)


@needs_numba
def test_the_kernel_is_in_use() -> None:
    kernel = _kernel()
    assert kernel is not None
    image = photo("chelsea_120x160")
    assert np.array_equal(kernel(image, 9, 9), by_opencv(image, 9, 9))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", PHOTOS)
def test_golden_photos(name: str, level: str) -> None:
    expected = photo(f"{name}.mean_shift.{level}")
    assert np.array_equal(mean_shift(photo(name), LEVELS[level], LEVELS[level]), expected)


@pytest.mark.parametrize("level", LEVELS)
def test_a_golden_photo_without_numba(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mean_shift, "_kernel", lambda: None)
    name = "chelsea_120x160"
    expected = photo(f"{name}.mean_shift.{level}")
    assert np.array_equal(mean_shift(photo(name), LEVELS[level], LEVELS[level]), expected)


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 7, 8, 15, 16, 17, 24, 31, 33, 40])
def test_radii_on_a_photo(radius: int) -> None:
    assert differing(photo("chelsea_120x160")[20:90, 30:140], radius, radius) == 0


@pytest.mark.parametrize(
    ("spatial_radius", "color_radius"),
    [(40, 3), (3, 60), (20, 0), (0, 20), (126, 255), (127, 30), (30, 256), (9, 500)],
)
def test_unequal_and_extreme_radii(spatial_radius: int, color_radius: int) -> None:
    assert differing(photo("astronaut_256x192")[40:90, 60:130], spatial_radius, color_radius) == 0


def crop(rng: np.random.RandomState, kind: int) -> np.ndarray:
    """A crop of random place and size: photo, noise, faint noise, flat, black and white, or coarse."""
    source = photo(PHOTOS[rng.randint(len(PHOTOS))])
    height, width = (int(rng.randint(1, rng.choice([5, 24, 80]))) for _ in range(2))
    top, left = rng.randint(source.shape[0] - height + 1), rng.randint(source.shape[1] - width + 1)
    part = source[top : top + height, left : left + width]
    if kind == 1:
        return rng.randint(0, 256, part.shape).astype(np.uint8)
    if kind == 2:
        return (rng.randint(0, 6, part.shape) + rng.randint(250)).astype(np.uint8)
    if kind == 3:
        return np.full_like(part, rng.randint(0, 256, 3))
    if kind == 4:
        return (255 * rng.randint(0, 2, part.shape)).astype(np.uint8)
    return part // 16 * 16 if kind == 5 else part


@needs_numba
@pytest.mark.parametrize("seed", range(8))
def test_random_crops(seed: int) -> None:
    rng = np.random.RandomState(seed)
    for case in range(50):
        image = crop(rng, case % 10)
        spatial_radius = int(rng.randint(0, 41))
        color_radius = spatial_radius if case % 2 else int(rng.randint(0, 61))
        assert differing(image, spatial_radius, color_radius) == 0, (
            case,
            image.shape,
            spatial_radius,
            color_radius,
        )


SIZES = [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3), (4, 5), (5, 4), (1, 500), (500, 1), (3, 200)]


@pytest.mark.parametrize("size", SIZES)
def test_tiny_and_thin(size: tuple[int, int], engine: str) -> None:
    image = np.random.RandomState(sum(size)).randint(0, 256, (*size, 3)).astype(np.uint8)
    for radius in LEVELS.values():
        assert differing(image, radius, radius) == 0


def test_any_memory_layout(engine: str) -> None:
    image = photo("page_200x150")[30:90, 20:100]
    expected = by_opencv(image, 18, 18)
    frozen = image.copy()
    frozen.flags.writeable = False
    spread = np.zeros((120, 160, 4), np.uint8)[::2, ::2, :3]
    spread[:] = image
    layouts = {
        "view": image,
        "read-only": frozen,
        "Fortran": np.asfortranarray(image),
        "strided": spread,
        "reversed": np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1],
        "planes": np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0),
    }
    for name, layout in layouts.items():
        before = layout.copy()
        result = mean_shift(layout, 18, 18)
        assert np.array_equal(result, expected), name
        assert np.array_equal(layout, before), name
        assert not np.shares_memory(result, layout), name
        assert result.flags.c_contiguous, name
        assert result.flags.writeable, name


def test_result_is_new_where_nothing_changes(engine: str) -> None:
    image = np.full((20, 30, 3), 77, np.uint8)
    result = mean_shift(image, 9, 9)
    assert np.array_equal(result, image)
    assert not np.shares_memory(result, image)


def test_channel_order_does_not_matter() -> None:
    image = photo("chelsea_120x160")[:60, :60]
    assert np.array_equal(mean_shift(image[:, :, ::-1], 18, 18), mean_shift(image, 18, 18)[:, :, ::-1])


def test_threads_do_not_disturb_each_other(engine: str) -> None:
    images = [photo(name)[:40, :60] for name in PHOTOS] * 4
    expected = [by_opencv(image, 18, 18) for image in images]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda image: mean_shift(image, 18, 18), images))
    assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))


def test_hidden_numba_means_opencv_and_one_line_that_says_what_it_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    _kernel.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            mean_shift(photo()[:9, :9], 9, 9)
    _kernel.cache_clear()
    assert [warning.category for warning in caught] == [SlowWarning]
    (line,) = str(caught[0].message).splitlines()
    assert "0.8, 2.7 and 8 s" in line
    assert "Run: pip install 'mmdbench[fast]'" in line


@needs_numba
def test_numba_without_its_compiler_means_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.warns(SlowWarning):
        assert _kernel.__wrapped__() is None


@needs_numba
def test_no_place_for_compiled_code_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core.caching import CacheImpl

    # Private: numba asks these for a folder, and no variable of the environment takes all of them away.
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    from mmdbench.corruptions._compiling import compiled

    assert compiled(lambda x: x + 1)(41) == 42


@needs_numba
def test_the_gil_is_released() -> None:
    from mmdbench.corruptions._mean_shift_numba import _filter  # private: the lock is released by this part

    assert _filter.targetoptions["nogil"]


def test_numba_is_imported_only_for_use() -> None:
    assert (
        run_python("import sys, mmdbench.corruptions._mean_shift; print('numba' in sys.modules)") == "False"
    )


PORTABLE = """
import cv2
import numpy as np
from mmdbench.corruptions import _mean_shift, _mean_shift_numba

assert _mean_shift_numba._WIDE == 16
rng = np.random.RandomState(3)
for radius in (1, 9, 18, 36):
    image = cv2.resize(rng.randint(0, 256, (9, 12, 3)).astype(np.uint8), (75, 50))
    image += rng.randint(0, 9, image.shape).astype(np.uint8)
    expected = cv2.pyrMeanShiftFiltering(image, radius, radius, maxLevel=1)
    print(int((_mean_shift.mean_shift(image, radius, radius) != expected).sum()))
"""


@needs_numba
def test_a_plain_processor_gives_the_same(tmp_path: Path) -> None:
    out = run_python(PORTABLE, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="", NUMBA_CACHE_DIR=str(tmp_path))
    assert out.split() == ["0"] * 4


def cpu_seconds(function: object, *arguments: object) -> float:
    """The least of three, in this thread alone, so that other processes do not count."""
    times = []
    for _ in range(3):
        start = time.thread_time()
        function(*arguments)
        times.append(time.thread_time() - start)
    return min(times)


@needs_numba
def test_faster_than_opencv() -> None:
    image = photo("chelsea_120x160")
    mean_shift(image, 18, 18)
    assert cpu_seconds(by_opencv, image, 18, 18) > 3 * cpu_seconds(mean_shift, image, 18, 18)
