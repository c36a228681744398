"""Concurrent calls to a judge for code that grades its rows one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from mmdbench.errors import StoreError
from mmdbench.records import Index
from mmdbench.results.judging.journal import JournalledJudge, JudgeJournal, find_reply
from mmdbench.scoring import Judge, JudgeCall, JudgeReply

__all__ = ["grade_with_judge"]

T = TypeVar("T")


def grade_with_judge(
    grade: Callable[[Judge], T],
    judge: Judge,
    journal: JudgeJournal | None = None,
    *,
    workers: int = 8,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> T:
    """Grade with a judge whose calls are made by several threads at once, and never twice.

    The next call about a row depends on the reply before it, so `grade` is repeated: each round
    collects the next call of every row, until no call is left.

    Args:
        grade: Grades all rows with the judge that it gets; it must make the same calls every time.
        judge: The judge to ask.
        journal: Replies of earlier runs; a call that it answers is not made. Each new reply is added
            as soon as it comes. None: replies are forgotten afterwards.
        workers: The most calls at once; with 1 they are made in the order of the rows, in one round.
        on_progress: Gets the number of calls that were answered and of those made so far.

    Returns:
        The result of the last round.

    Raises:
        ModelError: The judge cannot be asked. Replies of calls in flight are still in the journal.
        StoreError: The journal cannot be written. Replies in flight are stored as far as they fit.
    """
    journalled = JournalledJudge(judge, journal)
    if workers <= 1:
        return grade(journalled)
    replies: dict[str, JudgeReply] = {}
    made = 0
    while True:
        collector = _Collector(judge.id, journal, replies)
        result = grade(collector)
        if not collector.calls:
            return result
        made += len(collector.calls)
        for key, reply in _ask_all(journalled, collector.calls, workers):
            replies[key] = reply
            on_progress(len(replies), made)


class _Collector:
    """A judge that answers from the known replies, and collects the first unanswered call of each row."""

    def __init__(
        self, judge_id: str, journal: JudgeJournal | None, replies: Mapping[str, JudgeReply]
    ) -> None:
        self.id = judge_id
        self.calls: dict[str, JudgeCall] = {}
        self._journal = journal
        self._replies = replies
        self._rows: set[tuple[str, Index]] = set()

    def ask(self, call: JudgeCall) -> JudgeReply:
        key = call.key(self.id)
        known = self._replies.get(key)
        if known is None and self._journal is not None:
            known = find_reply(self._journal, key)
        if known is not None:
            return known
        row = (call.bench, call.index)
        if row not in self._rows:
            self._rows.add(row)
            self.calls.setdefault(key, call)
        return JudgeReply("")


def _ask_all(judge: Judge, calls: Mapping[str, JudgeCall], workers: int) -> Iterator[tuple[str, JudgeReply]]:
    pool = ThreadPoolExecutor(max(1, min(workers, len(calls))), thread_name_prefix="judge")
    try:
        keys = {pool.submit(judge.ask, call): key for key, call in calls.items()}
        for future in as_completed(keys):
            yield keys[future], future.result()
    except StoreError as error:
        pool.shutdown(wait=True, cancel_futures=True)
        ended = [future for future in keys if not future.cancelled()]
        lost = sum(isinstance(future.exception(), StoreError) for future in ended)
        what = f"{lost} of the judge's replies could not be stored, all others are."
        raise StoreError(f"{error.message} {what}", hint=error.hint) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
