"""The judge of a run as its journal remembers it: every ruling again, and no call to anyone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.run.folder import JUDGE_HEADS, JUDGE_JOURNAL
from mmdbench.run.manifest import read_manifest
from mmdbench.run.store import read_records
from mmdbench.scoring import JsonlJournal, JudgeHeads, JudgeKey, JudgeReply, kept_heads

__all__ = ["RememberedJudge", "remembered_judge"]


@dataclass(frozen=True, slots=True)
class RememberedJudge:
    """Judge and journal in one: it finds what was asked before, and answers nothing else.

    `heads` are the words in which it was asked, None where they were not kept.
    """

    id: str
    journal: JsonlJournal
    heads: JudgeHeads | None

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
    """The judge that scored a run last; None if none did."""
    path = folder / JUDGE_JOURNAL
    if not path.exists():
        return None
    # A judge that was named again, and whose journal held every reply, left no newer line there.
    name = (read_manifest(folder).get("judge") or {}).get("id")
    names = [name] if name else [str(r["judge"]) for r in read_records(path) if "judge" in r]
    return RememberedJudge(names[-1], JsonlJournal(path), kept_heads(folder / JUDGE_HEADS)) if names else None
