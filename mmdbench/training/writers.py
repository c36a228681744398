"""The models that write and check training data, with journals in the set's folder and recorded cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mmdbench.errors import IncompleteError
from mmdbench.results.judging.journal import JournalledJudge
from mmdbench.results.judging.open import JudgeOptions, open_judge, open_judging
from mmdbench.scoring import Judge

__all__ = ["CONSISTENCY_JOURNAL", "TRACE_JOURNAL", "Writers"]

TRACE_JOURNAL = "trace_journal.jsonl"
"""Every call to the writer or agent, with its reply."""

CONSISTENCY_JOURNAL = "consistency_journal.jsonl"
"""Every call about an answer's consistency, with its reply."""


@dataclass(frozen=True, slots=True)
class Writers:
    """The judge of answers, and the writer of traces (or the agent); each may be missing."""

    judge: JudgeOptions | None = None
    writer: JudgeOptions | None = None

    def check(self) -> None:
        """Raise the error of a model that cannot be opened; nothing is sent."""
        for options in filter(None, (self.judge, self.writer)):
            open_judge(options.name, options.cards).close()

    def require_keys(self) -> None:
        """Raise ModelError if the key of one is missing; nothing is sent."""
        for options in filter(None, (self.judge, self.writer)):
            open_judge(options.name, options.cards).check()

    def after(self, spent: float) -> Writers:
        """The same models, with what is left of their budgets in US dollars. Raises IncompleteError for 0."""
        models = [o and _with_rest(o, spent) for o in (self.judge, self.writer)]
        return Writers(*models)

    @contextmanager
    def opened(self, folder: Path) -> Iterator[tuple[Judge | None, Judge | None]]:
        """Judge and writer, which answer from the journals in a folder what they answered before.

        Their cost is added to the folder's manifest on exit: hold its lock.
        """
        with (
            open_judging(self.judge, folder / CONSISTENCY_JOURNAL, folder) as judging,
            open_judging(self.writer, folder / TRACE_JOURNAL, folder) as writing,
        ):
            judge, writer = (
                None if opened is None else JournalledJudge(opened.judge, opened.journal)
                for opened in (judging, writing)
            )
            yield judge, writer


def _with_rest(options: JudgeOptions, spent: float) -> JudgeOptions:
    if options.max_usd is None:
        return options
    if spent >= options.max_usd:
        raise IncompleteError(
            f"--max-usd {options.max_usd:g} is used up before {options.name} was asked.",
            hint="Every reply so far is kept; run the same command again, with more to spend.",
        )
    return replace(options, max_usd=options.max_usd - spent)
