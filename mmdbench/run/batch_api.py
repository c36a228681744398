"""Driver for batch endpoints: the requests of a plan in files, answered by the server within a day.

Each file is written into the journal before it is uploaded, then the batches are waited for and each row
is read as a live reply is. A stopped or killed run leaves its batches at the server; the next call takes them
up. Requests that failed in a way that passes go into another batch.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any, TypeVar, cast

from mmdbench.errors import MmdbenchError, ModelError
from mmdbench.models.batches import BatchState
from mmdbench.models.failures import AttemptError
from mmdbench.models.registry import AsyncModel
from mmdbench.models.throttle import ThrottleSettings, backoff_seconds, throttle_settings
from mmdbench.models.tokens import CostEstimate
from mmdbench.records import Outcome, Reply
from mmdbench.run.batch_check import batch_service
from mmdbench.run.batch_journal import BatchFile, BatchJournal, SentBatch, SentRequest
from mmdbench.run.budget import Spending
from mmdbench.run.forecast import expected_tokens
from mmdbench.run.inputs import BatchSettings, RunInputs
from mmdbench.run.plan import Planned
from mmdbench.run.prefetch import prefetching
from mmdbench.run.replies import image_error_reply, make_reply, make_request, stored_outcome

__all__ = ["BatchHooks", "BatchRun"]

_AHEAD = 8
_ROUNDS = 3
_GROWTH = 1.5
_IN_BATCH = "it is in a batch"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchHooks:
    """Functions of the run: `keep` stores a reply, `notify` shows a message, `begin` writes the plan.

    `key` gives the key of the reply to a planned one; `stored` has the status of each stored reply by key;
    replies get the number `generation`.
    """

    keep: Callable[[Reply], None]
    notify: Callable[[str], None]
    begin: Callable[[], None]
    key: Callable[[str], str]
    stored: Mapping[str, str]
    generation: int = 0


@dataclass
class BatchRun:
    """One call of a run through a batch endpoint."""

    inputs: RunInputs
    spending: Spending
    hooks: BatchHooks
    journal: BatchJournal = field(init=False)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _again: dict[str, Reply] = field(default_factory=dict, init=False)
    _answered: set[str] = field(default_factory=set, init=False)
    _said: dict[str, str] = field(default_factory=dict, init=False)
    _left_out: str = field(default="", init=False)
    _fatal: str = field(default="", init=False)
    _ended_early: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.journal = BatchJournal(self.inputs.folder)
        card = self.inputs.card
        # Rows of a batch cost the price of a batch, whatever the card's live price is.
        self._price = card.price.in_batch() if card.price else None
        self._estimate = CostEstimate(replace(card, price=self._price))
        self._service = batch_service(self.inputs)

    @property
    def limits(self) -> BatchSettings:
        """The limits of files and the pauses between looks."""
        return self.inputs.settings.batch or BatchSettings()

    @property
    def throttle(self) -> ThrottleSettings:
        """The model's attempts, pauses and longest wait."""
        return throttle_settings(cast("AsyncModel", self.inputs.model))

    def run(self, todo: Sequence[Planned]) -> None:
        """Collect the open batches and send the rest in new ones, until all is answered or the run stops.

        Raises ModelError if the server refuses the batches or cannot be asked.
        """
        asyncio.run(self._run(todo))
        if self._fatal:
            raise ModelError(
                f"The model {self.inputs.card.name!r} cannot be asked: {self._fatal}.",
                hint="Every reply so far is stored: fix the cause and run the same command again.",
            )

    async def _run(self, todo: Sequence[Planned]) -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            with suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(self._stopped.set)

        self.spending.on_stop.append(stop)
        try:
            await self._confirm()
            self.journal.tidy()
            waiting = {sent.reply.key for batch in self.journal.open for sent in self.journal.requests(batch)}
            rest = [planned for planned in todo if self.hooks.key(planned.key) not in waiting]
            for number in range(_ROUNDS):
                await self._submit(rest)
                before = len(self._answered)
                await self._collect()
                rest = [planned for planned in todo if self.hooks.key(planned.key) in self._again]
                is_last = number == _ROUNDS - 1 or len(self._answered) == before or self._ended_early
                if not rest or is_last or self.spending.reason or self._fatal:
                    break
                self.hooks.notify(f"{len(rest)} requests failed in a way that may pass; they are asked again")
                self._again.clear()
        finally:
            for reply in self._again.values():
                self.hooks.keep(reply)
            await self._service.aclose()
        for reason in (self._ended_early, self._left_out):
            if reason:
                self.spending.stop(reason)

    async def _confirm(self) -> None:
        """Find the batches whose start was not confirmed; others are not at the server."""
        for batch in self.journal.open:
            if batch.id:
                continue
            found = await self._retried(partial(self._service.find, batch.name))
            if found is None:
                self.journal.write(replace(batch, status="not started"), {"status": "not started"})
            else:
                self.journal.write(replace(batch, id=found.id), {"id": found.id})

    async def _submit(self, todo: Sequence[Planned]) -> None:
        """Send what the budget pays for, in as many batches as the limits of a file ask for."""
        if not todo or self.spending.reason:
            return
        usd = self._price.usd(*expected_tokens(todo, self.inputs)) / len(todo) if self._price else 0.0
        paid = list(todo[: self._affordable(len(todo), usd)])
        if not paid:
            return
        cost = "unknown"
        if self._price:
            cost = f"about {usd * len(paid):,.2f} US dollars at {self._price}"
            cost += "" if self._price.batch else ", the live price: that of batches is not known"
        self.hooks.notify(f"{len(paid)} requests in batches, cost {cost}")
        file: BatchFile | None = None
        for line, request in self._lines(paid):
            if file is not None and not file.fits(line, self.limits):
                await self._send(file, usd)
                file = None
            if self._stopped.is_set():
                break
            file = file or BatchFile(self.inputs.folder)
            file.add(line, request)
            await asyncio.sleep(0)  # lets a stop arrive
        if file is not None and not self._stopped.is_set():
            await self._send(file, usd)
        self.journal.tidy()

    def _affordable(self, number: int, usd: float) -> int:
        """The number of requests that the budget pays for; the reason is kept if these are not all."""
        budget, fits = self.spending.budget, number
        if budget.requests is not None:
            fits = min(fits, budget.requests - self.spending.sent)
        if budget.usd is not None and usd > 0:
            left = (
                budget.usd
                - self.spending.usd
                - self.spending.held
                - sum(batch.usd for batch in self.journal.open)
            )
            fits = min(fits, int(left / usd + 1e-9))
        fits = max(0, fits)
        if fits < number:
            self._left_out = f"--max-usd or --max-requests leaves out {number - fits} requests"
        return fits

    def _lines(self, todo: Sequence[Planned]) -> Iterator[tuple[bytes, SentRequest]]:
        """Each request as a line and as a reply without an answer; those that cannot be made are stored."""
        workers = self.inputs.settings.workers or min(8, os.cpu_count() or 1)
        with prefetching(todo, workers, _AHEAD, self.inputs.settings.max_pixels) as prefetch:
            while (item := prefetch.take()) is not None:
                planned, future = item
                try:
                    variants = future.result()
                except MmdbenchError as error:
                    self.hooks.keep(image_error_reply(planned, error))
                    continue
                request = make_request(planned, variants, self.inputs.card.generation)
                request = replace(request, key=self.hooks.key(planned.key))
                try:
                    line, details = self._service.line(request)
                    if len(line) > self.limits.most_bytes:
                        raise AttemptError(
                            "too_large", f"the request has {len(line)} bytes, more than a batch file"
                        )
                except AttemptError as error:
                    outcome = Outcome("", "error", error.reason, {"failure": error.kind})
                    self.hooks.keep(make_reply(planned, variants, outcome, attempts=0))
                    continue
                reply = make_reply(planned, variants, Outcome("", "error", _IN_BATCH, details))
                yield line, SentRequest(replace(reply, key=request.key), planned.question.options)

    async def _send(self, file: BatchFile, usd: float) -> None:
        """Write a batch into the journal, upload its file and start it."""
        generation = self.hooks.generation
        batch = SentBatch(file.name, "", file.count, round(usd * file.count, 6), generation)
        facts = {"requests": batch.requests, "usd": batch.usd, "generation": generation}
        self.hooks.begin()
        self.journal.write(batch, facts)
        tried = False

        async def start() -> BatchState:
            nonlocal tried
            found = await self._service.find(file.name) if tried else None
            tried = True
            return found or await self._service.submit(file.path, file.name)

        state = await self._retried(start)
        self.journal.write(replace(batch, id=state.id), {"id": state.id})
        file.path.unlink()
        self.spending.sent += batch.requests
        self._show(state)

    async def _collect(self) -> None:
        """Wait for the open batches and store the rows of each that ends."""
        pause = self.limits.first_pause
        while True:
            for batch in self.journal.open:
                state = await self._retried(partial(self._service.state, batch.id))
                self._show(state)
                if state.has_ended:
                    await self._take(batch, state)
            left = self.journal.open
            if not left:
                return
            if not self.spending.reason:
                await self._wait(pause)
                self.spending.check_time()
                pause = min(pause * _GROWTH, self.limits.longest_pause)
            if self.spending.reason:
                ids = ", ".join(batch.id for batch in left)
                self.hooks.notify(f"left at the server: {ids}; the same command collects what it answers")
                return

    async def _take(self, batch: SentBatch, state: BatchState) -> None:
        """Store the rows of a batch that has ended, and close it in the journal."""
        rows = await self._retried(lambda: self._service.rows(state))
        results = {row.key: row.result for row in reversed(rows)}
        for request in self.journal.requests(batch):
            if self.hooks.stored.get(request.reply.key, "error") == "error":
                self._read(request, results.get(request.reply.key), batch.id)
        answered = sum(result is not None for result in results.values())
        closed = replace(batch, status=state.status)
        self.journal.write(closed, {"status": state.status, "answered": answered})
        self.journal.tidy()
        if state.status != "completed":
            words = f" ({state.problem})" if state.problem else ""
            self._ended_early = (
                f"the server ended batch {state.id} as {state.status}{words}: "
                f"{answered} of {batch.requests} requests are answered"
            )

    def _read(self, request: SentRequest, result: Outcome | AttemptError | None, batch: str) -> None:
        """Store the reply of a row; a failure that may pass is kept for another batch."""
        if result is None:
            return  # it was not asked, and counts as such
        if isinstance(result, Outcome):
            _, usd = self._estimate.update(result.details.get("usage", {}))
            self.spending.settle(0.0, usd or 0.0)
            paid = {} if usd is None else {"cost_usd": round(usd, 8)}
            self._answered.add(request.reply.key)
            self._again.pop(request.reply.key, None)
            self.hooks.keep(
                _with(request, replace(result, details={**result.details, **paid, "batch": batch}))
            )
            return
        refused = result.rule.action == "refuse"
        details = {"failure": result.kind, "batch": batch}
        reply = _with(request, Outcome("", "refused" if refused else "error", result.reason, details))
        if result.parameter:
            self._fatal = f"{result.reason} (which settings the model takes is learnt from the live canary)"
        elif result.rule.action == "stop":
            self._fatal = f"{result.reason} ({result.rule.meaning})"
        elif result.rule.action == "retry":
            self._again[request.reply.key] = reply
        else:
            self._answered.add(request.reply.key)
            self.hooks.keep(reply)

    async def _retried(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call to the server, after some attempts. Raises ModelError."""
        for attempt in count(1):
            try:
                return await call()
            except AttemptError as error:
                settings = self.throttle
                if error.rule.action != "retry" or attempt >= settings.attempts or self.spending.reason:
                    raise ModelError(
                        f"The batch endpoint of {self.inputs.card.name!r} cannot be asked: {error.reason}.",
                        hint="The same command collects its batches later. To give up those that the server "
                        f"does not know, remove {self.journal.path}.",
                    ) from None
                asked = min(error.retry_after or 0.0, settings.longest_wait)
                await self._wait(max(asked, backoff_seconds(settings, attempt, "batch")))
        raise AssertionError  # count() has no end

    async def _wait(self, seconds: float) -> None:
        """Wait, at most until the run is stopped or its minutes are used up."""
        left = self.spending.seconds_left()
        waiting = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait([waiting], timeout=seconds if left is None else min(seconds, left + 0.001))
        waiting.cancel()

    def _show(self, state: BatchState) -> None:
        if self._said.get(state.id) != str(state):
            self._said[state.id] = str(state)
            self.hooks.notify(str(state))


def _with(request: SentRequest, outcome: Outcome) -> Reply:
    """The request with the answer of its row."""
    reply, outcome = request.reply, stored_outcome(outcome, request.options)
    details: dict[str, Any] = {**outcome.details, **reply.details}
    return replace(reply, status=outcome.status, text=outcome.text, reason=outcome.reason, details=details)
