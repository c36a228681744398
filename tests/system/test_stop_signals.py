"""Ctrl-C, SIGTERM and SIGHUP: the first stops, the second ends, several at once are one."""

from __future__ import annotations

import os
import pty
import signal
import sys
import threading

import pytest

from mmdbench.run.budget import INTERRUPTED, Budget, Spending, stopped_by_signals
from mmdbench.system.stop_signals import StopSignals, end_at_stop_signals, kept_handlers, on_stop_signal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")
ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("number", ALL)
def test_the_first_signal_stops_and_the_second_interrupts(number):
    stopped, clock, ended = [], Clock(), threading.Event()
    handler = StopSignals(ended.set, clock)
    handler.stops.append(lambda: stopped.append(1))
    handler(number, None)
    clock.now += 0.4
    handler(number, None)  # as `timeout` and closed terminals send them: still the same stop
    assert stopped == [1]
    for _ in range(2):
        clock.now += 1
        with pytest.raises(KeyboardInterrupt):
            handler(number, None)
    assert ended.wait(5), "a third signal waits for nothing"
    assert stopped == [1]


def test_without_requests_in_flight_the_first_signal_interrupts():
    with pytest.raises(KeyboardInterrupt):
        StopSignals()(signal.SIGTERM, None)


@pytest.fixture
def handlers():
    former = {number: signal.getsignal(number) for number in ALL}
    yield former
    for number, handler in former.items():
        signal.signal(number, handler)


def test_a_library_call_is_stopped_by_each_signal_and_gives_the_handlers_back(handlers):
    for number in ALL:
        spending = Spending(Budget())
        spending.stop("--max-usd 1 is used up")
        with stopped_by_signals(spending):
            signal.raise_signal(number)
        assert spending.reason == INTERRUPTED
    assert {number: signal.getsignal(number) for number in ALL} == handlers


def test_every_part_that_asks_is_stopped_together():
    stopped = []
    with on_stop_signal(lambda: stopped.append("judge")), on_stop_signal(lambda: stopped.append("writer")):
        signal.raise_signal(signal.SIGINT)
    assert stopped == ["judge", "writer"]


def test_a_signal_that_is_ignored_or_handled_by_another_program_stays_so(handlers):
    heard = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    signal.signal(signal.SIGTERM, lambda *_: heard.append("theirs"))
    for begin in (end_at_stop_signals, on_stop_signal):
        with begin(os.abort):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        signal.signal(signal.SIGINT, handlers[signal.SIGINT])
    assert heard == ["theirs", "theirs"]


def test_a_signal_after_the_command_ends_the_process_and_interrupts_nothing(handlers):
    ended = []
    with end_at_stop_signals(lambda: ended.append(1) or sys.exit(130)), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with end_at_stop_signals(lambda: ended.append(2) or sys.exit(130)):
        pass
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    assert ended == [2]


def test_a_library_that_sets_its_own_handlers_does_not_keep_them(handlers):
    with kept_handlers():
        signal.signal(signal.SIGTERM, lambda *_: None)
    assert signal.getsignal(signal.SIGTERM) == handlers[signal.SIGTERM]


def test_output_to_a_closed_terminal_does_not_fail():
    ours, theirs = pty.openpty()
    kept = [os.dup(1), os.dup(2)]
    try:
        os.dup2(theirs, 1)
        os.dup2(theirs, 2)
        handler = StopSignals(lambda: None)
        handler.stops.append(lambda: None)
        os.close(ours)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(2, b"to a terminal that is gone")
        handler(signal.SIGHUP, None)
        assert os.write(1, b"nowhere") == os.write(2, b"nowhere") == 7
    finally:
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)
        os.close(theirs)
