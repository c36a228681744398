"""The judge that scored a run before, as its journal holds it: the same rulings without a call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmdbench.results.judging.journal import JsonlJournal, JudgeJournal, find_reply
from mmdbench.run.folder import JUDGE_HEADS, JUDGE_JOURNAL
from mmdbench.run.manifest import read_manifest
from mmdbench.run.store import read_records
from mmdbench.scoring import JudgeCall, JudgeHeads, JudgeReply, kept_heads

__all__ = ["RememberedJudge", "remembered_judge"]


@dataclass(frozen=True, slots=True)
class RememberedJudge:
    """A judge that answers from the journal of a run, and nothing else.

    `heads` are the words in which it was asked, None where they were not kept.
    """

    id: str
    journal: JudgeJournal
    heads: JudgeHeads | None

    def ask(self, call: JudgeCall) -> JudgeReply:
        """The reply that the journal holds, or an error."""
        known = find_reply(self.journal, call.key(self.id))
        return known or JudgeReply(f"attempt {call.attempt} is not in the journal", "error")


def remembered_judge(folder: Path) -> RememberedJudge | None:
    """The judge that scored a run last; None if none did."""
    path = folder / JUDGE_JOURNAL
    if not path.exists():
        return None
    # A judge that was named again, and whose journal held every reply, left no newer line there.
    name = (read_manifest(folder).get("judge") or {}).get("id")
    names = [name] if name else [str(r["judge"]) for r in read_records(path) if "judge" in r]
    return RememberedJudge(names[-1], JsonlJournal(path), kept_heads(folder / JUDGE_HEADS)) if names else None
