"""Running a plan: ask the model for every reply that the run's folder lacks.

A run that is started again resumes: keys with a stored reply are not asked again. Variants are made
ahead of the model in a bounded pool, so that neither waits for the other. Models that are called
directly are asked in batches; models behind a server by many requests at once, under a throttle; a
pool of workers by its dispatcher. All of them stop cleanly when the budget is spent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, cast

from mmdbench.errors import ModelError, StoreError
from mmdbench.models.learning import recall_learnt
from mmdbench.models.registry import AsyncModel, Model, check_model, is_async
from mmdbench.models.throttle import Throttle, throttle_settings
from mmdbench.models.tokens import checked_usage
from mmdbench.records import NO_USAGE, Cell, Reply
from mmdbench.run.async_driver import AsyncDriver, run_with_model
from mmdbench.run.batch_api import BatchHooks, BatchRun
from mmdbench.run.batch_check import check_batches
from mmdbench.run.batch_driver import BatchDriver
from mmdbench.run.budget import INTERRUPTED, Spending, stopped_by_signals
from mmdbench.run.cache_alarm import SameReplies
from mmdbench.run.canary_watch import CanaryWatch, watching
from mmdbench.run.engines.local_dispatcher import LocalDispatcher
from mmdbench.run.engines.local_pool import LocalPool
from mmdbench.run.engines.pool import WorkerPool, Workload
from mmdbench.run.engines.ray_dispatcher import RayDispatcher
from mmdbench.run.engines.ray_pool import RayPool
from mmdbench.run.file_records import require_files
from mmdbench.run.generations import next_generation
from mmdbench.run.inputs import RunInputs
from mmdbench.run.manifest import find_manifest, mend_manifest, require_own_folder
from mmdbench.run.plan import Planned, bad_images, plan_requests
from mmdbench.run.plan_record import PlanRecord
from mmdbench.run.prefetch import prefetching
from mmdbench.run.served_models import ServedModels, asked_model, moved_note
from mmdbench.run.store import ReplyStore
from mmdbench.run.summary import RunProgress, RunSummary, session_record, throttle_record
from mmdbench.system.files import REPLY_FILES, make_folder
from mmdbench.system.locks import folder_lock

__all__ = ["run_plan", "shard_of"]

_AHEAD = 8


@dataclass
class _Session:
    """State and counts of one call of `run_plan`; nothing in it grows with the number of replies.

    `planned` has the keys for all settings of the card; `keys` leads from them to those for the settings that
    the server takes, and is empty as long as it takes all.
    """

    inputs: RunInputs
    store: ReplyStore
    record: PlanRecord
    planned: Sequence[Planned]
    on_progress: Callable[[RunProgress], None]
    spending: Spending
    throttle: Throttle | None
    todo: Sequence[Planned] = ()
    earlier: int = 0
    keys: dict[str, str] = field(default_factory=dict)
    begun: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    asked: int = 0
    failed: int = 0
    read: int = 0
    written: int = 0
    uncounted: int = 0
    same: SameReplies = field(default_factory=SameReplies)
    served: ServedModels = field(default_factory=ServedModels)
    watch: CanaryWatch | None = None
    batches: dict[str, Any] = field(default_factory=dict)
    lost: int = 0
    unwritten: StoreError | None = None

    def __post_init__(self) -> None:
        self._known = getattr(getattr(self.inputs.model, "learnt", None), "known", None)

    def choose(self) -> None:
        """Choose what is to be asked: this shard's requests without a reply."""
        number, count = self.inputs.settings.shard
        # A shard is chosen by the keys for the card's settings, which learning does not change.
        mine = {p.key: p for p in self.planned if count == 1 or shard_of(p.key, count) == number}
        answered = self.store.answered(errors_count=not self.inputs.settings.retry_errors)
        self.todo = [p for p in mine.values() if self.key(p.key) not in answered]
        self.earlier = len(mine) - len(self.todo)
        stored = {self.store.served.get(self.key(key), "") for key in mine}
        self.served = ServedModels(asked_model(self.record.manifest), stored - {""})

    def key(self, planned: str) -> str:
        """The key of a reply."""
        return self.keys.get(planned, planned)

    def adopt_learnt(self) -> bool:
        """Plan under other keys, with a note, if the model has learnt more of what its server takes."""
        learnt: Any = getattr(self.inputs.model, "learnt", None)
        if learnt is None or learnt.known is self._known:
            return False
        self._known = learnt.known
        planned = plan_requests(self.inputs)
        self.keys = {old.key: new.key for old, new in zip(self.planned, planned, strict=True)}
        self.record.replan(planned)
        self.show(note=learnt.note)
        return True

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Context of a write that may fail: nothing more is asked then, and the first error is kept."""
        try:
            yield
        except StoreError as error:
            if self.unwritten is None:
                self.unwritten = error
                self.show(note=f"{error.message} Nothing more is asked; requests in flight are finished")
            self.spending.stop("the run's folder cannot be written to")

    def keep_or_stop(self, reply: Reply) -> None:
        """Store a reply; if it cannot be stored it is counted, and those in flight are still waited for."""
        with self.writing():
            self.keep(reply)

    def keep(self, reply: Reply) -> None:
        """Store a reply. Raises StoreError."""
        with self.writing():
            self.adopt_learnt()
            self.record.write()
        try:
            self.store.add(replace(reply, key=self.key(reply.key)) if self.keys else reply)
        except StoreError:
            self.lost += 1
            raise
        with self.writing():
            self.store.sync_when_due()
        self.asked += 1
        self.failed += reply.status == "error"
        usage = checked_usage(reply.details).get("usage") or {}
        self.read += int(usage.get("prompt", 0))
        self.written += int(usage.get("completion", 0))
        self.uncounted += NO_USAGE in reply.details
        self.same.see(reply)
        if self.watch:
            self.watch.replied(reply)
        if self.served.see(reply.details):
            self.show(reply.cell, self.served.news)
            if self.served.alarm and not self.inputs.settings.allow_model_change:
                self.spending.stop(self.served.alarm)
        self.show(reply.cell)

    def require_written(self) -> None:
        """Raise StoreError if anything of this call could not be written."""
        if self.unwritten is None:
            return
        kept = "Every answer is stored."
        if self.lost:
            kept = f"{self.lost} answer{'s' * (self.lost > 1)} could not be stored, all others are."
        if not self.record.is_closed:
            spent = f"{self.spending.sent} requests sent, {self.spending.usd:.4g} US dollars"
            kept += f" The manifest does not count this call: {spent}."
        raise StoreError(f"{self.unwritten.message} {kept}", hint=self.unwritten.hint) from self.unwritten

    def require_one_model(self) -> None:
        """Raise ModelError if the server answered as several models, unless the settings allow it."""
        if not self.served.alarm or self.inputs.settings.allow_model_change:
            return
        raise ModelError(
            f"The model {self.inputs.card.name!r} cannot be measured: {self.served.alarm}.",
            hint="All replies are kept. --fresh asks everything anew; --allow-model-change continues, and "
            "every report of the run says so.",
        )

    def show_note(self, note: str) -> None:
        self.show(note=note)

    def show(self, cell: Cell | None = None, note: str = "") -> None:
        usd, total = self.spending.usd, len(self.todo)
        self.on_progress(RunProgress(self.asked, total, self.earlier, self.failed, cell, usd, note))

    def summary(self, cells: int, seconds: float) -> RunSummary:
        model = self.inputs.model
        return RunSummary(
            cells=cells,
            asked=self.asked,
            earlier=self.earlier,
            failed=self.failed,
            seconds=seconds,
            stopped=self.spending.reason,
            alarm="; ".join(filter(None, [self.same.alarm, self.served.alarm])),
            served=self.served.as_dict(),
            batches=self.batches,
            usd=round(self.spending.usd, 6),
            sent=self.spending.sent,
            tokens=(self.read, self.written),
            uncounted=self.uncounted,
            throttle=throttle_record(self.throttle, seconds) if self.throttle else {},
            workers=model.report() if isinstance(model, WorkerPool) else {},
        )


def run_plan(inputs: RunInputs, on_progress: Callable[[RunProgress], None] = lambda _: None) -> RunSummary:
    """Ask the model for everything in the plan that the run's folder does not answer yet.

    Ctrl-C, SIGTERM and SIGHUP (KeyboardInterrupt, after requests in flight are stored) and SIGKILL leave the
    folder whole: the same call resumes there. Raises LockedError if another process runs in the folder,
    StoreError if it cannot be written, ModelError if the model cannot be asked, fails at every request, or if
    the server answers as another model than before.
    """
    started = time.monotonic()
    folder, model, settings = inputs.folder, inputs.model, inputs.settings
    require_own_folder(folder, inputs.plan, inputs.card, inputs.benches)
    check_model(model)
    check_batches(inputs)
    with folder_lock(make_folder(folder), "running a model"), _open_store(inputs, on_progress) as store:
        planned = plan_requests(inputs)
        before = find_manifest(folder)
        record = PlanRecord(inputs, planned, before, store.generation)
        throttle = Throttle(throttle_settings(model)) if is_async(model) else None
        session = _Session(inputs, store, record, planned, on_progress, Spending(settings.budget), throttle)
        recall_learnt(model, before)
        session.adopt_learnt()
        session.choose()
        if not session.todo:
            session.record.write()
        try:
            session.require_one_model()
            session.show(note=bad_images(planned))
            session.show(note=moved_note(before, session.record.manifest) if session.todo else "")
            counts = session.earlier + len(session.todo), len(session.todo)
            watch = watching(inputs, session.record.manifest, counts, session.spending, session.show_note)
            with watch as session.watch, stopped_by_signals(session.spending):
                if session.adopt_learnt():
                    session.choose()
                _ask(session)
            session.require_one_model()
        finally:
            summary = session.summary(len(planned), time.monotonic() - started)
            finished = store.index.keys() >= {session.key(p.key) for p in planned}
            with session.writing():
                store.sync()
            with session.writing():
                session.record.close(session_record(session.begun, summary, settings), finished=finished)
        session.require_written()
    if summary.stopped == INTERRUPTED:
        raise KeyboardInterrupt
    return summary


def _open_store(inputs: RunInputs, on_progress: Callable[[RunProgress], None]) -> ReplyStore:
    """Open the store of the run's folder, with a note on a damaged manifest and on lost replies."""
    notes = [mend_manifest(inputs.folder)]
    manifest = find_manifest(inputs.folder) or {}
    try:
        require_files(inputs.folder, manifest, REPLY_FILES)
    except StoreError as error:
        notes.append(f"{error.message.removesuffix('.')}: what is missing is asked again")
    for note in filter(None, notes):
        on_progress(RunProgress(0, 0, 0, 0, note=note))
    return ReplyStore(inputs.folder, generation=next_generation(manifest, inputs.settings))


def shard_of(key: str, count: int) -> int:
    """The shard of a key, from 1 to `count`: the same on every machine."""
    return int(key[:12], 16) % count + 1


def _ask(session: _Session) -> None:
    model, card, spending = session.inputs.model, session.inputs.card, session.spending
    if session.inputs.settings.batch is not None:
        _ask_in_batches(session)
        return
    workload = Workload(session.todo, spending, session.keep_or_stop, session.show_note)
    if isinstance(model, LocalPool):
        LocalDispatcher(model, workload).run()
        return
    if isinstance(model, RayPool):
        RayDispatcher(model, workload).run()
        return
    throttle = session.throttle
    driver = BatchDriver(cast("Model", model), card, session.keep_or_stop)
    at_once = throttle.settings.concurrency if throttle else driver.batch_size
    workers = session.inputs.settings.workers or min(8, os.cpu_count() or 1)
    max_pixels, folder = session.inputs.settings.max_pixels, session.inputs.folder
    with prefetching(session.todo, workers, max(1, at_once) + _AHEAD, max_pixels, folder) as prefetch:
        if throttle is None:
            driver.run(prefetch, spending.start)
            return
        served = cast("AsyncModel", model)

        async def drive() -> None:
            driver = AsyncDriver(served, card, spending, throttle, notify=workload.notify)
            await driver.run(prefetch, session.keep_or_stop, session.watch)

        run_with_model(served, drive)


def _ask_in_batches(session: _Session) -> None:
    hooks = BatchHooks(
        session.keep,
        session.show_note,
        session.record.write,
        session.key,
        session.store.index,
        session.store.generation.number,
    )
    driver = BatchRun(session.inputs, session.spending, hooks)
    try:
        driver.run(session.todo)
    finally:
        session.batches = driver.journal.record()
