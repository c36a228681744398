"""Progress of long work: a live bar on a terminal and in a notebook, a line from time to time elsewhere."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from types import TracebackType

from mmdbench.library.notes import show_note

__all__ = ["Bar"]

_EARLY_PAUSE_SECONDS, _LATE_PAUSE_SECONDS = 10.0, 60.0
"""Pauses between lines, in seconds: during the first minute, and later."""


class Bar:
    """Progress of one task on standard error; a context manager.

    Args:
        what: Name of the task, before the numbers.
        quiet: Write nothing.
        unit: Unit of the counts, for example `questions`.
    """

    def __init__(self, what: str, *, quiet: bool = False, unit: str = "") -> None:
        self._what = what
        self._unit = f" {unit}" if unit else ""
        self._quiet = quiet
        self._live = not quiet and (sys.stderr.isatty() or _in_notebook())
        self._started = time.monotonic()
        self._printed = self._started

    def __enter__(self) -> Bar:
        if self._live:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            from mmdbench.library.screen import Screen

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}", markup=False),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=Screen(stderr=True),
            )
            self._bar.start()
            self._updated = False
            self._task = self._bar.add_task(self._what, total=None, rate="", note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            # An error before the first step leaves no empty bar above its message.
            self._bar.live.transient = kind is not None and not self._updated
            self._bar.stop()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show a new state.

        Args:
            done: Number of finished units.
            total: Number of all units.
            note: Text behind the numbers.
        """
        seconds = time.monotonic() - self._started
        rate = f"{done / seconds:.1f}{self._unit}/s" if done and seconds > 0 else ""
        if self._live:
            self._updated = True
            self._bar.update(self._task, completed=done, total=total, rate=rate, note=note)
        elif not self._quiet and (done == total or self._is_due(seconds)):
            self._printed = time.monotonic()
            left = f", {seconds / done * (total - done):.0f} s left" if 0 < done < total else ""
            show_note(
                f"{self._what}: {done} of {total}{self._unit} ({rate or '–'}{left}) {note}".rstrip(),
            )

    def _is_due(self, seconds: float) -> bool:
        # The log of a long run stays readable with a line a minute.
        pause = _EARLY_PAUSE_SECONDS if seconds <= _LATE_PAUSE_SECONDS else _LATE_PAUSE_SECONDS
        return time.monotonic() - self._printed > pause


def _in_notebook() -> bool:
    """True in a notebook that can show a bar: rich draws it with ipywidgets."""
    if "IPython" not in sys.modules or find_spec("ipywidgets") is None:
        return False
    from mmdbench.library.screen import Screen

    return Screen(stderr=True).is_jupyter
