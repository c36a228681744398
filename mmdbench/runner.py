"""Plan → requests → replies: the only place that calls a model.

Running is resuming: keys that the run's folder answers are not asked again. Variants are made
ahead of the model in a bounded pool, so that neither side waits for the other, and all variants
of a question are adjacent.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.digest import derive_seed
from mmdbench.errors import MmdbenchError, ModelError
from mmdbench.files import folder_lock, make_folder
from mmdbench.manifest import write_manifest
from mmdbench.models import Model, ModelCard
from mmdbench.records import Cell, Outcome, Question, Reply, Request, RunPlan, Variant
from mmdbench.requests import Planned, plan_requests, write_plan
from mmdbench.spec import load_spec
from mmdbench.store import ReplyStore
from mmdbench.variants import CleanImage, clean_image, make_variant, one_thread_each

__all__ = ["Progress", "RunSummary", "run_plan"]

_WORKERS = 2
_AHEAD = 8
_IMAGES_KEPT = 8
_FAILURES_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: requests answered now, to ask, answered before, failed; `cell` is the latest."""

    done: int
    total: int
    earlier: int
    failed: int
    cell: Cell | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run ended: `cells` planned, `asked` now, answered `earlier`, `failed`, wall `seconds`."""

    cells: int
    asked: int
    earlier: int
    failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Session:
    """What every request of a run shares."""

    model: Model
    card: ModelCard
    images: _Images
    on_progress: Callable[[Progress], None]
    failures: list[str] = field(default_factory=list)


def run_plan(
    plan: RunPlan,
    benches: Sequence[Bench],
    model: Model,
    card: ModelCard,
    folder: Path,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> RunSummary:
    """Ask the model everything in the plan that the run's folder does not answer yet.

    Ctrl-C (KeyboardInterrupt) and SIGKILL leave the folder whole: the same call goes on from
    there. Raises LockedError if another process runs there, StoreError if the folder cannot be
    written, ModelError if the model fails at several batches in a row and at nothing else.
    """
    started = time.monotonic()
    spec = load_spec()
    with folder_lock(make_folder(folder), "running a model"), ReplyStore(folder) as store:
        planned = plan_requests(plan, benches, model, card, spec, folder)
        write_plan(folder, planned, benches)
        write_manifest(folder, plan, benches, card, model.fingerprint(), spec)
        answered = {key for key, reply in store.replies.items() if reply.status != "error"}
        todo = list({p.key: p for p in planned if p.key not in answered}.values())
        earlier = len({p.key for p in planned}) - len(todo)
        session = _Session(model, card, _Images(), on_progress)
        failed = 0
        on_progress(Progress(0, len(todo), earlier, 0))
        for done, reply in enumerate(_replies(todo, session), 1):
            store.add(reply)
            failed += reply.status == "error"
            on_progress(Progress(done, len(todo), earlier, failed, reply.cell))
    return RunSummary(len(planned), len(todo), earlier, failed, time.monotonic() - started)


def _replies(todo: Sequence[Planned], session: _Session) -> Iterator[Reply]:
    size = max(1, int(getattr(session.model, "batch_size", 1)))
    waiting: deque[tuple[Planned, Future[list[Variant]]]] = deque()
    rest = iter(todo)
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="variants")
    try:
        with one_thread_each():
            while True:
                for planned in islice(rest, size + _AHEAD - len(waiting)):
                    waiting.append((planned, pool.submit(_variants, planned, session.images)))
                batch = [waiting.popleft() for _ in range(min(size, len(waiting)))]
                if not batch:
                    return
                yield from _ask(batch, session)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _variants(planned: Planned, images: _Images) -> list[Variant]:
    return [make_variant(images.get(planned.question, i), recipe) for i, recipe in enumerate(planned.recipes)]


def _ask(batch: Sequence[tuple[Planned, Future[list[Variant]]]], session: _Session) -> Iterator[Reply]:
    ready: list[tuple[Planned, list[Variant]]] = []
    for planned, future in batch:
        try:
            ready.append((planned, future.result()))
        except MmdbenchError as error:
            yield _reply(planned, [], Outcome("", "error", f"no image: {error}"), 0.0)
    if not ready:
        return
    requests = [_request(planned, variants, session.card) for planned, variants in ready]
    started = time.monotonic()
    outcomes = _generate(requests, session)
    seconds = (time.monotonic() - started) / len(ready)
    for (planned, variants), outcome in zip(ready, outcomes, strict=True):
        yield _reply(planned, variants, outcome, seconds)


def _generate(requests: Sequence[Request], session: _Session) -> Sequence[Outcome]:
    try:
        outcomes = session.model.generate(requests)
    except MmdbenchError:
        raise
    except Exception as error:  # an adapter is foreign code: whatever it raises is a failed request
        reason = f"{type(error).__name__}: {error}"
        session.failures.append(reason)
        if len(session.failures) >= _FAILURES_IN_A_ROW:
            raise ModelError(
                f"The model {session.card.name!r} failed {len(session.failures)} times in a row: {reason}.",
                hint="Every reply so far is stored; mend the model and run the same command again.",
            ) from error
        return [Outcome("", "error", reason)] * len(requests)
    if len(outcomes) != len(requests):
        raise ModelError(
            f"The model {session.card.name!r} gave {len(outcomes)} outcomes for {len(requests)} requests."
        )
    session.failures.clear()
    return outcomes


def _request(planned: Planned, variants: Sequence[Variant], card: ModelCard) -> Request:
    return Request(
        key=planned.key,
        prompt=planned.prompt,
        question=planned.question.text,
        options=planned.question.options,
        images=tuple(variant.image for variant in variants),
        seed=derive_seed("request", planned.key),
        generation=card.generation,
    )


def _reply(planned: Planned, variants: Sequence[Variant], outcome: Outcome, seconds: float) -> Reply:
    cell = planned.cell
    return Reply(
        key=planned.key,
        bench=cell.bench,
        index=cell.index,
        level=cell.level,
        corruption=cell.corruption,
        status=outcome.status,
        text=outcome.text,
        reason=outcome.reason,
        seconds=round(seconds, 4),
        images=tuple(_image_record(variant) for variant in variants),
        details=outcome.details,
    )


def _image_record(variant: Variant) -> dict[str, Any]:
    return {"recipe": variant.recipe.as_dict(), "pixels": variant.pixels, "no_op": variant.no_op}


class _Images:
    """The clean images that were used last, each decoded once however many threads ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, Any, int], Future[CleanImage]] = {}

    def get(self, question: Question, number: int) -> CleanImage:
        name = (question.bench, question.index, number)
        with self._lock:
            future = self._kept.get(name)
            mine = future is None
            if future is None:
                future = self._kept[name] = Future()
                while len(self._kept) > _IMAGES_KEPT:
                    del self._kept[next(iter(self._kept))]
        if mine:
            source = question.images[number]
            try:
                future.set_result(clean_image(source.read(), source.where))
            except BaseException as error:  # noqa: BLE001 - whoever waits for this image gets the same
                future.set_exception(error)
        return future.result()
