"""The JSON that a page's script reads: examples, with what every run replied and the pictures' numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmdbench.report.page.embedded_pictures import EmbeddedPictures
from mmdbench.report.page.examples import Example, GradedReply

__all__ = ["LONGEST", "example_record", "length_that_fits"]

LONGEST = (6000, 2000, 600)
"""Lengths that texts are cut to, in characters: the first with which all examples fit."""

_REASON = 400
_TEXT_BYTES = 8_000_000
_THOUGHTS = ("texts", "thoughts", "reasoning")


def length_that_fits(examples: Sequence[Example]) -> int:
    """The largest of `LONGEST` with which the texts of all examples take at most 8 MB."""
    for longest in LONGEST[:-1]:
        size = sum(len(json.dumps(example_record(e, EmbeddedPictures(), longest))) for e in examples)
        if size <= _TEXT_BYTES:
            return longest
    return LONGEST[-1]


def example_record(example: Example, pictures: EmbeddedPictures, longest: int) -> dict[str, Any]:
    """An example as the page's script reads it.

    Args:
        example: The question under one corruption, with its graded replies.
        pictures: The pictures of the page; the record refers to them by their numbers.
        longest: Texts are cut to this many characters.

    Returns:
        A JSON-able dict. Its keys are short because a page holds thousands of them.
    """
    question = example.question
    record: dict[str, Any] = {
        "b": question.bench,
        "i": question.index,
        "c": example.corruption,
        "k": question.category,
        "q": (question.text or question.fields.get("prompt", ""))[:longest],
        "o": question.options,
        "a": question.answer,
        "g": list(example.rank),
        "s": {cell.level: _level_record(example, cell.level, pictures, longest) for cell in example.cells},
    }
    if question.fields.get("hint"):
        record["m"] = question.fields["hint"][:longest]
    for cell in example.cells:
        if cell in pictures.cells:
            record["s"][cell.level]["p"] = pictures.cells[cell]
        elif cell in pictures.failed:
            record["s"][cell.level]["e"] = _cut(pictures.failed[cell], _REASON)
    return record


def _level_record(example: Example, level: str, pictures: EmbeddedPictures, longest: int) -> dict[str, Any]:
    answers: list[dict[str, Any] | None] = []
    for answer in example.answers[level]:
        record = _answer_record(answer, longest)
        if record is not None and answer.reply is not None and answer.reply.key in pictures.kept:
            record["p"] = pictures.kept[answer.reply.key]
        answers.append(record)
    return {"a": answers}


def _answer_record(answer: GradedReply, longest: int) -> dict[str, Any] | None:
    reply, grade = answer.reply, answer.grade
    if reply is None and grade is None:
        return None
    record: dict[str, Any] = {"s": reply.status if reply else "missing"}
    if reply is not None:
        texts = list(_thoughts(reply.details))
        record["t"] = _cut(reply.text, longest)
        record |= {"why": _cut(reply.reason, longest)} if reply.reason else {}
        record |= {"th": [_cut(text, longest) for text in texts]} if texts else {}
        record |= {"r": reply.details["restorations"]} if "restorations" in reply.details else {}
    if grade is not None:
        record |= {"v": grade.verdict, "h": grade.hit, "x": grade.stage}
        record |= {"y": grade.label} if grade.label else {}
    return record


def _thoughts(details: Mapping[str, Any]) -> Iterator[str]:
    for name in _THOUGHTS:
        value = details.get(name)
        if isinstance(value, str) and value:
            yield value
        elif isinstance(value, list | tuple):
            yield from (str(text) for text in value)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text) - longest} more characters)"
