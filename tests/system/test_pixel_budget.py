"""Memory for pictures: how much one takes, and how many are worked on at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmdbench.corruptions import apply, sample
from mmdbench.system.images import MAX_PIXELS, decode_image
from mmdbench.system.pixel_budget import BYTES_PER_PIXEL, PixelBudget
from pictures import picture, png

STATUS = Path("/proc/self/status")


def memory(name: str) -> int:
    """A value of this process's memory in bytes, as Linux counts it."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells the peak of a process's memory")
@pytest.mark.parametrize("name", ["motion_blur", "lens_blur", "gaussian_noise", "color_diffusion"])
def test_degrading_a_picture_takes_no_more_memory_than_documented(name: str) -> None:
    pixels = picture(1, 1200, 1200)
    params = sample(name, pixels.shape, intensity=1.0, seed=1, profile="paper")
    apply(name, pixels[:64, :64].copy(), params)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = memory("VmRSS")
    apply(name, pixels, params)
    assert memory("VmHWM") - before < BYTES_PER_PIXEL * 1200 * 1200


def test_a_picture_at_the_limit_takes_less_than_three_gigabytes() -> None:
    assert MAX_PIXELS * BYTES_PER_PIXEL < 3e9


def test_threads_never_work_on_more_pixels_than_the_limit() -> None:
    budget, lock, at_work, peaks = PixelBudget(), threading.Lock(), [], []

    def work(pixels: int) -> None:
        with budget.hold(pixels, 10):
            with lock:
                at_work.append(pixels)
                peaks.append(sum(at_work))
            with lock:
                at_work.remove(pixels)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1, 4, 6, 9, 3, 7] * 50))
    assert len(peaks) == 300
    assert max(peaks) <= 10


def test_a_picture_above_the_limit_of_all_is_worked_on_alone() -> None:
    budget = PixelBudget()
    for _ in range(2):
        with budget.hold(11, 10):
            pass


@pytest.mark.parametrize("most", [48 * 64, 2 * 48 * 64])
def test_pictures_are_decoded_within_the_limit(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    held = []
    real = PixelBudget.hold

    def hold(self: PixelBudget, pixels: int, limit: int) -> object:
        held.append((pixels, limit))
        return real(self, pixels, limit)

    monkeypatch.setattr(PixelBudget, "hold", hold)
    assert decode_image(png(picture(1)), "here", max_pixels=most).shape == (48, 64, 3)
    assert held == [(48 * 64, most)]
