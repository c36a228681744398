"""Rows made by tasks of a Ray cluster; the files are written where the build was started.

Ray places the tasks, and repeats those that were lost with a worker or a node. A task carries the
encoded pictures of its row, so that nodes need no benchmark's file.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from mmdbench.builds.pipeline import Lookahead, ordered
from mmdbench.builds.plan import RowPlan
from mmdbench.builds.row_images import ImageMaker, MadeRow, MakeRows, RowImages, RowMaker
from mmdbench.corruptions.plugins import places_of, use_corruption
from mmdbench.errors import ImageDecodeError, MmdbenchError
from mmdbench.records import Cell, Question
from mmdbench.run.engines.ray_actor import checked_versions
from mmdbench.run.engines.ray_pool import connected
from mmdbench.run.engines.worker import EncodedImage
from mmdbench.system.opencv import single_threaded_opencv

__all__ = ["by_ray", "make_row_images"]

_RETRIES = 16
"""Retries of a row whose worker or node exited; bounded, since the row itself may be the cause."""


@contextmanager
def by_ray(address: str = "", runtime_env: Mapping[str, Any] | None = None) -> Iterator[MakeRows]:
    """Connect to the cluster at `address`, at RAY_ADDRESS, or to one started on this machine.

    Yields the `make_rows` of BuildSettings; its `workers` bound the rows in flight (0: every CPU of
    the cluster, and rows wait as in a local build).
    Raises MissingExtraError without the extra `ray`, ModelError if the cluster cannot be reached.
    """
    with connected(address, runtime_env or {}) as ray:
        yield partial(_rows, ray)


def make_row_images(
    maker: ImageMaker, question: Question, cells: Sequence[Cell], quote: bytes, wanted: Mapping[str, str]
) -> list[RowImages] | MmdbenchError:
    """Make a row's pictures; runs as a task. Errors of ours are returned, because Ray would wrap them.

    Args:
        maker: Makes the pictures.
        question: The question, with its pictures as bytes.
        cells: The cells, as in `ImageMaker.row_images`.
        quote: The quote, as in `ImageMaker.row_images`.
        wanted: The versions of packages where the build was started.

    Returns:
        The pictures of each cell, or the error.
    """
    here = checked_versions()
    for name, version in wanted.items():
        if here[name] != version:
            return MmdbenchError(
                f"{socket.gethostname()} has {name} {here[name]}, and where the build was started it is "
                f"{version}.",
                hint="Install the same packages on every node, or name them in Ray's runtime_env.",
            )
    try:
        for place in maker.places:
            use_corruption(place)
        with single_threaded_opencv():
            return maker.row_images(question, cells, quote, threading.Event())
    except MmdbenchError as error:
        return error


def _rows(ray: Any, maker: RowMaker, rows: Iterator[RowPlan], workers: int) -> Generator[MadeRow, None, None]:
    task = ray.remote(make_row_images).options(num_cpus=1, max_retries=_RETRIES, scheduling_strategy="SPREAD")
    places = places_of(maker.images.plan.corruptions)
    images, wanted = ray.put(replace(maker.images, places=places)), checked_versions()
    if workers:
        ahead = Lookahead(workers, MadeRow.weight, most=workers)
    else:
        ahead = Lookahead(int(ray.cluster_resources().get("CPU", 1)), MadeRow.weight)
    waiting: deque[tuple[RowPlan, Any]] = deque()

    def begin(row: RowPlan) -> tuple[RowPlan, Any]:
        cells, quote = maker.wanted(row)
        if not cells:
            return row, None
        try:
            held = tuple(EncodedImage(image.where, image.read()) for image in row.question.images)
        except ImageDecodeError as error:
            return row, error
        question = replace(row.question, fields={}, images=held)
        return row, task.remote(images, question, cells, quote, wanted)

    def result_of(begun: tuple[RowPlan, Any]) -> MadeRow:
        row, ref = begun
        if isinstance(ref, ImageDecodeError):
            return maker.left_out(row, ref)
        try:
            return maker.assemble(row, [] if ref is None else _got(ray, row, ref))
        except ImageDecodeError as error:
            return maker.left_out(row, error)

    try:
        yield from ordered(begin, result_of, rows, waiting, ahead)
    finally:
        for _, ref in waiting:
            if ref is not None and not isinstance(ref, ImageDecodeError):
                ray.cancel(ref)


def _got(ray: Any, row: RowPlan, ref: Any) -> list[RowImages]:
    where = f"{row.question.bench}, index {row.question.index}"
    try:
        made: list[RowImages] | MmdbenchError = ray.get(ref)
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines()
        raise MmdbenchError(
            f"{where}: Ray could not make it: {said[0] if said else type(error).__name__}",
            hint="Earlier rows are kept: run the same command again. Ray's own logs say more.",
        ) from error
    if isinstance(made, MmdbenchError):
        raise made
    return made
