"""Carries out a build: rows made by workers, written in order; only finished files leave `.parts`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.builds.build_folder import (
    check_outputs,
    move_output,
    parts_folder,
    remove_parts,
    require_outputs,
    take_over,
)
from mmdbench.builds.manifest import LEFT_OUT, BuiltOutput, Identity, read_log, write_build
from mmdbench.builds.output_format import MAX_FILE_BYTES, SinkPlan
from mmdbench.builds.output_writer import (
    OutputWriter,
    close_outputs,
    open_outputs,
    read_checkpoint,
    save_rows,
    write_checkpoint,
    write_row,
)
from mmdbench.builds.part_files import DamagedPartError
from mmdbench.builds.pipeline import Lookahead, default_workers, in_order
from mmdbench.builds.plan import BenchPlan, BuildPlan, RowPlan, check_build_plan, plan_benches
from mmdbench.builds.row_images import ImageMaker, MadeRow, MakeRows, RowMaker
from mmdbench.corruptions.spec import Spec
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import DataError
from mmdbench.system.environment import versions
from mmdbench.system.files import make_folder
from mmdbench.system.images import MAX_PIXELS, check_bad_image
from mmdbench.system.locks import folder_lock
from mmdbench.system.opencv import single_threaded_opencv

__all__ = ["BuildProgress", "BuildSettings", "BuildSummary", "by_threads", "run_build"]

_CHECKPOINT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """The progress of a build: pictures made by this call, of those that it has to make, and the bench."""

    done: int
    total: int
    bench: str = ""
    note: str = ""


def _silent(progress: BuildProgress) -> None:
    """Show no progress."""


def by_threads(maker: RowMaker, rows: Iterator[RowPlan], workers: int) -> Generator[MadeRow, None, None]:
    """Make rows with threads of this process.

    Args:
        maker: Makes one row.
        rows: The rows to make.
        workers: The number of threads; 0 is one for each CPU.

    Yields:
        The rows in order.
    """
    return in_order(maker.make, rows, Lookahead(workers or default_workers(), MadeRow.weight))


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Settings of a build that its identity does not hold.

    `max_file_bytes` decides where a file is split, `max_pixels` which rows are left out; nothing else
    shows in the result.

    Attributes:
        workers: Threads; 0 is one for each CPU.
        on_progress: Called after each row.
        max_file_bytes: The most bytes of a file.
        make_rows: Makes rows in order, here or elsewhere.
        on_bad_image: `count` leaves out rows whose picture cannot be used, `error` stops at the first.
        max_pixels: The largest picture, in pixels, that is used.
    """

    workers: int = 0
    on_progress: Callable[[BuildProgress], None] = _silent
    max_file_bytes: int = MAX_FILE_BYTES
    make_rows: MakeRows = by_threads
    on_bad_image: str = "count"
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        check_bad_image(self.on_bad_image, self.max_pixels)


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """The result of a build: outputs, rows made by this call and earlier, damaged benches, wall seconds."""

    outputs: tuple[BuiltOutput, ...]
    made: int
    earlier: int
    remade: tuple[str, ...]
    seconds: float


@dataclass
class _Session:
    """The values that the benches of one build share, and its counts so far."""

    folder: Path
    plan: BuildPlan
    spec: Spec
    identity: Identity
    settings: BuildSettings
    total: int = 0
    done: int = 0
    made: int = 0
    earlier: int = 0
    remade: list[str] = field(default_factory=list)


def run_build(
    plan: BuildPlan, benches: Sequence[Bench], folder: Path, settings: BuildSettings | None = None
) -> BuildSummary:
    """Build degraded benchmarks into a folder; resume an interrupted build, check a finished one.

    The same plan gives the same bytes, with any number of workers and however often it was
    interrupted.

    Args:
        plan: The plan.
        benches: The benchmarks that it names.
        folder: The build's folder; created if needed.
        settings: Workers, progress and the most bytes of a file.

    Returns:
        The outputs and counts.

    Raises:
        UsageError: The plan cannot be built, or the folder holds something else.
        LockedError: Another process builds into the folder.
        StoreError: A file cannot be written.
        DataError: A benchmark's file is damaged, or holds a picture that must not be left out.
    """
    started = time.monotonic()
    spec = load_spec()
    check_build_plan(plan, spec)
    settings = settings or BuildSettings()
    if settings.on_bad_image == "error":
        for bench in benches:
            bench.require_pictures()
    planned = plan_benches(plan, benches, spec)
    with folder_lock(make_folder(folder), "building"):
        identity = Identity.of(plan, benches, spec, versions())
        session = _Session(folder, plan, spec, identity, settings)
        finished, session.remade = take_over(folder, identity, planned)
        session.total = sum(_pictures(p.rows()) for p in planned if p.bench.name not in finished)
        session.settings.on_progress(BuildProgress(0, session.total))
        built: list[BuiltOutput] = []
        with single_threaded_opencv():
            for bench_plan in planned:
                outputs = finished.get(bench_plan.bench.name)
                if outputs is None:
                    outputs = _build_bench(bench_plan, session)
                    write_build(folder, identity, [*built, *outputs], complete=False)
                else:
                    session.earlier += len(bench_plan.questions)
                built += outputs
        remove_parts(folder, (bench_plan.bench.name for bench_plan in planned))
        require_outputs(folder, built)
        write_build(folder, identity, built, complete=True)
    seconds = time.monotonic() - started
    return BuildSummary(tuple(built), session.made, session.earlier, tuple(session.remade), seconds)


def _pictures(rows: Iterable[RowPlan]) -> int:
    """The number of pictures to make for the rows; none where a row refers to another one's."""
    return sum(len(r.question.images) * sum(t.same_as is None for t in r.targets) for r in rows)


def _build_bench(planned: BenchPlan, session: _Session) -> list[BuiltOutput]:
    parts = parts_folder(session.folder, planned.bench.name)
    try:
        return _continue_bench(planned, session, parts)
    except DamagedPartError:
        session.remade.append(planned.bench.name)
        remove_parts(session.folder, [planned.bench.name])
        return _continue_bench(planned, session, parts_folder(session.folder, planned.bench.name))


def _continue_bench(planned: BenchPlan, session: _Session, parts: Path) -> list[BuiltOutput]:
    checkpoint = read_checkpoint(parts)
    finished = checkpoint is not None and "finished" in checkpoint
    if checkpoint is not None and finished:
        built = [BuiltOutput.from_dict(record) for record in checkpoint["finished"]]
        check_outputs(built, planned.outputs, parts)
    else:
        built = _write_bench(planned, session, parts, checkpoint)
        _refuse_empty(parts, built)
        write_checkpoint(parts, {"finished": [b.as_dict() for b in built]})
    for output in built:
        move_output(parts, session.folder, output, check=finished)
    if finished:
        session.earlier += len(planned.questions)
        session.total -= _pictures(planned.rows())
    return built


def _refuse_empty(parts: Path, built: Sequence[BuiltOutput]) -> None:
    if not any(output.rows for output in built):
        reason = next(row[LEFT_OUT] for row in read_log(parts / built[0].log.file, left_out=True))
        raise DataError(f"No row has a picture that can be read. {reason}")


def _write_bench(
    planned: BenchPlan, session: _Session, parts: Path, checkpoint: dict[str, Any] | None
) -> list[BuiltOutput]:
    most = session.settings.max_file_bytes
    plans = [SinkPlan(output, planned.bench, parts, most) for output in planned.outputs]
    states = checkpoint["outputs"] if checkpoint else None
    start = checkpoint["rows"] if checkpoint else 0
    opened = open_outputs(plans, session.identity, states)
    try:
        session.earlier += start
        session.total -= _pictures(islice(planned.rows(), start))
        _write_rows(planned, session, opened, start, parts)
        return [output.finish() for output in opened]
    finally:
        close_outputs(opened)


def _write_rows(
    planned: BenchPlan, session: _Session, opened: Sequence[OutputWriter], start: int, parts: Path
) -> None:
    settings = session.settings
    as_cells = session.plan.format == "tsv"
    images = ImageMaker(session.plan.as_run_plan(), session.spec, as_cells, settings.max_pixels)
    maker = RowMaker(planned.bench, images, settings.on_bad_image)
    rows = planned.rows(start)
    saved = time.monotonic()
    with contextlib.closing(settings.make_rows(maker, rows, settings.workers)) as made_rows:
        for made in made_rows:
            write_row(made, maker, opened)
            session.made += 1
            session.done += _pictures([made.plan])
            settings.on_progress(_progress(made, session))
            if time.monotonic() - saved > _CHECKPOINT_SECONDS:
                save_rows(parts, made.plan.number + 1, opened)
                saved = time.monotonic()


def _progress(made: MadeRow, session: _Session) -> BuildProgress:
    names = {target.cell.corruption for target in made.plan.targets}
    note = "mean_shift is the slow one" if "mean_shift" in names else ""
    return BuildProgress(session.done, session.total, made.plan.question.bench, note)
