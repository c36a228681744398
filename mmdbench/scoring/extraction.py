"""The answer inside a reply that also holds reasoning."""

from __future__ import annotations

import re
from collections.abc import Callable

from mmdbench.errors import UnknownNameError

__all__ = ["EXTRACTIONS", "extract_answer", "is_truncated"]

EXTRACTIONS = ("sane", "clear", "none")
"""Ways to extract an answer: by our rules, by those of the CLEAR code, or not at all."""

_MARKS = re.compile(r"<answer>|</answer>|</think>", re.IGNORECASE | re.ASCII)
_THINK = re.compile(r"<(/?)think>", re.IGNORECASE | re.ASCII)
_FINAL_ANSWER = "### The final answer is:"


def extract_answer(text: str, *, mode: str = "sane") -> str:
    """The part of a reply that is graded.

    `sane`: the last non-blank `<answer>` block (one that is never closed extends to the end), else
    the text after the last `</think>`, else everything. `clear`: the first one-line `<answer>` block,
    else `<CONCLUSION>`, else the text after the last `### The final answer is:`. `none`: the text
    unchanged. Raises UnknownNameError for another mode.

    >>> extract_answer("<think>A or B?</think><answer>B</answer>")
    'B'
    """
    if mode not in _MODES:
        raise UnknownNameError("answer extraction", mode, EXTRACTIONS)
    return _MODES[mode](text)


def is_truncated(text: str) -> bool:
    """True if a reply broke off while thinking: it opens `<think>`, and neither closes it nor answers."""
    closings = [mark[1] for mark in _THINK.finditer(text)]
    if not closings or closings[-1] == "/":
        return False
    return not _answer_blocks(text)


def _answer_blocks(text: str) -> list[str]:
    blocks: list[str] = []
    start: int | None = None
    thought_ended = False
    for mark in _MARKS.finditer(text):
        tag = mark[0].lower()
        if tag == "<answer>":
            start, thought_ended = mark.end(), False
        elif tag == "</think>":
            thought_ended = True
        elif start is not None:
            blocks.append(text[start : mark.start()])
            start = None
    # A tag that was only mentioned while thinking opens no answer.
    if start is not None and not thought_ended:
        blocks.append(text[start:])
    return blocks


def _sane(text: str) -> str:
    blocks = _answer_blocks(text)
    if blocks:
        return next((block.strip() for block in reversed(blocks) if block.strip()), "")
    ends = [mark.end() for mark in _THINK.finditer(text) if mark[1]]
    return text[ends[-1] if ends else 0 :].strip()


def _clear(text: str) -> str:
    for tag in ("answer", "CONCLUSION"):
        if f"<{tag}>" in text and f"</{tag}>" in text:
            # The dot stops at a newline on purpose, and a failed match falls back to the whole text.
            match = re.search(f"<{tag}>(.*?)</{tag}>", text)
            return (match[1] if match else text).strip()
    return text.rpartition(_FINAL_ANSWER)[2].strip()


def clear_bagel_text(text: str) -> str:
    """The text that the CLEAR code grades for BAGEL in text mode: the first block, or nothing."""
    match = re.search(r"<answer>(.*?)</answer>", text, re.DOTALL)
    return _clear(match[1]) if match else ""


_MODES: dict[str, Callable[[str], str]] = {"sane": _sane, "clear": _clear, "none": str}
