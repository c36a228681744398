"""Limits on requests to a server: how many at once, and when the next may start.

The number of requests at once grows by one for every round of successes and is cut when the server
is overloaded: additive increase, multiplicative decrease. Before the first cut it doubles with
every round. `Retry-After` holds every request back, and so do caps on requests and on tokens per
minute. `Throttle` is plain arithmetic on a clock that is passed in; `ThrottleQueue` lets coroutines
wait for it, first come, first served.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from mmdbench.models.failures import Rule
from mmdbench.models.registry import AsyncModel
from mmdbench.system.digest import derive_seed

__all__ = [
    "Throttle",
    "ThrottleQueue",
    "ThrottleSettings",
    "TracePoint",
    "backoff_seconds",
    "throttle_settings",
]

_CUT = 0.7
_BURST_SECONDS = 1.0
_TRACE_KEPT = 2000


@dataclass(frozen=True, slots=True)
class ThrottleSettings:
    """Bounds of a throttle.

    `concurrency` is the most requests at once, `start` the number at first; `rpm` and `tpm` cap
    requests and tokens per minute (0: no cap); a request is tried `attempts` times at most, with
    a pause of `backoff` seconds that doubles up to `longest_backoff` seconds. A server that asks for a
    pause of up to `longest_wait` seconds is obeyed; one that asks for more ends the run.
    """

    concurrency: int = 16
    start: int = 4
    rpm: float = 0.0
    tpm: float = 0.0
    attempts: int = 8
    backoff: float = 0.5
    longest_backoff: float = 60.0
    longest_wait: float = 600.0


def throttle_settings(model: AsyncModel) -> ThrottleSettings:
    """The model's own `throttle`, or the default bounds with its `concurrency`."""
    own: ThrottleSettings | None = getattr(model, "throttle", None)
    if own is not None:
        return own
    return replace(ThrottleSettings(), concurrency=max(1, model.concurrency))


@dataclass(frozen=True, slots=True)
class TracePoint:
    """A change of the limit: its time (seconds on the throttle's clock), the new limit and the reason."""

    seconds: float
    limit: float
    why: str


class Throttle:
    """The state of a throttle; `now` is always seconds on one monotonic clock."""

    def __init__(self, settings: ThrottleSettings) -> None:
        self.settings = settings
        self.limit = float(min(settings.start, settings.concurrency))
        self.in_flight = 0
        self.cuts = 0
        self.trace: deque[TracePoint] = deque(maxlen=_TRACE_KEPT)
        self._doubling = True
        self._cut_at = -math.inf
        self._not_before = -math.inf
        self._request_clock = -math.inf
        self._token_clock = -math.inf

    def reserve(self, now: float, tokens: float = 0.0) -> float:
        """Seconds to wait before a request of about `tokens` tokens may start.

        0 means that it may start now; it then counts as in flight. Infinity means that it must wait
        until a request in flight ends.
        """
        if self.in_flight >= max(1, int(self.limit)):
            return math.inf
        wait = max(self._not_before, self._request_clock, self._token_clock) - now
        if wait > 0:
            return wait
        self.in_flight += 1
        self._request_clock = _advance(self._request_clock, now, 1.0, self.settings.rpm)
        self._token_clock = _advance(self._token_clock, now, tokens, self.settings.tpm)
        return 0.0

    def correct_tokens(self, expected: float, used: float) -> None:
        """Record that a request used `used` tokens where `expected` were reserved."""
        if self.settings.tpm > 0 and math.isfinite(self._token_clock):
            seconds = (used - expected) * 60.0 / self.settings.tpm
            self._token_clock += min(seconds, self.settings.longest_wait)

    def succeeded(self, now: float) -> None:
        """Record that a request in flight was answered."""
        # With few requests in flight, a success does not show that the server can answer more.
        busy = 2 * self.in_flight >= int(self.limit)
        self.in_flight -= 1
        if busy and self.limit < self.settings.concurrency:
            grown = self.limit + (1.0 if self._doubling else 1.0 / self.limit)
            self._set(min(grown, float(self.settings.concurrency)), now, "success")

    def failed(self, now: float, started: float, rule: Rule, retry_after: float | None = None) -> None:
        """Record that a request in flight failed, and cut the limit if the rule says so.

        Args:
            now: Seconds on the throttle's clock.
            started: The time at which the request started. The limit is not cut for a request that
                started before the last cut: one overload fails many requests at once.
            rule: The rule of the failure's kind.
            retry_after: Seconds that the server asks its clients to wait, if it does; at most
                `longest_wait` count, and only after a failure that is tried again.
        """
        self.in_flight -= 1
        if retry_after is not None and retry_after > 0 and rule.action == "retry":  # never with a NaN
            self._not_before = max(self._not_before, now + min(retry_after, self.settings.longest_wait))
        if rule.slow_down and started > self._cut_at:
            self._cut_at = now
            self._doubling = False
            self.cuts += 1
            self._set(max(1.0, self.limit * _CUT), now, rule.meaning)

    def abandoned(self) -> None:
        """Record that a reserved request was not sent."""
        self.in_flight -= 1

    def _set(self, limit: float, now: float, why: str) -> None:
        if int(limit) != int(self.limit):
            self.trace.append(TracePoint(now, limit, why))
        self.limit = limit


class ThrottleQueue:
    """Queue of coroutines that wait until the throttle lets them start.

    `clock` is the running event loop's unless a test gives another.
    """

    def __init__(self, throttle: Throttle, clock: Callable[[], float] | None = None) -> None:
        self.throttle = throttle
        self.clock = clock or asyncio.get_running_loop().time
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closed = False

    async def acquire(self, tokens: float = 0.0) -> float | None:
        """Wait until a request may start; returns the time on `clock`, None if the queue was closed."""
        at_once = not self._turn.locked() and not self._closed
        if at_once and self.throttle.reserve(self.clock(), tokens) == 0.0:
            return self.clock()
        async with self._turn:
            while not self._closed:
                self._changed.clear()
                wait = self.throttle.reserve(self.clock(), tokens)
                if wait == 0.0:
                    return self.clock()
                await _wait(self._changed, wait)
        return None

    def release(self) -> None:
        """Wake the first in the queue; called when a request has ended and the throttle knows its result."""
        self._changed.set()

    def close(self) -> None:
        """Let no request start any more; every `acquire` returns None."""
        self._closed = True
        self._changed.set()


def backoff_seconds(settings: ThrottleSettings, attempt: int, key: str) -> float:
    """The pause after a failed attempt, between half and all of a time that doubles with every attempt.

    Args:
        settings: The first pause and the longest one.
        attempt: The number of attempts that failed, from 1.
        key: The request's key, which the random share follows from: requests that failed at the
            same time are sent again at different times.

    Returns:
        The pause in seconds.
    """
    longest = min(settings.longest_backoff, settings.backoff * 2.0 ** (attempt - 1))
    return longest * (0.5 + derive_seed("backoff", key, attempt) / 2**33)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    if math.isinf(seconds):
        await event.wait()
        return
    handle = asyncio.get_running_loop().call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        handle.cancel()


def _advance(clock: float, now: float, cost: float, per_minute: float) -> float:
    # A leaky bucket: capacity that was not used can be used later, but only that of the last second.
    if per_minute <= 0:
        return clock
    return max(clock, now - _BURST_SECONDS) + cost * 60.0 / per_minute
