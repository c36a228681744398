"""The parts that every way of running shares: variants made ahead, requests, replies.

Nothing here knows where the work runs. `Prefetch` makes the variants of the next requests in a
bounded pool of threads; `make_request` and `make_reply` turn a planned cell and its variants
into what a model is asked and what is stored; `ask_batch` asks a model that is called directly.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from mmdbench.errors import MmdbenchError, ModelError
from mmdbench.models.registry import Model
from mmdbench.records import ImageSource, Outcome, Reply, Request, Variant
from mmdbench.run.plan import Planned
from mmdbench.system.digest import derive_seed
from mmdbench.variants.recipes import CleanImage, clean_image, make_variant, one_thread_each
from mmdbench.variants.restoration import restored

__all__ = ["BatchAsker", "Images", "Prefetch", "make_reply", "make_request", "make_variants"]

_IMAGES_KEPT = 8
_TIMED = 32
_SMALL_SECONDS = 0.0005
_SLOW_SECONDS = 0.002
_THREADS_AFTER_SLOW = 256
_FAILURES_IN_A_ROW = 5


class Prefetch:
    """The requests still to ask, in order, with their variants made `ahead` of time by `workers` threads.

    Use it through `prefetching`. Only `ahead` requests hold images at any time. Where variants take
    less than handing them between threads does, they are made when they are taken instead.
    """

    def __init__(self, todo: Iterable[Planned], pool: ThreadPoolExecutor, ahead: int) -> None:
        self._rest = iter(todo)
        self._pool = pool
        self._ahead = ahead
        self._waiting: deque[tuple[Planned, Future[list[Variant]]]] = deque()
        self._images = Images()
        self._times: deque[float] = deque(maxlen=_TIMED)
        self._waits: deque[float] = deque(maxlen=_TIMED)
        self._by_threads = 0
        self._pause = _THREADS_AFTER_SLOW

    def take(self) -> tuple[Planned, Future[list[Variant]]] | None:
        """The next request and the variants that are being made for it; None when all are taken."""
        if not self._waiting and self._are_small():
            return next(((planned, self._made(planned)) for planned in self._rest), None)
        # Filled up in one go when half of it is used: waking a thread costs more than a small picture.
        if 2 * len(self._waiting) <= self._ahead and not self._are_small():
            for planned in islice(self._rest, self._ahead - len(self._waiting)):
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
            # Little work and a long wait: a slow disk, perhaps. Threads wait without holding anybody up.
            self._waits.clear()
            self._by_threads = self._pause
            self._pause *= 2
        return future


@contextmanager
def prefetching(todo: Iterable[Planned], workers: int, ahead: int) -> Iterator[Prefetch]:
    """A Prefetch whose threads end with the block."""
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="variants")
    try:
        with one_thread_each():
            yield Prefetch(todo, pool, max(1, ahead))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Images:
    """The clean images that were used last, each decoded once however many threads ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[int, tuple[ImageSource, Future[CleanImage]]] = {}

    def get(self, source: ImageSource) -> CleanImage:
        """The decoded image of a source; raises what decoding it raises."""
        name = id(source)  # no other source has it as long as this one is kept
        with self._lock:
            _, future = self._kept.get(name, (source, None))
            mine = future is None
            if future is None:
                future = Future()
                self._kept[name] = (source, future)
                while len(self._kept) > _IMAGES_KEPT:
                    del self._kept[next(iter(self._kept))]
        if mine:
            try:
                future.set_result(clean_image(source.read(), source.where))
            except BaseException as error:  # noqa: BLE001 - whoever waits for this image gets the same
                future.set_exception(error)
        return future.result()


def make_variants(planned: Planned, images: Images) -> list[Variant]:
    """Carry out every recipe of a planned cell, and restore what comes out if the plan says so."""
    made = zip(planned.images, planned.recipes, strict=True)
    return [_restored(make_variant(images.get(source), recipe), planned) for source, recipe in made]


def _restored(variant: Variant, planned: Planned) -> Variant:
    if planned.restorer is None:
        return variant
    found = restored(variant, planned.restorer)
    note = {"name": planned.restorer.name, "before": found.before, "seconds": round(found.seconds, 4)}
    return replace(found.variant, restored=note)


def make_request(planned: Planned, variants: Sequence[Variant], generation: Mapping[str, Any]) -> Request:
    """What the model is asked for a planned cell."""
    return Request(
        key=planned.key,
        prompt=planned.prompt,
        question=planned.question.text,
        options=planned.question.options,
        images=tuple(variant.image for variant in variants),
        seed=derive_seed("request", planned.key),
        generation=generation,
    )


def make_reply(
    planned: Planned,
    variants: Sequence[Variant],
    outcome: Outcome,
    seconds: float = 0.0,
    attempts: int = 1,
) -> Reply:
    """What is stored for a planned cell; its prompt only if it is not the benchmark's."""
    cell = planned.cell
    details = {**outcome.details, "prompt": planned.prompt} if planned.reworded else outcome.details
    return Reply(
        key=planned.key,
        bench=cell.bench,
        index=cell.index,
        level=cell.level,
        corruption=cell.corruption,
        status=outcome.status,
        text=outcome.text,
        reason=outcome.reason,
        attempts=attempts,
        seconds=round(seconds, 4),
        images=tuple(_image_record(variant) for variant in variants),
        details=details,
    )


def no_image(planned: Planned, error: MmdbenchError) -> Reply:
    """What is stored when the picture to show could not be made."""
    return make_reply(planned, [], Outcome("", "error", f"no image: {error}"), attempts=0)


@dataclass
class BatchAsker:
    """Asks a model that is called directly, in batches, and counts how often in a row it failed."""

    model: Model
    name: str
    generation: Mapping[str, Any]
    on_reply: Callable[[Reply], None]
    failures: int = field(default=0, init=False)

    def run(self, prefetch: Prefetch, may_start: Callable[[], bool]) -> None:
        """Ask everything, batch after batch, until all is taken or nothing more may start."""
        size = max(1, int(getattr(self.model, "batch_size", 1)))
        while True:
            batch: list[tuple[Planned, list[Variant]]] = []
            while len(batch) < size and (item := prefetch.take()) and may_start():
                planned, future = item
                try:
                    batch.append((planned, future.result()))
                except MmdbenchError as error:
                    self.on_reply(no_image(planned, error))
            if not batch:
                return
            self.ask(batch)

    def ask(self, batch: Sequence[tuple[Planned, list[Variant]]]) -> None:
        """Ask one batch; a part of it that fails is asked again in halves, down to single requests."""
        requests = [make_request(planned, variants, self.generation) for planned, variants in batch]
        started = time.monotonic()
        try:
            outcomes = self.model.generate(requests)
        except MmdbenchError:
            raise
        except Exception as error:  # noqa: BLE001 - an adapter is foreign code, and may raise anything
            self._failed(batch, error)
            return
        if len(outcomes) != len(requests):
            raise ModelError(
                f"The model {self.name!r} gave {len(outcomes)} outcomes for {len(requests)} requests."
            )
        self.failures = 0
        seconds = (time.monotonic() - started) / len(requests)
        for (planned, variants), outcome in zip(batch, outcomes, strict=True):
            self.on_reply(make_reply(planned, variants, outcome, seconds))

    def _failed(self, batch: Sequence[tuple[Planned, list[Variant]]], error: Exception) -> None:
        if len(batch) > 1:  # one request may be to blame, or their number
            half = len(batch) // 2
            self.ask(batch[:half])
            self.ask(batch[half:])
            return
        reason = f"{type(error).__name__}: {error}"
        self.failures += 1
        if self.failures >= _FAILURES_IN_A_ROW:
            raise ModelError(
                f"The model {self.name!r} failed {self.failures} times in a row: {reason}.",
                hint="Every reply so far is stored; mend the model and run the same command again.",
            ) from error
        planned, variants = batch[0]
        self.on_reply(make_reply(planned, variants, Outcome("", "error", reason)))


def _image_record(variant: Variant) -> dict[str, Any]:
    record = {"recipe": variant.recipe.as_dict(), "pixels": variant.pixels, "no_op": variant.no_op}
    return {**record, "restored": dict(variant.restored)} if variant.restored else record
