"""The text that goes with the images: the same for every protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdbench.benches.catalog import FAMILIES
from mmdbench.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from mmdbench.records import Question

__all__ = ["build_prompt"]

# The space before the newline belongs to the wording that published numbers were made with.
_CLOSING = "Please select the correct answer from the options above. \n"

_RAW_COLUMN = {
    "cvbench": "prompt",
    "mmvet": "question",
    "perceive": "question",
    "rbench-vqa": "question",
    "rbench-cap": "question",
}


def build_prompt(question: Question, family: str) -> str:
    """The text part of what a model is asked; the images come before it.

    Families plain, circular and mmvp: hint, question, options and a closing sentence, a line
    each; cvbench: the column `prompt` as it is; mmvet, R-Bench's open tasks and perceive: the
    question as it is. Nothing is stripped. Raises UnknownNameError for another family, DataError if
    the column is empty.
    """
    if family in _RAW_COLUMN:
        return _raw(question, _RAW_COLUMN[family], family)
    if family not in FAMILIES:
        raise UnknownNameError("family", family, FAMILIES)
    hint = question.fields.get("hint")
    lines = [] if hint is None else [f"Hint: {hint}\n"]
    lines.append(f"Question: {question.text}\n")
    options = question.options
    if options:
        lines.append("Options:\n")
        lines += [f"{label}. {text}\n" for label, text in options.items()]
        lines.append(_CLOSING)
    return "".join(lines)


def _raw(question: Question, column: str, family: str) -> str:
    if column not in question.fields:
        raise DataError(
            f"{question.bench}, index {question.index}: the column {column!r} is empty or missing.",
            hint=f"The family {family!r} asks its text word for word; name another family if that is wrong.",
        )
    return question.fields[column]
