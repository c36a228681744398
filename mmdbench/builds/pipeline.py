"""Work done in parallel with results in order, a bounded number of bytes ahead of their use."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from mmdbench.system.bounds import require_at_least
from mmdbench.system.processes import available_cpus

__all__ = ["Lookahead", "StoppedError", "default_workers", "in_order", "ordered"]

_BYTES_AHEAD = 48 << 20

T = TypeVar("T")
R = TypeVar("R")
W = TypeVar("W")


class StoppedError(Exception):
    """Raised inside a worker whose result is no longer needed."""


def default_workers() -> int:
    """The number of CPUs this process may use, at most 16: each thread holds a picture in memory."""
    return min(16, available_cpus())


@dataclass(frozen=True, slots=True)
class Lookahead(Generic[R]):
    """The bound on results that wait to be used: about 48 MiB, by `weigh` (bytes) of those so far.

    At least `workers` + 1 items are in work, and never more than `most`.
    """

    workers: int
    weigh: Callable[[R], int]
    most: int = 256


def in_order(
    make: Callable[[T, threading.Event], R], items: Iterable[T], ahead: Lookahead[R]
) -> Generator[R, None, None]:
    """Call `make(item, stop)` for every item in threads.

    When the caller closes the generator, `stop` is set, so that long work can end early, and the
    threads are joined.

    Args:
        make: Makes one result; an error it raises is raised here, after the results before it.
        items: The items, taken as they are needed.
        ahead: The number of threads, and the bound on waiting results.

    Yields:
        The results in the order of the items.

    Raises:
        UsageError: The number of workers is below 1.
    """
    require_at_least("workers", ahead.workers, 1)
    stop = threading.Event()
    pool = ThreadPoolExecutor(ahead.workers, thread_name_prefix="build")
    waiting: deque[Future[R]] = deque()
    try:
        yield from ordered(lambda item: pool.submit(make, item, stop), Future.result, items, waiting, ahead)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def ordered(
    begin: Callable[[T], W],
    result_of: Callable[[W], R],
    items: Iterable[T],
    waiting: deque[W],
    ahead: Lookahead[R],
) -> Generator[R, None, None]:
    """Begin work for every item, ahead of the use of its result, and wait for the results in order.

    Args:
        begin: Starts the work of one item, in a thread or on another machine.
        result_of: Waits for the result of started work.
        items: The items, taken as they are needed.
        waiting: Started work whose result was not yielded yet; the caller ends it after closing
            the generator early.
        ahead: The bound on waiting results.

    Yields:
        The results in the order of the items.
    """
    rest = iter(items)
    least = min(ahead.most, ahead.workers + 1)
    bound, taken, weight = least, 0, 0
    while True:
        waiting.extend(begin(item) for item in islice(rest, max(0, bound - len(waiting))))
        if not waiting:
            return
        result = result_of(waiting.popleft())
        taken, weight = taken + 1, weight + ahead.weigh(result)
        yield result
        del result  # it may be large, and the next one is waited for
        bound = max(least, min(ahead.most, _BYTES_AHEAD * taken // max(1, weight)))
