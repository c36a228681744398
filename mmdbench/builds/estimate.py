"""Estimate of the time and the disk space that a build takes, before it starts: a table and its scale."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec

from mmdbench.builds.pipeline import default_workers
from mmdbench.builds.plan import BenchPlan, BuildPlan
from mmdbench.errors import ImageDecodeError
from mmdbench.records import CLEAN, RECODED
from mmdbench.system.images import picture_size
from mmdbench.variants.codec import parse_codec

__all__ = ["DECODING_SECONDS", "BuildEstimate", "TableScale", "estimate_build", "picture_cost"]

# Measured on one core of a 2024 server with photographs of 0.2 to 0.8 megapixels, encoding, check of
# the encoded picture and digests included: ms per megapixel, then bytes per pixel at JPEG quality
# 95, at low, mid and hard. Their ratios are what counts: `measure_scale` measures the rest.
_COSTS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "lens_blur": ((28, 26, 21), (0.28, 0.26, 0.19)),
    "lens_flare": ((9, 10, 10), (0.29, 0.3, 0.29)),
    "motion_blur": ((15, 20, 24), (0.22, 0.18, 0.16)),
    "dirty_lens": ((14, 14, 15), (0.27, 0.25, 0.19)),
    "hsv_saturation": ((14, 13, 13), (0.29, 0.28, 0.28)),
    "jpeg_compression": ((17, 16, 14), (0.25, 0.21, 0.11)),
    "block_exchange": ((9, 8, 9), (0.29, 0.29, 0.29)),
    "mean_shift": ((153, 225, 316), (0.25, 0.22, 0.17)),
    "scan_lines": ((7, 8, 8), (0.32, 0.35, 0.4)),
    "dark_illumination": ((7, 8, 6), (0.28, 0.27, 0.14)),
    "atmospheric_turbulence": ((13, 14, 14), (0.28, 0.28, 0.3)),
    "gaussian_noise": ((19, 17, 17), (0.7, 0.88, 1.08)),
    "color_diffusion": ((14, 17, 25), (0.27, 0.24, 0.15)),
    "sharpness_change": ((13, 12, 12), (0.32, 0.32, 0.32)),
    "graffiti": ((7, 7, 9), (0.29, 0.3, 0.34)),
    "watermark_damage": ((21, 28, 45), (0.29, 0.28, 0.27)),
}
# The same where OpenCV does what numba does otherwise.
_BY_OPENCV: Mapping[str, tuple[float, ...]] = {
    "mean_shift": (1630, 3830, 7950),
    "watermark_damage": (41, 59, 101),
}
_OTHER = ((20, 20, 20), (0.3, 0.3, 0.3))
_RECODED = (7.0, 0.29)
DECODING_SECONDS = 0.009
"""Seconds to decode a picture, for each megapixel."""
_LEVELS = {"low": 0, "mid": 1, "hard": 2}
_SLOW = "mean_shift"
_MEASURED_PICTURES = 24


@dataclass(frozen=True, slots=True)
class TableScale:
    """The time and the bytes of a machine's builds, as multiples of the table's."""

    seconds: float = 1.0
    bytes: float = 1.0


@dataclass(frozen=True, slots=True)
class BuildEstimate:
    """The estimated cost of a build.

    Attributes:
        questions: Questions of each benchmark.
        variants: Pictures to make for each (level, corruption).
        cpu_seconds: CPU seconds on one core.
        slow_seconds: The part of `cpu_seconds` that mean_shift takes.
        saved_seconds: CPU seconds that `pip install 'mmdbench[fast]'` would save; 0 with numba.
        workers: Threads.
        bytes: Size of all files.
    """

    questions: Mapping[str, int]
    variants: Mapping[tuple[str, str], int]
    cpu_seconds: float
    slow_seconds: float
    saved_seconds: float
    workers: int
    bytes: int

    @property
    def wall_seconds(self) -> float:
        """Wall-clock seconds if nothing else runs."""
        return self.cpu_seconds / self.workers


def estimate_build(
    plan: BuildPlan,
    planned: Sequence[BenchPlan],
    workers: int = 0,
    *,
    numba: bool | None = None,
    scale: TableScale | None = None,
) -> BuildEstimate:
    """Estimate a planned build from its counts and from the size of some of its pictures.

    Args:
        plan: The plan.
        planned: Its benchmarks' rows.
        workers: Threads; 0 is one for each CPU.
        numba: True if numba is installed; None finds out.
        scale: What was measured on this machine; None takes the table as it is.

    Returns:
        The estimate.
    """
    scale = scale or TableScale()
    variants: Counter[tuple[str, str]] = Counter()
    cpu, slow, saved, size = 0.0, 0.0, 0.0, 0.0
    for bench_plan in planned:
        megapixels = _mean_megapixels(bench_plan)
        counts, decoded = _counts(bench_plan)
        variants.update(counts)
        cpu += decoded * megapixels * DECODING_SECONDS
        for (level, name), count in counts.items():
            seconds, pixel_bytes = picture_cost(plan, level, name, numba=numba)
            size += count * megapixels * 1e6 * pixel_bytes
            saved += count * megapixels * (seconds - picture_cost(plan, level, name, numba=True)[0])
            if name == _SLOW:
                slow += count * megapixels * seconds
            cpu += count * megapixels * seconds
    cpu, slow, saved = (value * scale.seconds for value in (cpu, slow, saved))
    questions = {b.bench.name: len(b.questions) for b in planned}
    return BuildEstimate(
        questions, variants, cpu, slow, saved, workers or default_workers(), int(size * scale.bytes)
    )


def picture_cost(plan: BuildPlan, level: str, name: str, *, numba: bool | None = None) -> tuple[float, float]:
    """The cost of making and writing a picture by the table.

    Args:
        plan: The plan, with its codec and format.
        level: The level.
        name: The corruption; empty for none.
        numba: True if numba is installed; None finds out.

    Returns:
        CPU seconds for a megapixel, and bytes for a pixel.
    """
    seconds, pixel_bytes = _cost(level, name)
    fast = find_spec("numba") is not None if numba is None else numba
    if name in _BY_OPENCV and not fast:
        seconds = _BY_OPENCV[name][_LEVELS[level]] / 1000
    base64 = 4 / 3 if plan.format == "tsv" else 1.0
    return seconds, pixel_bytes * _codec_factor(plan, level) * base64


def _counts(planned: BenchPlan) -> tuple[Counter[tuple[str, str]], int]:
    """Pictures to make for each (level, corruption), and pictures to decode for them.

    In a TSV, a row whose picture is another row's refers to that row, and nothing is made.
    """
    counts: Counter[tuple[str, str]] = Counter()
    decoded = 0
    for row in planned.rows():
        made = [target.cell for target in row.targets if target.same_as is None]
        pictures = len(row.question.images)
        for cell in made:
            counts[cell.level, cell.corruption or ""] += pictures
        decoded += pictures * bool(made)
    return counts, decoded


def _cost(level: str, name: str) -> tuple[float, float]:
    """CPU seconds per megapixel, and bytes per pixel."""
    if level == CLEAN:
        return 0.0, 0.3
    if level == RECODED:
        return _RECODED[0] / 1000, _RECODED[1]
    milliseconds, pixel_bytes = _COSTS.get(name, _OTHER)
    return milliseconds[_LEVELS[level]] / 1000, pixel_bytes[_LEVELS[level]]


def _codec_factor(plan: BuildPlan, level: str) -> float:
    codec = parse_codec(plan.codec)
    if level == CLEAN:
        return 1.0
    if codec.name == "png":
        return 5.0
    quality = codec.quality if codec.name == "jpeg" else codec.quality * 0.8
    return float(max(0.06, 1.9 * (quality / 100) ** 8 if quality > 90 else 0.55 * quality / 90))


def _mean_megapixels(planned: BenchPlan) -> float:
    sources = [image for question, _ in planned.questions for image in question.images]
    step = max(1, len(sources) // _MEASURED_PICTURES)
    sizes: list[float] = []
    for source in sources[::step]:
        with suppress(ImageDecodeError):  # its row is left out
            sizes.append(math.prod(picture_size(source.read(), source.where)) / 1e6)
    return sum(sizes) / len(sizes) if sizes else 0.0
