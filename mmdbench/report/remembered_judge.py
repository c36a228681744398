"""The judge of a run as its journal remembers it: every ruling again, and no call to anyone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.rescoring import JUDGE_JOURNAL
from mmdbench.scoring import JsonlJournal, JudgeKey, JudgeReply
from mmdbench.store import read_records

__all__ = ["RememberedJudge", "remembered_judge"]


@dataclass(frozen=True, slots=True)
class RememberedJudge:
    """Judge and journal in one: it finds what was asked before, and answers nothing else."""

    id: str
    journal: JsonlJournal

    def ask(self, prompt: str, *, temperature: float, max_tokens: int, key: JudgeKey) -> JudgeReply:
        """Say that this was never asked."""
        del prompt, temperature, max_tokens
        return JudgeReply(f"attempt {key.attempt} is not in the journal", "error")

    def find(self, key: str) -> Mapping[str, Any] | None:
        """The latest record under a key, if there is one."""
        return self.journal.find(key)

    def add(self, record: Mapping[str, Any]) -> None:
        """Forget it: what nobody said is not written down."""


def remembered_judge(folder: Path) -> RememberedJudge | None:
    """The judge that was asked last about a run; None if none was."""
    path = folder / JUDGE_JOURNAL
    if not path.exists():
        return None
    names = [str(record["judge"]) for record in read_records(path) if "judge" in record]
    return RememberedJudge(names[-1], JsonlJournal(path)) if names else None
