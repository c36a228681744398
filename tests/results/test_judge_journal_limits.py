"""A judge's journal that cannot be written, or is removed, while the judge is asked."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

import pytest

from file_limits import limited
from mmdbench.errors import StoreError
from mmdbench.results.judging.ask import grade_with_judge
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.scoring import JudgeCall, JudgeReply


def record(key: str, text: str = "A") -> dict[str, str]:
    return {"key": key, "judge": "j", "status": "ok", "text": text}


def keys(path: Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_text().splitlines()]


def test_a_record_that_does_not_fit_spoils_no_other(tmp_path: Path) -> None:
    journal = JsonlJournal(tmp_path / "judge.jsonl")
    journal.add(record("a"))
    with limited(most=journal.path.stat().st_size + 300):
        with pytest.raises(StoreError, match=r"Cannot write .*judge\.jsonl: File too large"):
            journal.add(record("b", "long" * 300))
        journal.add(record("c"))
    again = JsonlJournal(journal.path)
    assert again.find("a")
    assert again.find("c")
    assert not again.find("b")


def test_a_journal_that_is_removed_is_written_again_with_all_that_it_held(tmp_path: Path) -> None:
    journal = JsonlJournal(tmp_path / "run" / "judge.jsonl")
    journal.add(record("a"))
    journal.path.unlink()
    journal.path.parent.rmdir()
    journal.add(record("b"))
    assert keys(journal.path) == ["a", "b"]


class FillsDisk:
    """A judge that fills the disk with its third reply, and answers a long text from then on."""

    id = "j"

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path, self.stack, self.lock, self.asked = path, stack, Lock(), 0

    def ask(self, call: JudgeCall) -> JudgeReply:
        with self.lock:
            self.asked += 1
            if self.asked == 3:
                self.stack.enter_context(limited(most=self.path.stat().st_size + 600))
            return JudgeReply("A" if self.asked < 3 else "long " * 200)


def test_judging_stops_when_the_journal_is_full_and_counts_what_is_lost(tmp_path: Path) -> None:
    calls = [JudgeCall("toy", row, "p/1", "head/1", "which?", 1, 0.0, 8, (row,)) for row in range(2000)]
    journal, stack = JsonlJournal(tmp_path / "judge.jsonl"), ExitStack()
    journal.add(record("a"))
    judge = FillsDisk(journal.path, stack)
    with (
        stack,
        pytest.raises(StoreError, match=r"File too large.* could not be stored, all others are") as full,
    ):
        grade_with_judge(lambda asked: [asked.ask(call) for call in calls], judge, journal, workers=2)
    stored = len(keys(journal.path)) - 1
    assert judge.asked < 2000
    assert f" {judge.asked - stored} of the judge's replies could not be stored" in str(full.value)
