"""Prompts that several families share: choices line by line, and a column word for word."""

from __future__ import annotations

from collections.abc import Callable

from mmdbench.errors import DataError
from mmdbench.records import Question

__all__ = ["CHOICES_SUMMARY", "choices_prompt", "column_prompt"]

CHOICES_SUMMARY = "hint, question and options, a line each, and a request to choose"

# The space before the newline belongs to the wording that published numbers were made with.
_CLOSING = "Please select the correct answer from the options above. \n"


def choices_prompt(question: Question) -> str:
    """Hint, question, options and a closing sentence, a line each; nothing is stripped."""
    hint = question.fields.get("hint")
    lines = [] if hint is None else [f"Hint: {hint}\n"]
    lines.append(f"Question: {question.text}\n")
    options = question.options
    if options:
        lines.append("Options:\n")
        lines += [f"{label}. {text}\n" for label, text in options.items()]
        lines.append(_CLOSING)
    return "".join(lines)


def column_prompt(column: str) -> Callable[[Question], str]:
    """A prompt that is the text of one column, unchanged; it raises DataError where that is empty."""

    def prompt(question: Question) -> str:
        if column not in question.fields:
            raise DataError(
                f"{question.bench}, index {question.index}: the column {column!r} is empty or missing.",
                hint="The benchmark's family asks this text word for word; is it the right family?",
            )
        return question.fields[column]

    return prompt
