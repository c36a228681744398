"""Many questions to a judge at once, whatever grades the rows one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from mmdbench.records import Index
from mmdbench.scoring import Judge, JudgeJournal, JudgeKey, JudgeReply

__all__ = ["judge_ahead"]

T = TypeVar("T")


def judge_ahead(
    grade: Callable[[Judge, JudgeJournal | None], T],
    judge: Judge,
    journal: JudgeJournal | None = None,
    *,
    workers: int = 8,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> T:
    """What `grade(judge, journal)` returns, with the judge's calls made by several threads at once.

    Which call a row needs next depends on the reply before it, so `grade` is carried out once for
    each round with a stand-in that notes those calls; it must do the same every time. Every reply
    is journalled when it comes. `on_progress` gets how many calls were answered, and of how many.
    """
    known: dict[str, JudgeReply] = {}
    asked = 0
    while workers > 1:
        stand_in = _Round(judge.id, journal, known)
        result = grade(stand_in, stand_in)
        if not stand_in.calls:
            if not known:
                return result
            break
        asked += len(stand_in.calls)
        for digest, reply in _ask_all(judge, stand_in, workers, journal):
            known[digest] = reply
            on_progress(len(known), asked)
    return grade(_Remembering(judge, known), journal)


class _Call(NamedTuple):
    """One question to a judge."""

    prompt: str
    temperature: float
    max_tokens: int
    key: JudgeKey


class _Round:
    """Stands in for judge and journal: replies what is known, and notes the next call of each row."""

    def __init__(self, judge_id: str, journal: JudgeJournal | None, known: Mapping[str, JudgeReply]) -> None:
        self.id = judge_id
        self.calls: dict[str, _Call] = {}
        self.records: dict[str, Mapping[str, Any]] = {}
        self._journal = journal
        self._known = known
        self._rows: set[Index] = set()

    def ask(self, prompt: str, *, temperature: float, max_tokens: int, key: JudgeKey) -> JudgeReply:
        if key.digest in self._known:
            return self._known[key.digest]
        if key.index not in self._rows:
            self._rows.add(key.index)
            self.calls[key.digest] = _Call(prompt, temperature, max_tokens, key)
        return JudgeReply("")

    def find(self, key: str) -> Mapping[str, Any] | None:
        return self._journal.find(key) if self._journal else None

    def add(self, record: Mapping[str, Any]) -> None:
        if record["key"] in self.calls:
            self.records[record["key"]] = record


class _Remembering:
    """The judge, which is asked nothing twice: not even what it failed to answer."""

    def __init__(self, judge: Judge, known: Mapping[str, JudgeReply]) -> None:
        self.id = judge.id
        self._judge = judge
        self._known = known

    def ask(self, prompt: str, *, temperature: float, max_tokens: int, key: JudgeKey) -> JudgeReply:
        if key.digest in self._known:
            return self._known[key.digest]
        return self._judge.ask(prompt, temperature=temperature, max_tokens=max_tokens, key=key)


def _ask_all(
    judge: Judge, wanted: _Round, workers: int, journal: JudgeJournal | None
) -> Iterator[tuple[str, JudgeReply]]:
    writing = Lock()

    def ask(digest: str, call: _Call) -> JudgeReply:
        reply = judge.ask(call.prompt, temperature=call.temperature, max_tokens=call.max_tokens, key=call.key)
        # Written down here: whoever waits for replies may be gone when this one comes.
        if journal is not None and reply.status == "ok":
            with writing:
                journal.add({**wanted.records[digest], "status": reply.status, "text": reply.text})
        return reply

    pool = ThreadPoolExecutor(min(workers, len(wanted.calls)), thread_name_prefix="judge")
    try:
        futures = {pool.submit(ask, digest, call): digest for digest, call in wanted.calls.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
