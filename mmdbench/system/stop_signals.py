"""Signals that ask a process to stop: SIGINT (Ctrl-C), SIGTERM and SIGHUP, which all do the same.

At the first one no further request starts, and those in flight are finished and stored; where there are none,
it raises KeyboardInterrupt. The second one always raises KeyboardInterrupt, and a command that has not ended
two seconds later is ended.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["StopSignals", "end_at_stop_signals", "ignore_stop_signals", "kept_handlers", "on_stop_signal"]

_SECONDS_TO_UNWIND = 2.0
_SECONDS_OF_ONE_STOP = 0.5
"""A closed terminal, `timeout` and systemd send several signals for one stop, within milliseconds."""

_NUMBERS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP
_NOTICE = b"mmdbench: stopping: requests in flight are finished and stored. A second signal ends at once.\n"


class StopSignals:
    """A handler of stop signals, which counts them.

    `stops` are called at the first signal; `is_over` says that no code is left to handle KeyboardInterrupt.

    Args:
        end: Ends the process, a moment after the second signal; None if the process is not ours to end.
        clock: Gives the time in seconds.
    """

    def __init__(
        self, end: Callable[[], object] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stops: list[Callable[[], object]] = []
        self.is_over = False
        self._end = end
        self._clock = clock
        self._received = 0
        self._first = 0.0
        self._terminals = [number for number in (1, 2) if _is_terminal(number)]

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal. Raises KeyboardInterrupt unless requests in flight are waited for."""
        del number, frame
        self._leave_closed_terminal()
        now = self._clock()
        if self._received and now - self._first < _SECONDS_OF_ONE_STOP:
            return
        self._first = self._first if self._received else now
        self._received += 1
        if self.is_over and self._end is not None:
            self._end()
        if self._received == 1 and self.stops:
            self._finish_requests()
            return
        if self._received > 1 and self._end is not None:
            timer = threading.Timer(_SECONDS_TO_UNWIND if self._received == 2 else 0.0, self._end)
            timer.daemon = True  # it also ends the wait for threads when the interpreter exits
            timer.start()
        raise KeyboardInterrupt

    def _finish_requests(self) -> None:
        if self._end is not None:
            with suppress(OSError):
                os.write(2, _NOTICE)  # a print may be under way in the code that was interrupted
        for stop in self.stops:
            stop()

    def _leave_closed_terminal(self) -> None:
        """Drop further output if its terminal was closed: what is still to be stored must not fail for it."""
        for number in self._terminals:
            if not _is_terminal(number):
                with suppress(OSError):
                    nowhere = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(nowhere, number)
                    os.close(nowhere)


@contextmanager
def end_at_stop_signals(end: Callable[[], object]) -> Iterator[None]:
    """Handle stop signals from here to the end of the process, which is a command of its own.

    A signal that is ignored, as SIGHUP is under `nohup`, stays ignored.

    Args:
        end: Ends the process at once.

    Yields:
        Nothing; what the command does is in the block. After it, a signal ends the process at once.
    """
    handler = StopSignals(end)
    for number in _NUMBERS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, handler)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        handler.is_over = True


@contextmanager
def on_stop_signal(stop: Callable[[], object]) -> Iterator[None]:
    """Call a function at the first stop signal, instead of raising KeyboardInterrupt.

    A program that uses the package keeps its own handlers of SIGTERM and SIGHUP.

    Args:
        stop: Lets no further request start.

    Yields:
        Nothing, while the function would be called. Outside the main thread it never is.
    """
    former = {number: signal.getsignal(number) for number in _NUMBERS}
    handler = next((one for one in former.values() if isinstance(one, StopSignals)), None)
    taken: list[int] = []
    if handler is None:
        handler = StopSignals()
        if threading.current_thread() is threading.main_thread():
            taken = [n for n in _NUMBERS if former[n] == signal.SIG_DFL or _raises_interrupt(n)]
    handler.stops.append(stop)
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, former[number])
        handler.stops.remove(stop)


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Put the handlers of stop signals back at the end of the block, within which a library sets its own."""
    former = {number: signal.getsignal(number) for number in _NUMBERS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in former.items():
                if handler is not None:  # None: it was set by other means than Python's
                    signal.signal(number, handler)


def ignore_stop_signals() -> None:
    """Ignore stop signals in a child process: those to a whole group also reach its parent, which ends it."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _raises_interrupt(number: int) -> bool:
    return number == signal.SIGINT and callable(signal.getsignal(number))


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False
