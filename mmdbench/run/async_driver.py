"""Driver for models that are asked through coroutines: many requests at once.

Failures are retried by the rules in `models.failures`. The throttle sets the time at which a request
starts, and the budget can forbid it to start. A stopped run starts no new request; those in flight
are finished and their replies stored.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
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
from mmdbench.run.bytes_in_flight import BytesInFlight
from mmdbench.run.prefetch import Prefetch
from mmdbench.run.replies import image_error_reply, make_reply, make_request, readable_outcome
from mmdbench.system.durations import duration
from mmdbench.system.secrets import error_text

__all__ = ["Asides", "AsyncDriver", "FailureLimit", "RequestFailures", "TimedOutcome", "run_with_model"]

T = TypeVar("T")

# Fewer could be a coincidence: single requests also fail for reasons of their own.
_FAILURES_IN_A_ROW = 5
_SHORTEST_WAIT_SAID_SECONDS = 5.0


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


class Asides(Protocol):
    """Source of requests that are asked between those of a run, by the same driver."""

    def take(self) -> Request | None:
        """The next request; None if none is due."""
        ...

    def see(self, request: Request, outcome: Outcome) -> None:
        """Take the outcome of a request that `take` gave."""
        ...


class RequestFailures:
    """Limit on failed requests in a row: the larger of the concurrency and five.

    It is five while the server forbids every request and has answered none: the key is wrong for it.
    """

    def __init__(self, concurrency: int) -> None:
        self._limit = max(_FAILURES_IN_A_ROW, concurrency)
        self._in_a_row = 0
        self._has_answered = False

    def reset(self) -> None:
        """Count from 0 again: a request was answered."""
        self._in_a_row = 0
        self._has_answered = True

    def count(self, request: Request, error: AttemptError, *, is_retried: bool) -> str:
        """Count a failed attempt.

        Args:
            request: The request that failed; not used.
            error: Its failure.
            is_retried: True if the request is sent again; the attempt is not counted then.

        Returns:
            The reason not to ask the model any more, empty if it may be asked.
        """
        del request
        if is_retried:
            return ""
        self._in_a_row += 1
        is_shut_out = error.kind == "forbidden" and not self._has_answered
        if self._in_a_row < (_FAILURES_IN_A_ROW if is_shut_out else self._limit):
            return ""
        return f"failed at {self._in_a_row} requests in a row, the most allowed: {error.reason.rstrip('.')}."


@dataclass
class AsyncDriver:
    """Driver that asks one model within one throttle and one budget; made inside a running event loop.

    Attributes:
        model: The model.
        card: Its card.
        spending: The budget, and what was spent of it.
        throttle: The limits on concurrency and rates.
        failures: The limit on failures after which the run ends; by default RequestFailures.
        notify: Receives a message for the user while the server makes the run wait; logged by default.
        fatal: The error that ended the run; None if there was none.
    """

    model: AsyncModel
    card: ModelCard
    spending: Spending
    throttle: Throttle
    failures: FailureLimit | None = None
    notify: Callable[[str], None] = logging.getLogger("mmdbench").warning
    fatal: ModelError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.queue = ThrottleQueue(self.throttle)
        self.estimate = CostEstimate(self.card)
        self._failures = self.failures or RequestFailures(self.settings.concurrency)
        self._said_until = -math.inf
        self._alone = asyncio.Lock()
        self._pictures = BytesInFlight()
        self._stopped = asyncio.Event()
        self._budget_changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.spending.on_stop.append(self._stop_soon)

    async def run(
        self, prefetch: Prefetch, on_reply: Callable[[Reply], None], asides: Asides | None = None
    ) -> None:
        """Send every request of a run.

        Args:
            prefetch: The requests.
            on_reply: Receives every reply.
            asides: Requests to send between them; they have no replies.

        Raises:
            ModelError: The model cannot be asked.
        """
        seconds = self.spending.seconds_left()
        # A millisecond later than the end, so that a rounded clock does not read a time before it.
        timer = None if seconds is None else self._loop.call_later(seconds + 0.001, self.spending.check_time)
        workers = [
            asyncio.create_task(self._work(prefetch, on_reply, asides))
            for _ in range(max(1, self.throttle.settings.concurrency))
        ]
        try:
            with _no_collection_of_plan():
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
            async with self._turn():
                started = await self._admitted(tokens, usd)
                if started is None:
                    return None
                result = await self._result(request, started, tokens, usd)
            if isinstance(result, Outcome):
                self._failures.reset()
                return TimedOutcome(result, attempt, self.queue.clock() - started)
            ended = self._failed_outcome(request, result, attempt)
            if ended is not None:
                return TimedOutcome(ended, attempt, self.queue.clock() - started)
            if self.fatal is not None or await self._pause(
                backoff_seconds(self.settings, attempt, request.key)
            ):
                return None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Let the first attempt go alone if it may teach which settings the model takes."""
        learnt = getattr(self.model, "learnt", None)
        if learnt is not None and learnt.is_open:
            async with self._alone:
                if learnt.is_open:
                    yield
                    return
        yield

    async def _result(
        self, request: Request, started: float, tokens: float, usd: float
    ) -> Outcome | AttemptError:
        try:
            return await self._attempt(request, started, tokens, usd)
        except AttemptError as error:
            return error

    async def _admitted(self, tokens: float, usd: float) -> float | None:
        """The time at which throttle and budget let a request start; None if the run was stopped first."""
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
            self._budget_changed.clear()
            await self._budget_changed.wait()

    @property
    def settings(self) -> ThrottleSettings:
        """The throttle's bounds."""
        return self.throttle.settings

    async def _work(
        self, prefetch: Prefetch, on_reply: Callable[[Reply], None], asides: Asides | None
    ) -> None:
        while not self.spending.reason:
            if asides is not None and (aside := asides.take()) is not None:
                answer = await self.ask(aside)
                if answer is not None:
                    asides.see(aside, answer.outcome)
                continue
            await self._pictures.wait()
            item = prefetch.take()
            if item is None:
                return
            planned, future = item
            with self._pictures.hold(planned) as correct:
                try:
                    variants = future.result() if future.done() else await asyncio.wrap_future(future)
                except MmdbenchError as error:
                    on_reply(image_error_reply(planned, error))
                    continue
                correct(sum(len(variant.image.data) for variant in variants))
                request = make_request(planned, variants, self.card.generation)
                timed = await self.ask(request, planned.sizes)
                if timed is not None:
                    on_reply(make_reply(planned, variants, timed.outcome, timed.seconds, timed.attempts))
                del variants, request, timed

    async def _attempt(self, request: Request, started: float, tokens: float, usd: float) -> Outcome:
        paid = 0.0
        try:
            outcome = readable_outcome(await self.model.agenerate(request))
        except AttemptError as error:
            self.throttle.failed(self.queue.clock(), started, error.rule, error.retry_after)
            self._say_wait(error)
            raise
        except BaseException as error:
            self.throttle.abandoned()
            if isinstance(error, MmdbenchError) or not isinstance(error, Exception):
                raise
            # An adapter is foreign code: anything that it raises is a failed request.
            raise AttemptError("unexpected", error_text(error)) from error
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
            self._budget_changed.set()
            self.queue.release()

    def _failed_outcome(self, request: Request, error: AttemptError, attempt: int) -> Outcome | None:
        """The outcome of a request that is not sent again; None if it is sent again or the run has ended."""
        action = error.rule.action
        if action == "refuse":
            self._failures.reset()
            return Outcome("", "refused", error.reason, {"failure": error.kind})
        if action == "stop":
            self._give_up(f"cannot be asked: {error.reason} ({error.rule.meaning}).", self._advice(error))
            return None
        is_retried = action == "retry" and attempt < self.settings.attempts
        limit_reached = self._failures.count(request, error, is_retried=is_retried)
        if limit_reached:
            self._give_up(limit_reached, self._advice(error))
        return None if is_retried else Outcome("", "error", error.reason, {"failure": error.kind})

    def _say_wait(self, error: AttemptError) -> None:
        """Say that the server asks to wait, once for a wait; stop where it asks for more than is allowed."""
        seconds, longest = error.retry_after or 0.0, self.settings.longest_wait
        if error.rule.action != "retry" or not seconds > 0:  # a NaN is none either
            return
        asks = f"the server of {self.card.name!r} asks to wait {duration(seconds)} ({error.reason})"
        until = self.queue.clock() + seconds
        if seconds > longest:
            bound = f"more than the {longest:g} s that the option longest_wait allows"
            self.spending.stop(f"{asks}, {bound}")
        elif (
            seconds >= _SHORTEST_WAIT_SAID_SECONDS and until > self._said_until + _SHORTEST_WAIT_SAID_SECONDS
        ):
            self._said_until = until
            self.notify(asks)

    def _give_up(self, what: str, advice: str = "") -> None:
        if self.fatal is None:
            self.fatal = ModelError(
                f"The model {self.card.name!r} {what}",
                hint=f"{advice}Every reply so far is stored: fix the cause and run the same command again.",
            )
        self.spending.stop("the model cannot be asked")

    def _advice(self, error: AttemptError) -> str:
        if error.kind in ("unauthorised", "forbidden"):
            if not self.card.key_env:
                return "The card names no variable with a key: --set key_env=NAME. "
            return f"Is the key in the environment variable {self.card.key_env} right? "
        if error.kind == "unsupported_setting":
            return f"Leave the setting out: --set 'generation.{error.parameter}='. "
        if error.kind == "not_found":
            return "Is the model's name right? Is the path of the endpoint (such as /v1) right? "
        return ""

    def _stop_soon(self) -> None:
        def stop() -> None:
            self._stopped.set()
            self._budget_changed.set()
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


def run_with_model(model: AsyncModel, task: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function in a new event loop, then close the model's connections."""

    async def task_then_close() -> T:
        try:
            return await task()
        finally:
            close: Callable[[], Awaitable[Any]] | None = getattr(model, "aclose", None)
            if close is not None:
                await close()

    return asyncio.run(task_then_close())


@contextmanager
def _no_collection_of_plan() -> Iterator[None]:
    # A plan is a million objects that stay until the end of the run. Scanning them for garbage takes a
    # quarter of the time of a request if it is not prevented.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
