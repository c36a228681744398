"""The sheet that is graded: a benchmark's rows with their replies, and the totals of their grades."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from mmdbench.errors import DataError, UsageError
from mmdbench.records import BenchData, Index, Question, Reply
from mmdbench.scoring.extraction import extract_answer, is_open_ended, is_truncated, refuses_thoughts
from mmdbench.scoring.protocols import ScoringProtocol
from mmdbench.scoring.thoughts import prompt_opens_thought
from mmdbench.system.unicode_text import readable

__all__ = ["ANSWERED", "CELLS", "OPENS_THOUGHT", "Sheet", "SheetRow", "Totals", "build_sheet", "by_index"]

ANSWERED = ("ok", "refused", "empty", "truncated")
"""Statuses of rows to which the model gave an answer of any kind."""

OPENS_THOUGHT = "opens_thought"
"""The detail of a reply, and the option of a model card, that the prompt's end opened the reply's thought."""

_STATUSES = (*ANSWERED, "error", "missing")
CELLS = ("category", "l2-category", "split", "source", "g_index")


class SheetRow(msgspec.Struct, frozen=True, gc=False):
    """One planned row: the question's texts as they are graded, and the reply.

    `cells` holds category, l2-category, split, source and g_index where the row has them;
    `status` is a reply's status or `missing`. `ending` is `thought` if the reply ends inside its thought,
    `cut` if it met its token limit and nothing in it says where its answer begins, else empty.
    """

    index: Index
    question: str
    options: Mapping[str, str]
    answer: str
    prediction: str
    status: str
    truncated: bool
    cells: Mapping[str, str]
    ending: Literal["", "thought", "cut"] = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """All rows that are scored, the columns that the benchmark has, and the rules."""

    bench: str
    rows: tuple[SheetRow, ...]
    columns: frozenset[str]
    rules: ScoringProtocol

    def by_index(self) -> list[SheetRow]:
        """The rows in the order of their index."""
        return by_index(self.rows)


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of a family's grades: the headline (0..100), the key of its metric, and all tables."""

    headline: float | None
    metric: str
    metrics: Mapping[str, Any]
    flat: list[dict[str, Any]]
    table: Mapping[str, Any]
    group_hits: Mapping[Index, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class _Indexed(Protocol):
    @property
    def index(self) -> Index: ...


R = TypeVar("R", bound=_Indexed)


def by_index(rows: Iterable[R]) -> list[R]:
    """Rows in the order of their index, numbers before texts."""
    return sorted(rows, key=lambda row: (isinstance(row.index, str), row.index))


def build_sheet(
    bench: BenchData, replies: Mapping[Index, Any], rules: ScoringProtocol, extraction: str, *, partial: bool
) -> Sheet:
    """Join questions and replies; a question without a reply is a `missing` row.

    Args:
        bench: The benchmark.
        replies: Texts, or anything with `.text` and `.status`, by the index of their question.
        rules: The scoring rules.
        extraction: The way to extract answers, one of `EXTRACTIONS`.
        partial: Leave out questions without a reply.

    Returns:
        The sheet, in the order of the benchmark.

    Raises:
        DataError: An index is not in the benchmark, or is there twice.
        UsageError: A reply has neither text nor status.
    """
    questions = {question.index: question for question in bench.questions}
    if len(questions) < len(bench.questions):
        raise DataError(f"{bench.name}: an index occurs more than once.", hint="Indices must be unique.")
    unknown = [index for index in replies if index not in questions]
    if unknown:
        raise DataError(
            f"{bench.name}: {len(unknown)} replies belong to no question, the first to index {unknown[0]!r}.",
            hint=f"Indices look like {next(iter(questions), None)!r}. Do these replies belong elsewhere?",
        )
    kept = [q for q in bench.questions if not partial or q.index in replies]
    read = {q.index: _read_reply(bench.name, q.index, replies.get(q.index)) for q in kept}
    opened = prompt_opens_thought(reply.text for reply in read.values() if reply.status == "ok")
    rows = tuple(_row(q, read[q.index], extraction, opened=opened) for q in kept)
    return Sheet(bench.name, rows, _columns(bench), rules)


def _columns(bench: BenchData) -> frozenset[str]:
    # A column of empty cells is still a column, and only the benchmark itself knows of it.
    named = getattr(bench, "columns", ())
    return frozenset(named).union(*(question.fields for question in bench.questions))


@dataclass(frozen=True, slots=True)
class _ReadReply:
    text: str
    status: str
    details: Mapping[str, Any] = field(default_factory=dict)


class _Reading(NamedTuple):
    """A reply's text as read without its question: the fields of `SheetRow` of these names."""

    prediction: str
    truncated: bool
    ending: Literal["", "thought", "cut"]


def _row(question: Question, reply: Any, extraction: str, *, opened: bool) -> SheetRow:
    details = reply.details
    if details and not _TELLING.isdisjoint(details):
        opened = opened or bool(details.get(OPENS_THOUGHT))
        reading = _read(
            reply.text, _whole(reply), reply.status, extraction, opened, bool(details.get("reasoning"))
        )
    else:
        reading = _read_plain(reply.text, reply.status, extraction, opened)
    fields = question.fields
    return SheetRow(
        question.index,
        question.text,
        question.options,
        question.answer,
        reading.prediction,
        reply.status,
        reading.truncated,
        {name: fields[name] for name in CELLS if name in fields},
        reading.ending,
    )


_TELLING = frozenset((OPENS_THOUGHT, "raw", "answer_tag", "reasoning"))
"""Details of a reply that tell how its text is read."""


def _read(text: str, whole: str, status: str, extraction: str, opened: bool, apart: bool) -> _Reading:
    cut = status == "truncated"
    return _Reading(
        extract_answer(text, mode=extraction),
        cut or is_truncated(whole, opened=opened),
        _ending(whole, status, opened, apart) if refuses_thoughts(extraction) else "",
    )


@lru_cache(maxsize=1024)  # half a million replies repeat a few letters
def _read_plain(text: str, status: str, extraction: str, opened: bool) -> _Reading:
    return _read(text, text, status, extraction, opened, False)


def _ending(text: str, status: str, opened: bool, apart: bool) -> Literal["", "thought", "cut"]:
    if status not in ("ok", "truncated"):
        return ""
    cut = status == "truncated"
    if apart:  # the server keeps the thought apart; the text came after it
        return "" if text.strip() else "thought" if cut else ""
    if is_truncated(text, opened=opened, cut=cut):
        return "thought"
    return "cut" if cut and is_open_ended(text) else ""


def _whole(reply: Any) -> str:
    # The text of some local models lacks their tags, which are special tokens; `raw` holds them.
    raw = reply.details.get("raw")
    return raw if isinstance(raw, str) and reply.details.get("answer_tag") == "absent" else reply.text


def _read_reply(bench: str, index: Index, reply: Any) -> Any:
    if reply is None:
        return _ReadReply("", "missing")
    if isinstance(reply, str):
        return _ReadReply(readable(reply)[0], "ok")
    text, status = getattr(reply, "text", None), getattr(reply, "status", None)
    if not isinstance(text, str) or status not in _STATUSES:
        raise UsageError(
            f"{bench}, index {index!r}: a reply of type {type(reply).__name__} with status {status!r}.",
            hint="Give texts, or replies with .text and a .status of " + ", ".join(_STATUSES) + ".",
        )
    if isinstance(reply, Reply) and text.isascii():
        return reply
    return _ReadReply(readable(text)[0], status, getattr(reply, "details", None) or {})
