"""The speed of this machine for a build, measured by making some of its pictures."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from mmdbench.builds.estimate import DECODING_SECONDS, TableScale, picture_cost
from mmdbench.builds.pipeline import Lookahead, default_workers, in_order
from mmdbench.builds.plan import BenchPlan, BuildPlan, RowPlan
from mmdbench.builds.row_images import ImageMaker
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import ImageDecodeError
from mmdbench.records import Cell
from mmdbench.system.images import MAX_PIXELS, picture_size
from mmdbench.system.opencv import single_threaded_opencv

__all__ = ["measure_scale"]

_SECONDS = 0.3
_LOOKED_AT = 1000


@dataclass(frozen=True, slots=True)
class _Sample:
    """A row to measure, with the cells to make, its CPU seconds and its bytes by the table."""

    row: RowPlan
    cells: tuple[Cell, ...]
    seconds: float
    bytes: float


def measure_scale(
    plan: BuildPlan,
    planned: Sequence[BenchPlan],
    spec: Spec,
    workers: int = 0,
    max_pixels: int = MAX_PIXELS,
    clock: Callable[[], float] = time.monotonic,
) -> TableScale:
    """Make some rows of a build as its workers would, and compare their time and bytes with the table's.

    They are made twice, because the first time is longer: modules are imported, and numba compiles. What
    is made takes about 0.3 s by the table, and is thrown away.

    Args:
        plan: The plan.
        planned: Its benchmarks' rows.
        spec: The spec of the corruptions.
        workers: Threads; 0 is one for each CPU.
        max_pixels: The largest picture, in pixels, that is used.
        clock: Gives the time in seconds.

    Returns:
        The scale; that of the table if no picture could be made.
    """
    threads = workers or default_workers()
    samples = _choose(plan, planned, 4 * threads)
    maker = ImageMaker(plan.as_run_plan(), spec, plan.format == "tsv", max_pixels)

    def make(sample: _Sample, stop: threading.Event) -> int:
        try:
            made = maker.row_images(sample.row.question, sample.cells, b"", stop)
        except ImageDecodeError:  # the row will be left out
            return 0
        return sum(len(row.cell) + sum(len(image.data) for image in row.images) for row in made)

    def make_all() -> list[int]:
        with single_threaded_opencv():
            return list(in_order(make, samples, Lookahead(threads, lambda size: size)))

    samples = [sample for sample, size in zip(samples, make_all(), strict=True) if size]
    if not samples:
        return TableScale()
    started = clock()
    size = sum(make_all())
    by_table = sum(sample.seconds for sample in samples) / min(threads, len(samples))
    return TableScale((clock() - started) / by_table, size / sum(sample.bytes for sample in samples))


def _choose(plan: BuildPlan, planned: Sequence[BenchPlan], least: int) -> list[_Sample]:
    """Rows that show each corruption once, and `least` at least, in 0.3 s; if all are longer, one."""
    chosen: list[_Sample] = []
    longer: list[_Sample] = []
    seen: set[tuple[str, str | None]] = set()
    left = _SECONDS
    for row in islice((row for bench in planned for row in bench.rows()), _LOOKED_AT):
        sample = _sample(plan, row)
        kinds = {(cell.level, cell.corruption) for cell in sample.cells} if sample else set()
        if sample is None or (kinds <= seen and len(chosen) >= least):
            continue
        (chosen if sample.seconds <= left else longer).append(sample)
        if sample.seconds <= left:
            seen |= kinds
            left -= sample.seconds
    return chosen or sorted(longer, key=lambda sample: sample.seconds)[:1]


def _sample(plan: BuildPlan, row: RowPlan) -> _Sample | None:
    """The row with its cost by the table; None if it has no picture to make, or none that can be read."""
    cells = tuple(target.cell for target in row.targets if target.same_as is None)
    try:
        megapixels = [math.prod(picture_size(i.read(), i.where)) / 1e6 for i in row.question.images]
    except ImageDecodeError:
        return None
    costs = [picture_cost(plan, cell.level, cell.corruption or "") for cell in cells]
    seconds = DECODING_SECONDS + sum(seconds for seconds, _ in costs)
    size = sum(pixel_bytes for _, pixel_bytes in costs)
    if not cells or not sum(megapixels):
        return None
    return _Sample(row, cells, seconds * sum(megapixels), size * sum(megapixels) * 1e6)
