"""Plan → requests → replies: the only place that calls a model.

Running is resuming: keys that the run's folder answers are not asked again. Variants are made
ahead of the model in a bounded pool, so that neither side waits for the other, and all variants
of a question are adjacent. Models that are called directly are asked in batches; models behind
a server many at once, under a throttle. Either stops cleanly when the budget is used up.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any, cast

from mmdbench.benches import Bench
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import StoreError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.models.registry import AsyncModel, Model, is_async
from mmdbench.models.throttle import Throttle, throttle_settings
from mmdbench.records import Cell, Reply, RunPlan
from mmdbench.run.async_driver import AsyncDriver, with_model
from mmdbench.run.batch_driver import BatchDriver
from mmdbench.run.budget import INTERRUPTED, Budget, Spending
from mmdbench.run.cache_alarm import SameReplies
from mmdbench.run.engines import Crew, is_crew
from mmdbench.run.manifest import read_manifest, run_manifest, save_manifest
from mmdbench.run.plan import OWN_PICTURES, Pictures, Planned, plan_requests, write_plan
from mmdbench.run.prefetch import prefetching
from mmdbench.run.preflight import check_canary
from mmdbench.run.store import ReplyStore
from mmdbench.system.environment import portable
from mmdbench.system.files import MANIFEST_FILE, make_folder
from mmdbench.system.locks import folder_lock

__all__ = ["Progress", "RunSettings", "RunSummary", "run_plan", "shard_of"]

_AHEAD = 8
_TRACE_SHOWN = 200


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a plan is carried out; nothing here changes what is asked or what is stored for it.

    `workers` threads make variants (0: as many as there are cores, 8 at most); `shard` is (i, n),
    the i-th of n parts, from 1; `canary` says whether a model behind a server is checked before it
    is asked for the first time.
    """

    budget: Budget = field(default_factory=Budget)
    retry_errors: bool = True
    canary: bool = True
    workers: int = 0
    shard: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        number, count = self.shard
        if not 1 <= number <= count:
            raise UsageError(f"There is no shard {number}/{count}.", hint="Write 1/8 … 8/8.")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: requests answered now, to ask, answered before, failed; `cell` is the latest.

    `usd` is what was spent; `note` is something that a user should be told once.
    """

    done: int
    total: int
    earlier: int
    failed: int
    cell: Cell | None = None
    usd: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run ended: `cells` planned, `asked` now, answered `earlier`, `failed`, wall `seconds`.

    `stopped` says why not everything was asked, `alarm` what is suspicious about the replies; both are
    empty otherwise. `sent` counts requests with their retries; `throttle` holds limit, cuts and trace,
    `workers` what became of each where an engine had several.
    """

    cells: int
    asked: int
    earlier: int
    failed: int
    seconds: float
    stopped: str = ""
    alarm: str = ""
    usd: float = 0.0
    sent: int = 0
    tokens: tuple[int, int] = (0, 0)
    throttle: dict[str, Any] = field(default_factory=dict)
    workers: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Tally:
    """What is counted while a run goes on; nothing in it grows with the number of replies."""

    total: int
    earlier: int
    spending: Spending
    on_progress: Callable[[Progress], None]
    asked: int = 0
    failed: int = 0
    read: int = 0
    written: int = 0
    same: SameReplies = field(default_factory=SameReplies)

    def count(self, reply: Reply) -> None:
        self.asked += 1
        self.failed += reply.status == "error"
        usage = reply.details.get("usage") or {}
        self.read += int(usage.get("prompt", 0))
        self.written += int(usage.get("completion", 0))
        self.same.see(reply)
        self.show(reply.cell)

    def show(self, cell: Cell | None = None, note: str = "") -> None:
        usd = self.spending.usd
        self.on_progress(Progress(self.asked, self.total, self.earlier, self.failed, cell, usd, note))


def run_plan(
    plan: RunPlan,
    benches: Sequence[Bench],
    model: Model | AsyncModel | Crew,
    card: ModelCard,
    folder: Path,
    on_progress: Callable[[Progress], None] = lambda _: None,
    settings: RunSettings = RunSettings(),
    pictures: Pictures = OWN_PICTURES,
) -> RunSummary:
    """Ask the model everything in the plan that the run's folder does not answer yet.

    `model` may be the workers of an engine, each of which holds it.
    A plan with a restorer or of the design `released` needs what it names, opened, in `pictures`.
    Ctrl-C (KeyboardInterrupt, after what is under way was stored) and SIGKILL leave the folder
    whole: the same call goes on from there. Raises LockedError if another process runs there,
    StoreError if the folder cannot be written, ModelError if the model cannot be asked or only fails.
    """
    started = time.monotonic()
    spec = load_spec()
    check = getattr(model, "check", None)
    if check is not None:
        check()
    with folder_lock(make_folder(folder), "running a model"), ReplyStore(folder) as store:
        planned = plan_requests(plan, benches, model, card, spec, folder, pictures)
        write_plan(folder, planned, benches)
        manifest = run_manifest(plan, benches, card, model.fingerprint(), spec, _earlier_manifest(folder))
        manifest |= _shown(plan, planned, pictures)
        save_manifest(folder, manifest)
        todo, earlier = _todo(planned, store, settings)
        spending = Spending(settings.budget)
        tally = _Tally(len(todo), earlier, spending, on_progress)
        begun = datetime.now(timezone.utc)
        throttle = Throttle(throttle_settings(model)) if is_async(model) else None
        try:
            tally.show(note=_preflight(bool(todo), model, card, manifest, spending, settings))
            save_manifest(folder, manifest)
            keep = _keep(store, tally)
            if is_crew(model):
                with _stopped_by_ctrl_c(spending):
                    model.carry_out(todo, spending, keep, lambda news: tally.show(note=news))
            else:
                _ask(todo, cast("Model | AsyncModel", model), card, throttle, spending, keep, settings)
        finally:
            seconds = time.monotonic() - started
            summary = _summary(len(planned), tally, spending, throttle, seconds)
            if is_crew(model):
                summary = replace(summary, workers=model.report().as_dict())
            manifest["sessions"].append(_session(begun, summary, settings))
            save_manifest(folder, manifest)
    if summary.stopped == INTERRUPTED:
        raise KeyboardInterrupt
    return summary


def shard_of(key: str, count: int) -> int:
    """Which of `count` shards a key belongs to, from 1: the same on every machine."""
    return int(key[:12], 16) % count + 1


def _shown(plan: RunPlan, planned: Sequence[Planned], pictures: Pictures) -> dict[str, Any]:
    """What the manifest says of prompts and pictures that are not the benchmark's own."""
    record: dict[str, Any] = {"prompt_override": any(p.reworded for p in planned)}
    if pictures.restorer is not None:
        fingerprint = portable(pictures.restorer.fingerprint())
        record["restoration"] = {"fingerprint": fingerprint, "clean": plan.restore_clean}
    if pictures.released:
        record["released"] = [copy.record() for copy in pictures.released.values()]
    return record


def _preflight(
    needed: bool,
    model: object,
    card: ModelCard,
    manifest: dict[str, Any],
    spending: Spending,
    settings: RunSettings,
) -> str:
    if not needed or not is_async(model):
        return ""
    if not settings.canary:
        manifest.setdefault("canary", {"verdict": "skipped"})
        return ""
    apart = Spending(Budget())  # its few requests are paid for, but a small budget does not cut it short
    try:
        found = manifest["canary"] = check_canary(model, card, manifest.get("canary"), apart)
    finally:
        spending.usd += apart.usd
    return f"canary: {found['said']}" if found["verdict"] != "passed" else ""


def _todo(planned: Sequence[Planned], store: ReplyStore, settings: RunSettings) -> tuple[list[Planned], int]:
    number, count = settings.shard
    answered = store.answered(errors_count=not settings.retry_errors)
    mine = {p.key: p for p in planned if count == 1 or shard_of(p.key, count) == number}
    todo = [p for p in mine.values() if p.key not in answered]
    return todo, len(mine) - len(todo)


def _keep(store: ReplyStore, tally: _Tally) -> Callable[[Reply], None]:
    def keep(reply: Reply) -> None:
        store.add(reply)
        tally.count(reply)

    return keep


def _ask(
    todo: Sequence[Planned],
    model: Model | AsyncModel,
    card: ModelCard,
    throttle: Throttle | None,
    spending: Spending,
    keep: Callable[[Reply], None],
    settings: RunSettings,
) -> None:
    workers = settings.workers or min(8, os.cpu_count() or 1)
    at_once = throttle.settings.concurrency if throttle else int(getattr(model, "batch_size", 1))
    with _stopped_by_ctrl_c(spending), prefetching(todo, workers, max(1, at_once) + _AHEAD) as prefetch:
        if throttle is None:
            driver = BatchDriver(cast("Model", model), card.name, card.generation, keep)
            driver.run(prefetch, spending.start)
            return
        served = cast("AsyncModel", model)

        async def drive() -> None:
            await AsyncDriver(served, card, spending, throttle).run(prefetch, keep)

        with_model(served, drive)


@contextmanager
def _stopped_by_ctrl_c(spending: Spending) -> Iterator[None]:
    """Let the first Ctrl-C finish what is under way; the second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if spending.reason:
            raise KeyboardInterrupt
        spending.stop(INTERRUPTED)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _summary(
    cells: int, tally: _Tally, spending: Spending, throttle: Throttle | None, seconds: float
) -> RunSummary:
    seen: dict[str, Any] = {}
    if throttle is not None:
        begun = (
            time.monotonic() - seconds
        )  # the throttle's clock is that of the event loop, which is this one
        trace = [[round(p.seconds - begun, 2), round(p.limit, 1), p.why] for p in throttle.trace]
        seen = {"limit": int(throttle.limit), "cuts": throttle.cuts, "trace": trace}
    return RunSummary(
        cells,
        tally.asked,
        tally.earlier,
        tally.failed,
        seconds,
        spending.reason,
        tally.same.alarm,
        round(spending.usd, 6),
        spending.sent,
        (tally.read, tally.written),
        seen,
    )


def _session(begun: datetime, summary: RunSummary, settings: RunSettings) -> dict[str, Any]:
    throttle = dict(summary.throttle)
    if throttle:
        throttle["trace"] = throttle["trace"][-_TRACE_SHOWN:]
    return {
        "begun": begun.isoformat(timespec="seconds"),
        "seconds": round(summary.seconds, 2),
        "asked": summary.asked,
        "answered_before": summary.earlier,
        "failed": summary.failed,
        "requests_sent": summary.sent,
        "tokens": {"read": summary.tokens[0], "written": summary.tokens[1]},
        "cost_usd": summary.usd,
        "stopped": summary.stopped,
        "alarm": summary.alarm,
        "shard": list(settings.shard),
        "throttle": throttle,
        "workers": summary.workers,
    }


def _earlier_manifest(folder: Path) -> dict[str, Any] | None:
    if not (folder / MANIFEST_FILE).exists():
        return None
    try:
        return read_manifest(folder)
    except StoreError:
        return None
