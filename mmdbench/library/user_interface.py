"""Messages, progress and questions of long work, shown by the command line and by notebooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mmdbench.library.notes import show_note
from mmdbench.library.progress import Bar

__all__ = [
    "Benches",
    "CallbackInterface",
    "Progress",
    "ProgressBar",
    "Shows",
    "UserInterface",
    "interface_of",
]


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of one task of long work: `done` of `total` units, and a note such as the current level."""

    task: str
    done: int
    total: int
    note: str = ""


class ProgressBar(Protocol):
    """The progress of one task."""

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show a new state.

        Args:
            done: Number of finished units.
            total: Number of all units.
            note: Text behind the numbers.
        """
        ...


class UserInterface:
    """Notes and bars on standard error, as a notebook shows them too; questions are answered with no.

    Args:
        quiet: Show no progress. Notes are shown all the same: they limit the numbers of a run.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._noted: set[str] = set()

    def note_once(self, text: str) -> None:
        """Show a message that several models or rounds of one command would repeat."""
        if text not in self._noted:
            self._noted.add(text)
            self.note(text)

    def note(self, text: str) -> None:
        """Show a message."""
        show_note(text)

    def bar(self, task: str, unit: str = "") -> AbstractContextManager[ProgressBar]:
        """The progress of a task as a context manager; `unit` names what its numbers count."""
        return Bar(task, quiet=self.quiet, unit=unit)

    def remark(self, remark: str) -> None:
        """Show a remark on a model card, which has no full stop."""
        self.note(f"mmdbench: {remark}.")

    def judge_usage(self, usage: Mapping[str, Any], role: str = "judge") -> None:
        """Show the calls, tokens and cost of a judge, or of a model with another role."""
        tokens = usage["tokens"]
        self.note(
            f"mmdbench: {role} {usage['judge']}: {usage['requests_sent']} requests, "
            f"{tokens['read']} tokens read, {tokens['written']} written, ${usage['cost_usd']:.4g}"
        )

    def agree(self, question: str) -> bool | None:  # noqa: ARG002
        """The user's answer to a question; None if there is no one to ask."""
        return None


class CallbackInterface(UserInterface):
    """Progress that goes to a function; notes are shown on standard error."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        super().__init__()
        self._on_progress = on_progress

    def bar(self, task: str, unit: str = "") -> AbstractContextManager[ProgressBar]:  # noqa: ARG002
        """The progress of a task; each state is sent to the function."""
        return nullcontext(_Sender(task, self._on_progress))


class _Sender:
    def __init__(self, task: str, on_progress: Callable[[Progress], None]) -> None:
        self._task, self._on_progress = task, on_progress

    def update(self, done: int, total: int, note: str = "") -> None:
        self._on_progress(Progress(self._task, done, total, note))


Benches = str | Path | Sequence[str | Path]
"""Names of benchmarks and paths of TSV files, one or several."""

Shows = bool | UserInterface | Callable[[Progress], None]
"""The argument `progress`: True for bars, False for none, a function for each state, or an interface."""


def interface_of(progress: Shows) -> UserInterface:
    """The interface of the argument `progress`."""
    if isinstance(progress, UserInterface):
        return progress
    return CallbackInterface(progress) if callable(progress) else UserInterface(quiet=not progress)
