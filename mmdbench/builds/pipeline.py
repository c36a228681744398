"""Work done by several threads, handed on in order, never far ahead of whoever takes it."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from mmdbench.system.bounds import require_at_least

__all__ = ["StoppedError", "default_workers", "in_order", "ordered"]

_BYTES_AHEAD = 48 << 20
_MOST_AHEAD = 256

T = TypeVar("T")
R = TypeVar("R")
W = TypeVar("W")


class StoppedError(Exception):
    """Raised inside a worker whose result nobody wants any more."""


def default_workers() -> int:
    """As many threads as this process may use CPUs, 16 at most: each holds a picture's worth of memory."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(16, len(affinity(0)) if affinity else os.cpu_count() or 1)


def in_order(
    make: Callable[[T, threading.Event], R], items: Iterable[T], workers: int, weigh: Callable[[R], int]
) -> Generator[R, None, None]:
    """`make(item, stop)` of every item by `workers` threads, in the order of the items.

    As many results wait as fit into about 48 MiB, judging by `weigh` (bytes) of those so far. What
    `make` raises is raised here, after the results before it. When the caller leaves, `stop` is
    set, so that long work can end early, and the threads are joined.
    """
    require_at_least("workers", workers, 1)
    stop = threading.Event()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="build")
    waiting: deque[Future[R]] = deque()
    try:
        yield from ordered(
            lambda item: pool.submit(make, item, stop), Future.result, items, waiting, workers, weigh
        )
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def ordered(
    begin: Callable[[T], W],
    result_of: Callable[[W], R],
    items: Iterable[T],
    waiting: deque[W],
    workers: int,
    weigh: Callable[[R], int],
    most: int = _MOST_AHEAD,
) -> Generator[R, None, None]:
    """The result of every item in order, wherever the work that `begin` starts is done.

    `waiting` holds what is under way and not handed on yet; when the caller leaves, what is in it
    is the caller's to end. The bound is that of `in_order`, and never above `most` items.
    """
    rest = iter(items)
    least = min(most, workers + 1)
    ahead, taken, weight = least, 0, 0
    while True:
        waiting.extend(begin(item) for item in islice(rest, max(0, ahead - len(waiting))))
        if not waiting:
            return
        result = result_of(waiting.popleft())
        taken, weight = taken + 1, weight + weigh(result)
        yield result
        del result
        ahead = max(least, min(most, _BYTES_AHEAD * taken // max(1, weight)))
