"""Driver for models that are asked through coroutines: many requests at once.

Each request is retried as the table in `models.failures` says; the throttle decides when it may
start, and the budget if it may start at all. A run that is stopped starts nothing new; requests in
flight are finished and stored.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from mmdbench.errors import MmdbenchError, ModelError
from mmdbench.models.cards import ModelCard
from mmdbench.models.failures import AttemptError
from mmdbench.models.registry import AsyncModel
from mmdbench.models.throttle import Throttle, ThrottleQueue, ThrottleSettings, backoff_seconds
from mmdbench.models.tokens import CostEstimate
from mmdbench.records import Outcome, Reply, Request
from mmdbench.run.budget import Spending
from mmdbench.run.prefetch import Prefetch
from mmdbench.run.replies import image_error_reply, make_reply, make_request

__all__ = ["AsyncDriver", "FailureLimit", "RequestFailures", "TimedOutcome", "with_model"]

T = TypeVar("T")

_FAILURES_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class TimedOutcome:
    """The outcome of a request, the number of its attempts and the duration of the last one in seconds."""

    outcome: Outcome
    attempts: int
    seconds: float


class FailureLimit(Protocol):
    """Counter of failures that decides when they are too many."""

    def reset(self) -> None:
        """Count from 0 again: a request was answered."""
        ...

    def count(self, request: Request, error: AttemptError, *, is_retried: bool) -> str:
        """Count a failed attempt.

        Args:
            request: The request that failed.
            error: Its failure.
            is_retried: True if the request is sent again.

        Returns:
            The reason not to ask the model any more, empty if it may be asked.
        """
        ...


class RequestFailures:
    """Limit on failed requests in a row: as many as are sent at once, but at least five."""

    def __init__(self, concurrency: int) -> None:
        self._most = max(_FAILURES_IN_A_ROW, concurrency)
        self._in_a_row = 0

    def reset(self) -> None:
        """Count from 0 again: a request was answered."""
        self._in_a_row = 0

    def count(self, request: Request, error: AttemptError, *, is_retried: bool) -> str:
        """Count a failed attempt.

        Args:
            request: The request that failed; not used.
            error: Its failure.
            is_retried: True if the request is sent again; it does not count then.

        Returns:
            The reason not to ask the model any more, empty if it may be asked.
        """
        del request
        if is_retried:
            return ""
        self._in_a_row += 1
        if self._in_a_row < self._most:
            return ""
        return f"failed at {self._in_a_row} requests in a row: {error.reason}."


@dataclass
class AsyncDriver:
    """Driver of one model, under one throttle and one budget; made and used inside a running event loop.

    `failures` decides after which failures the model is asked no more (default: RequestFailures).
    `fatal` is the error that ended the run, if one did.
    """

    model: AsyncModel
    card: ModelCard
    spending: Spending
    throttle: Throttle
    failures: FailureLimit | None = None
    fatal: ModelError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.queue = ThrottleQueue(self.throttle)
        self.estimate = CostEstimate(self.card)
        self._failures = self.failures or RequestFailures(self.settings.concurrency)
        self._stopped = asyncio.Event()
        self._settled = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.spending.on_stop.append(self._stop_soon)

    async def run(self, prefetch: Prefetch, on_reply: Callable[[Reply], None]) -> None:
        """Ask every request of the queue. Raises the ModelError that ended the run, if one did."""
        seconds = self.spending.seconds_left()
        timer = None if seconds is None else self._loop.call_later(seconds + 0.001, self.spending.check_time)
        workers = [
            asyncio.create_task(self._work(prefetch, on_reply))
            for _ in range(max(1, self.throttle.settings.concurrency))
        ]
        try:
            with _plan_uncollected():
                await asyncio.gather(*workers)
        finally:
            if timer is not None:
                timer.cancel()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self.fatal is not None:
            raise self.fatal

    async def ask(self, request: Request, sizes: Sequence[tuple[int, int]] = ()) -> TimedOutcome | None:
        """Send a request, with retries, until it has an outcome; None if the run was stopped before that.

        `sizes` are the width and height of its images in pixels, for the estimate of its tokens.
        """
        attempt = 0
        while True:
            attempt += 1
            tokens, usd = self.estimate.expect(request.prompt, sizes)
            started = await self._enter(tokens, usd)
            if started is None:
                return None
            try:
                outcome = await self._attempt(request, started, tokens, usd)
            except AttemptError as error:
                ended = self._failure(request, error, attempt)
                if ended is not None:
                    return TimedOutcome(ended, attempt, self.queue.clock() - started)
                if self.fatal is not None or await self._pause(
                    backoff_seconds(self.settings, attempt, request.key)
                ):
                    return None
            else:
                self._failures.reset()
                return TimedOutcome(outcome, attempt, self.queue.clock() - started)

    async def _enter(self, tokens: float, usd: float) -> float | None:
        """Wait until the throttle and the budget let a request start; None if the run was stopped."""
        while True:
            started = await self.queue.acquire(tokens)
            if started is None:
                return None
            if not self.spending.must_wait(usd):
                if self.spending.start(usd):
                    return started
                self.throttle.abandoned()
                self.queue.release()
                return None
            self.throttle.abandoned()
            self._settled.clear()
            await self._settled.wait()

    @property
    def settings(self) -> ThrottleSettings:
        """The throttle's bounds."""
        return self.throttle.settings

    async def _work(self, prefetch: Prefetch, on_reply: Callable[[Reply], None]) -> None:
        while not self.spending.reason and (item := prefetch.take()):
            planned, future = item
            try:
                variants = future.result() if future.done() else await asyncio.wrap_future(future)
            except MmdbenchError as error:
                on_reply(image_error_reply(planned, error))
                continue
            request = make_request(planned, variants, self.card.generation)
            timed = await self.ask(request, planned.sizes)
            if timed is not None:
                on_reply(make_reply(planned, variants, timed.outcome, timed.seconds, timed.attempts))

    async def _attempt(self, request: Request, started: float, tokens: float, usd: float) -> Outcome:
        paid = 0.0
        try:
            outcome = await self.model.agenerate(request)
        except AttemptError as error:
            self.throttle.failed(self.queue.clock(), started, error.rule, error.retry_after)
            raise
        except BaseException as error:
            self.throttle.abandoned()
            if isinstance(error, MmdbenchError) or not isinstance(error, Exception):
                raise
            # An adapter is foreign code: anything that it raises is a failed request.
            raise AttemptError("unexpected", f"{type(error).__name__}: {error}") from error
        else:
            self.throttle.succeeded(self.queue.clock())
            used, cost = self.estimate.update(outcome.details.get("usage", {}))
            self.throttle.correct_tokens(tokens, used)
            paid = usd if cost is None else cost
            if cost is None:
                return outcome
            return replace(outcome, details={**outcome.details, "cost_usd": round(cost, 8)})
        finally:
            self.spending.settle(usd, paid)
            self._settled.set()
            self.queue.release()

    def _failure(self, request: Request, error: AttemptError, attempt: int) -> Outcome | None:
        """The outcome of a request that is not tried again; None if it is, or if the run is over."""
        action = error.rule.action
        if action == "refuse":
            self._failures.reset()
            return Outcome("", "refused", error.reason, {"failure": error.kind})
        if action == "stop":
            self._give_up(f"cannot be asked: {error.reason} ({error.rule.meaning}).", self._advice(error))
            return None
        is_retried = action == "retry" and attempt < self.settings.attempts
        hopeless = self._failures.count(request, error, is_retried=is_retried)
        if hopeless:
            self._give_up(hopeless)
        return None if is_retried else Outcome("", "error", error.reason, {"failure": error.kind})

    def _give_up(self, what: str, advice: str = "") -> None:
        if self.fatal is None:
            self.fatal = ModelError(
                f"The model {self.card.name!r} {what}",
                hint=f"{advice}Every reply so far is stored; fix that and run the same command again.",
            )
        self.spending.stop("the model cannot be asked")

    def _advice(self, error: AttemptError) -> str:
        if error.kind == "unauthorised":
            return f"Is the environment variable {self.card.key_env or '(none is named)'} right? "
        if error.kind == "not_found":
            return "Is the model's name right, and does the endpoint end as the server wants it (/v1)? "
        return ""

    def _stop_soon(self) -> None:
        def stop() -> None:
            self._stopped.set()
            self._settled.set()
            self.queue.close()

        with suppress(RuntimeError):  # the event loop has ended, and every request with it
            self._loop.call_soon_threadsafe(stop)

    async def _pause(self, seconds: float) -> bool:
        """Wait; True if the run was stopped in the meantime."""
        if self._stopped.is_set():
            return True
        waiting = asyncio.ensure_future(self._stopped.wait())
        try:
            return bool((await asyncio.wait([waiting], timeout=seconds))[0])
        finally:
            waiting.cancel()


def with_model(model: AsyncModel, use: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine in a new event loop, then close the model's connections."""

    async def whole() -> T:
        try:
            return await use()
        finally:
            close: Callable[[], Awaitable[Any]] | None = getattr(model, "aclose", None)
            if close is not None:
                await close()

    return asyncio.run(whole())


@contextmanager
def _plan_uncollected() -> Iterator[None]:
    # A plan is a million objects that stay until the end of the run. Scanning them for garbage again and
    # again would take a quarter of the time of a request.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
