"""Less saturation: the same bytes with numba and without, which is loaded where there is enough to do."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

# Private: users choose no implementation, and do not see which one is in use.
from mmdbench.corruptions import _saturation
from mmdbench.corruptions._saturation import _kernel, desaturate
from numba_kernels import engine_fixture, needs_numba, photo

engine = engine_fixture(_saturation)


@pytest.fixture(autouse=True)
def enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use numba from the first picture on."""
    monkeypatch.setattr(_saturation, "_seen", 10**12)  # private: it counts for the whole process


@pytest.mark.parametrize("gain", [0.0, 0.1, 0.55, 0.77, 1.0])
def test_every_colour_by_the_definition(gain: float, engine: str) -> None:
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    image = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 52, 3)
    hue, saturation, value = (
        channel.astype(int) for channel in cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    )
    kept = (saturation.astype(np.float32) * np.float32(gain)).astype(int)
    found = desaturate(image, gain)
    for channel, top in enumerate((0, 60, 120)):
        distance = np.minimum(np.abs(hue - top), 180 - np.abs(hue - top))
        lost = kept * np.clip(distance - 30, 0, 30)
        # In whole numbers: the share in 2⁻¹⁵, rounded, which is never a tie.
        share = 32768 - (2 * lost * 32768 + 7650) // (2 * 7650)
        assert (found[..., channel] == value * share // 32768).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (300, 200)])
def test_strips_and_layouts(size: tuple[int, int], engine: str) -> None:
    image = np.random.RandomState(0).randint(0, 256, (*size, 3)).astype(np.uint8)
    image.flags.writeable = False
    found = desaturate(image, 0.4)
    rows = np.concatenate([desaturate(np.ascontiguousarray(image[k : k + 1]), 0.4) for k in range(size[0])])
    assert np.array_equal(found, rows)
    assert found.shape == image.shape


@needs_numba
def test_numba_is_loaded_only_where_there_is_enough_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo()[:100, :100]
    for loaded, least in ((True, 10_000_000), (False, 300_000_000)):
        used: list[int] = []
        monkeypatch.setattr(_saturation, "_kernel", lambda used=used: used.append(1))
        monkeypatch.setattr(_saturation, "_seen", least - 25_000)  # private: as above
        if loaded:
            monkeypatch.setitem(sys.modules, "numba", np)
        else:
            monkeypatch.delitem(sys.modules, "numba", raising=False)
        for _ in range(5):
            desaturate(image, 0.5)
        assert len(used) == 3


def test_hidden_numba_means_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert _kernel.__wrapped__() is None
