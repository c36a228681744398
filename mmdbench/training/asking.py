"""Samples that are made by several threads at once, in order, and the replies that they depend on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from mmdbench.records import Cell
from mmdbench.scoring import Judge, JudgeCall, extract_answer, infer_option
from mmdbench.system.json_text import parse_json
from mmdbench.training.prompts import CONSISTENCY_ID, consistency_prompt

__all__ = ["AskedQuestion", "ask", "in_order", "is_consistent", "is_right", "read_consistent"]

R = TypeVar("R")
T = TypeVar("T")

_AHEAD = 4
_MAX_TOKENS = 128


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question to a model about a sample: its cell, text, right answer, and options by label."""

    cell: Cell
    question: str
    truth: str
    options: dict[str, str]


def in_order(make: Callable[[T], R], items: Iterable[T], workers: int = 16) -> Iterator[R]:
    """The results for all items, in their order; `workers` are made at once.

    Items are taken shortly before they are needed. If one fails, those that have begun are finished, so
    that every reply that was paid for reaches the journal.

    Args:
        make: Makes one result.
        items: The items.
        workers: The number of threads.

    Yields:
        The results.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="samples")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def ask(judge: Judge, call: JudgeCall) -> str | None:
    """The text of a judge's reply; None if it gave none."""
    reply = judge.ask(call)
    return reply.text if reply.status == "ok" and reply.text.strip() else None


def is_right(task: AskedQuestion, text: str, judge: Judge | None) -> bool:
    """True if the answer of a trace is the right one: by the option or the words, or else by a judge.

    Args:
        task: The question and its right answer.
        text: The trace.
        judge: Compares an answer in other words; without one it is wrong.

    Returns:
        True or False.
    """
    answer = extract_answer(text)
    if task.options:
        return infer_option(answer, task.options, protocol="clear/1") == task.truth
    if answer.casefold().strip(" .") == task.truth.casefold().strip(" ."):
        return True
    return judge is not None and is_consistent(judge, task, answer) is True


def is_consistent(judge: Judge, task: AskedQuestion, answer: str) -> bool | None:
    """A judge's verdict on an answer.

    Args:
        judge: The judge, asked once at temperature 0.
        task: The question and its right answer.
        answer: The answer; a blank one is inconsistent without a call.

    Returns:
        True or False; None if the judge gave no verdict.
    """
    if not answer.strip():
        return False
    call = JudgeCall(
        bench=task.cell.bench,
        index=task.cell.index,
        protocol="traces/2",
        prompt_id=CONSISTENCY_ID,
        prompt=consistency_prompt(task.question, task.truth, answer),
        attempt=1,
        temperature=0.0,
        max_tokens=_MAX_TOKENS,
    )
    text = ask(judge, call)
    return None if text is None else read_consistent(text)


def read_consistent(text: str) -> bool | None:
    """The verdict in a judge's JSON, alone or in a fence of code; None for anything else.

    >>> read_consistent('{"consistent": true}'), read_consistent("yes")
    (True, None)
    """
    body = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        found = parse_json(body)
    except ValueError:
        return None
    verdict = found.get("consistent") if isinstance(found, dict) else None
    return verdict if isinstance(verdict, bool) else None
