"""Progress: plain lines outside of a terminal, colours only where they are wanted."""

from __future__ import annotations

import io
import sys
import types

import pytest

from mmdbench.library import progress
from mmdbench.library.progress import Bar
from mmdbench.library.screen import Screen


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_a_log_gets_a_plain_line_now_and_then_and_the_last_one(clock, capsys):
    with Bar("toy on MMStar") as bar:
        for second in range(1, 601):
            clock.now = float(second)
            bar.update(second, 600, "3 failed" if second > 100 else "")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    # Every ten seconds in the first minute, then a line a minute, and the end.
    assert len(lines) == 5 + 8 + 1
    assert lines[0] == "toy on MMStar: 11 of 600 (1.0/s, 589 s left)"
    assert lines[-1] == "toy on MMStar: 600 of 600 (1.0/s) 3 failed"
    assert "\x1b" not in captured.err


def test_quiet_says_nothing(clock, capsys):
    with Bar("toy", quiet=True) as bar:
        clock.now = 99.0
        bar.update(1, 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("no_colour", [True, False])
def test_a_terminal_gets_a_live_bar_without_colours_where_they_are_not_wanted(monkeypatch, no_colour):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    if no_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    with Bar("toy") as bar:
        bar.update(3, 4, "1 failed")
    shown = screen.getvalue()
    assert "3/4" in shown
    assert "1 failed" in shown
    assert ("\x1b[38;5;" in shown or "\x1b[3" in shown) is not no_colour


def test_a_notebook_with_widgets_shows_a_bar_and_one_without_them_shows_lines(monkeypatch, capsys):
    class ZMQInteractiveShell:
        pass

    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setattr("builtins.get_ipython", ZMQInteractiveShell, raising=False)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    with Bar("work") as bar:
        bar.update(2, 2)
    assert "work: 2 of 2" in capsys.readouterr().err
    drawn = []
    monkeypatch.setattr(progress, "find_spec", lambda name: name)
    monkeypatch.setattr("rich.progress.Progress.start", lambda self: drawn.append(self.console.is_jupyter))
    with Bar("work") as bar:
        bar.update(2, 2)
    assert drawn == [True]
    assert not Screen(file=io.StringIO()).is_jupyter
    assert "2 of 2" not in capsys.readouterr().err


@pytest.mark.parametrize("steps", [0, 1])
def test_an_error_before_the_first_step_leaves_no_empty_bar(monkeypatch, steps):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")

    def work():
        with Bar("toy") as bar:
            for done in range(steps):
                bar.update(done, 9)
            raise ValueError("no key")

    with pytest.raises(ValueError, match="no key"):
        work()
    erased = "\x1b[2K" in screen.getvalue().rpartition("toy")[2]
    assert erased == (steps == 0)
