"""Rows made by tasks of a Ray cluster; the files are written where the build was started.

Ray places the tasks, and makes anew what was lost with a worker or a node. A task carries the
encoded pictures of its row, so that nodes need no benchmark's file.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mmdbench.builds.making import MadeRow, Maker, Piece, PieceMaker
from mmdbench.builds.pipeline import ordered
from mmdbench.builds.plan import RowPlan
from mmdbench.errors import MmdbenchError
from mmdbench.records import Cell, Question
from mmdbench.run.engines.ray_pool import connected
from mmdbench.run.engines.ray_worker import versions_that_count
from mmdbench.variants.recipes import one_thread_each

__all__ = ["by_ray", "make_pieces"]

_LIVES = 16
"""How often a row is begun anew when its worker or node dies; a row that kills its worker must end."""

Rows = Callable[[Maker, Iterator[RowPlan], int], Generator[MadeRow, None, None]]


@dataclass(frozen=True, slots=True)
class _Held:
    """A picture that travels with its task."""

    where: str
    data: bytes

    def read(self) -> bytes:
        return self.data


@contextmanager
def by_ray(address: str = "", runtime_env: Mapping[str, Any] | None = None) -> Iterator[Rows]:
    """What makes a build's rows on the cluster at `address`, at RAY_ADDRESS, or on one of this machine.

    It is given to BuildSettings; its `workers` bound the rows under way (0: every CPU of the
    cluster works, and rows wait as in a local build).
    Raises MissingExtraError without the extra `ray`, ModelError if the cluster cannot be reached.
    """
    with connected(address, runtime_env or {}) as ray:

        def make_rows(maker: Maker, rows: Iterator[RowPlan], workers: int) -> Generator[MadeRow, None, None]:
            return _rows(ray, maker, rows, workers)

        yield make_rows


def make_pieces(
    maker: PieceMaker, question: Question, cells: Sequence[Cell], quote: bytes, wanted: Mapping[str, str]
) -> list[Piece] | MmdbenchError:
    """A row's pictures; runs as a task. Errors of ours are returned, because Ray would wrap them."""
    here = versions_that_count()
    for name, version in wanted.items():
        if here[name] != version:
            return MmdbenchError(
                f"{socket.gethostname()} has {name} {here[name]}, and where the build was started it is "
                f"{version}.",
                hint="Install the same packages on every node, or name them in Ray's runtime_env.",
            )
    try:
        with one_thread_each():
            return maker.pieces(question, cells, quote, threading.Event())
    except MmdbenchError as error:
        return error


def _rows(ray: Any, maker: Maker, rows: Iterator[RowPlan], workers: int) -> Generator[MadeRow, None, None]:
    task = ray.remote(make_pieces).options(num_cpus=1, max_retries=_LIVES, scheduling_strategy="SPREAD")
    pieces, wanted = ray.put(maker.pieces), versions_that_count()
    bound = {"most": workers} if workers else {}
    workers = workers or int(ray.cluster_resources().get("CPU", 1))
    waiting: deque[tuple[RowPlan, Any]] = deque()

    def begin(row: RowPlan) -> tuple[RowPlan, Any]:
        cells, quote = maker.wanted(row)
        if not cells:
            return row, None
        held = tuple(_Held(image.where, image.read()) for image in row.question.images)
        question = replace(row.question, fields={}, images=held)
        return row, task.remote(pieces, question, cells, quote, wanted)

    def result_of(begun: tuple[RowPlan, Any]) -> MadeRow:
        row, ref = begun
        return maker.put_together(row, [] if ref is None else _got(ray, row, ref))

    try:
        yield from ordered(begin, result_of, rows, waiting, workers, MadeRow.weight, **bound)
    finally:
        for _, ref in waiting:
            if ref is not None:
                ray.cancel(ref)


def _got(ray: Any, row: RowPlan, ref: Any) -> list[Piece]:
    where = f"{row.question.bench}, index {row.question.index}"
    try:
        made: list[Piece] | MmdbenchError = ray.get(ref)
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines()
        raise MmdbenchError(
            f"{where}: Ray could not make it: {said[0] if said else type(error).__name__}",
            hint="Every earlier row is safe: run the same command again. Ray's own logs say more.",
        ) from error
    if isinstance(made, MmdbenchError):
        raise made
    return made
