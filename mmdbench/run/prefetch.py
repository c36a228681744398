"""Variants made ahead of the model, by a bounded pool of threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mmdbench.errors import MmdbenchError
from mmdbench.records import ImageSource, Variant
from mmdbench.run.plan import Planned
from mmdbench.run.previews import PreviewFolder, PreviewsBeside
from mmdbench.system.images import MAX_PIXELS
from mmdbench.system.opencv import single_threaded_opencv
from mmdbench.variants.recipes import CleanImage, clean_image, make_variant
from mmdbench.variants.restoration import restored

__all__ = ["CleanImageCache", "Prefetch", "make_variants", "prefetching"]

_IMAGES_KEPT = 8
_TIMED = 32
_SMALL_SECONDS = 0.0005
_SLOW_SECONDS = 0.002
_THREADS_AFTER_SLOW = 256


class Prefetch:
    """Queue of requests whose variants are made ahead of time by a pool of threads.

    Use it through `prefetching`. At most `ahead` requests wait with images at any time, and no more than
    about `max_pixels` pixels. Variants that are made faster than threads exchange them are made in the
    calling thread, when they are taken.
    """

    def __init__(
        self,
        todo: Iterable[Planned],
        pool: ThreadPoolExecutor,
        ahead: int,
        max_pixels: int = MAX_PIXELS,
        previews: PreviewsBeside | None = None,
    ) -> None:
        """Prepare the queue; nothing is made yet.

        Args:
            todo: The requests, in the order in which they are taken.
            pool: Threads that make variants.
            ahead: The most requests that hold images at a time.
            max_pixels: The most pixels that threads work on at once, and that wait to be taken.
            previews: Keeps small copies of the pictures; None keeps none.
        """
        self._previews = previews
        self._max_pixels = max_pixels
        self._rest = iter(todo)
        self._pool = pool
        self._ahead = ahead
        self._waiting: deque[tuple[Planned, Future[list[Variant]]]] = deque()
        self._images = CleanImageCache(max_pixels)
        self._times: deque[float] = deque(maxlen=_TIMED)
        self._waits: deque[float] = deque(maxlen=_TIMED)
        self._by_threads = 0
        self._pause = _THREADS_AFTER_SLOW

    def take(self) -> tuple[Planned, Future[list[Variant]]] | None:
        """The next request and the future of its variants; None when all are taken."""
        if not self._waiting and self._are_small():
            return next(((planned, self._made(planned)) for planned in self._rest), None)
        # Filled up in one go when half of it is used: waking a thread costs more than a small picture.
        if 2 * len(self._waiting) <= self._ahead and not self._are_small():
            pixels = sum(_pixels(planned) for planned, _ in self._waiting)
            while len(self._waiting) < self._ahead and (pixels < self._max_pixels or not self._waiting):
                planned = next(self._rest, None)
                if planned is None:
                    break
                pixels += _pixels(planned)
                self._waiting.append((planned, self._pool.submit(self._make, planned)))
        return self._waiting.popleft() if self._waiting else None

    def _are_small(self) -> bool:
        if self._by_threads > 0 or len(self._times) < _TIMED:
            return False
        return sum(self._times) / _TIMED < _SMALL_SECONDS

    def _make(self, planned: Planned) -> list[Variant]:
        began = time.thread_time()
        made = make_variants(planned, self._images)
        self._times.append(time.thread_time() - began)
        self._by_threads -= 1
        if self._previews is not None:
            self._previews.leave(made)
        return made

    def _made(self, planned: Planned) -> Future[list[Variant]]:
        future: Future[list[Variant]] = Future()
        began = time.perf_counter()
        try:
            future.set_result(self._make(planned))
        except MmdbenchError as error:
            future.set_exception(error)
        self._waits.append(time.perf_counter() - began)
        if sum(self._waits) > _TIMED * _SLOW_SECONDS:
            # Little work and a long wait: a slow disk, perhaps. Threads wait without blocking the model.
            self._waits.clear()
            self._by_threads = self._pause
            self._pause *= 2
        return future


def _pixels(planned: Planned) -> int:
    return sum(width * height for width, height in planned.sizes)


@contextmanager
def prefetching(
    todo: Iterable[Planned],
    workers: int,
    ahead: int,
    max_pixels: int = MAX_PIXELS,
    run: Path | None = None,
) -> Iterator[Prefetch]:
    """Context of a Prefetch whose threads end with the block.

    Args:
        todo: The requests, in the order in which they are taken.
        workers: Number of threads, at least 1.
        ahead: The most requests that hold images at a time, at least 1.
        max_pixels: The most pixels that threads work on at once.
        run: The run's folder, to leave previews in; None leaves none.

    Yields:
        The queue to take requests from.
    """
    workers = max(1, workers)
    previews = None if run is None else PreviewsBeside(PreviewFolder(run), workers)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="variants")
    try:
        with single_threaded_opencv():
            yield Prefetch(todo, pool, max(1, ahead), max_pixels, previews)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class CleanImageCache:
    """Cache of the clean images that were used last; each is decoded once, also with several threads.

    It keeps eight at most, and no more pixels than `max_pixels`, which is also the most that threads decode
    or degrade at once; an image that the plan has let pass is never refused.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        self.max_pixels = max_pixels
        self._lock = threading.Lock()
        self._kept: dict[int, tuple[ImageSource, int, Future[CleanImage]]] = {}

    def get(self, source: ImageSource, pixels: int) -> CleanImage:
        """The decoded image of a source, which has at most so many pixels.

        Raises the errors of decoding it.
        """
        name = id(source)  # no other source has it as long as this one is kept
        with self._lock:
            _, _, future = self._kept.get(name, (source, 0, None))
            mine = future is None
            if future is None:
                future = Future()
                self._kept[name] = (source, pixels, future)
                while len(self._kept) > 1 and self._is_full():
                    del self._kept[next(iter(self._kept))]
        if mine:
            try:
                limit = max(pixels, self.max_pixels)
                future.set_result(clean_image(source.read(), source.where, limit))
            except BaseException as error:  # noqa: BLE001 - every thread that waits for this image gets the same
                future.set_exception(error)
        return future.result()

    def _is_full(self) -> bool:
        pixels = sum(pixels for _, pixels, _ in self._kept.values())
        return len(self._kept) > _IMAGES_KEPT or pixels > self.max_pixels


def make_variants(planned: Planned, images: CleanImageCache) -> list[Variant]:
    """The variants of a planned cell: each recipe applied to its image, then restored if the plan says so.

    Raises the cell's problem if it has one, and the errors of decoding its images.
    """
    if planned.problem is not None:
        raise planned.problem
    largest = max((width * height for width, height in planned.sizes), default=0)
    pairs = zip(planned.images, planned.recipes, strict=True)
    made = [make_variant(images.get(source, largest), recipe, images.max_pixels) for source, recipe in pairs]
    return made if planned.restorer is None else [restored(one, planned.restorer) for one in made]
