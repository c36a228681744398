"""Budget of a run, and the clean stop when it is spent.

When a budget is spent, requests in flight are finished and stored, and no other one is started. Money
is reserved when a request starts, at the mean cost so far; requests wait while the reservations would
exceed the budget, so that many at once do not overshoot together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mmdbench.system.bounds import require_above
from mmdbench.system.stop_signals import on_stop_signal

__all__ = ["INTERRUPTED", "Budget", "Spending", "stopped_by_signals"]

INTERRUPTED = "interrupted"
"""The reason of a run that was stopped by Ctrl-C, SIGTERM or SIGHUP; it replaces another one."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that one call may spend: US dollars, minutes of wall time, requests sent (retries too)."""

    usd: float | None = None
    minutes: float | None = None
    requests: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("usd", self.usd), ("minutes", self.minutes), ("requests", self.requests)):
            if value is not None:
                require_above(f"--max-{name}", value, 0)


class Spending:
    """Money, time and requests that a run has spent.

    `reason` is the reason to stop, empty while requests may start; the functions in `on_stop` are
    called once, when it is set. `held` US dollars are kept for requests at the end.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.usd = 0.0
        self.held = 0.0
        self.sent = 0
        self.reason = ""
        self.on_stop: list[Callable[[], object]] = []
        self._reserved = 0.0
        self._clock = clock
        self._started = clock()

    def start(self, expected_usd: float = 0.0) -> bool:
        """True if one more request may be sent; it then counts as sent, at its expected cost."""
        reason = self._spent(expected_usd)
        if reason:
            self.stop(reason)
        if self.reason:
            return False
        self.sent += 1
        self._reserved += expected_usd
        return True

    def must_wait(self, expected_usd: float) -> bool:
        """True if a request of that cost must wait until requests in flight have shown their real cost."""
        limit = self.budget.usd
        if limit is None or self._reserved <= 0 or self.usd + self.held + expected_usd > limit:
            return False
        return self.usd + self.held + self._reserved + expected_usd > limit

    def settle(self, expected_usd: float, usd: float) -> None:
        """Record that a request that was started at an expected cost has ended and cost `usd`."""
        self._reserved = max(0.0, self._reserved - expected_usd)
        self.usd += usd

    def stop(self, reason: str) -> None:
        """Let no further request start; of several reasons the first is kept, unless one is INTERRUPTED."""
        is_first = not self.reason
        if is_first or reason == INTERRUPTED:
            self.reason = reason
        if is_first:
            for call in self.on_stop:
                call()

    def check_time(self) -> None:
        """Stop if the minutes are used up."""
        minutes = self.budget.minutes
        if minutes is not None and self._clock() - self._started >= minutes * 60:
            self.stop(f"--max-minutes {minutes:g} is used up")

    def seconds_left(self) -> float | None:
        """Seconds until the minutes are used up; None if they are not limited."""
        minutes = self.budget.minutes
        return None if minutes is None else max(0.0, minutes * 60 - (self._clock() - self._started))

    def _spent(self, expected_usd: float) -> str:
        self.check_time()
        usd, requests = self.budget.usd, self.budget.requests
        if usd is not None and self.usd + self.held + expected_usd > usd:
            if self.usd >= usd:
                return f"--max-usd {usd:g} is used up ({self.usd:.4g} spent)"
            return (
                f"--max-usd {usd:g} does not pay for another request "
                f"({self.usd:.4g} spent, a request costs about {expected_usd:.2g})"
            )
        if requests is not None and self.sent >= requests:
            return f"--max-requests {requests} are sent"
        return ""


@contextmanager
def stopped_by_signals(spending: Spending) -> Iterator[None]:
    """Stop spending at the first Ctrl-C, SIGTERM or SIGHUP, so that requests in flight are finished."""
    with on_stop_signal(lambda: spending.stop(INTERRUPTED)):
        yield
