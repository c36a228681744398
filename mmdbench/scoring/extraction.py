"""The answer inside a reply that also holds reasoning."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mmdbench.errors import UnknownNameError
from mmdbench.scoring.letters import undressed
from mmdbench.scoring.thoughts import after_thoughts, thought_start

__all__ = [
    "EXTRACTIONS",
    "extract_answer",
    "extraction_version",
    "is_open_ended",
    "is_truncated",
    "refuses_thoughts",
]

EXTRACTIONS = ("sane", "clear", "none", "lenient")
"""Ways to extract an answer: by our rules, by those of the CLEAR code, not at all, or by ours and in other
dress."""

_VERSIONS = {"sane": 2, "clear": 1, "none": 1, "lenient": 1}
_BY_OUR_RULES = ("sane", "lenient")

# Robust-R1 closes its answer with <ANSWER_END>.
_MARKS = re.compile(r"<answer>|</answer>|<answer_end>", re.IGNORECASE | re.ASCII)
_CONCLUDED = re.compile(r"(?:</CONCLUSION>|<CONCLUSION_END>)\s*\Z")
_AFTER_ANSWER = re.compile(r"(?:\s|<[^<>]{1,40}>|`)*")
_FINAL_ANSWER = "### The final answer is:"


def extract_answer(text: str, *, mode: str = "sane") -> str:
    """The part of a reply that is graded.

    `sane`: the last non-blank `<answer>` block (one that is never closed extends to the end), else
    the text after the last thought that was closed, else everything. `lenient`: the same, with single
    letters in other dress (`$B$`, `(b)`, JSON) made plain. `clear`: the first one-line `<answer>` block,
    else `<CONCLUSION>`, else the text after the last `### The final answer is:`. `none`: the text
    unchanged. Raises UnknownNameError for another mode.

    >>> extract_answer("<think>A or B?</think><answer>B</answer>")
    'B'
    """
    if mode not in _MODES:
        raise UnknownNameError("answer extraction", mode, EXTRACTIONS)
    return _MODES[mode](text)


def extraction_version(mode: str) -> str:
    """A way to extract answers with its version, as in `sane/2`."""
    return f"{mode}/{_VERSIONS[mode]}"


def refuses_thoughts(mode: str) -> bool:
    """True if a reply that ends inside its thought has no answer in that mode: `sane` and `lenient`."""
    return mode in _BY_OUR_RULES


def is_truncated(text: str, *, opened: bool = False, cut: bool = False) -> bool:
    """True if a reply broke off while thinking: a thought is neither closed nor followed by an answer.

    Args:
        text: The reply.
        opened: True if the end of the prompt opened the thought.
        cut: True if the reply met its token limit: an answer whose tag is not closed is then a mention.

    Returns:
        False for a reply that closed its thought, or ends in an answer block.
    """
    start = thought_start(text, opened=opened)
    if start is None or _CONCLUDED.search(text):
        return False
    blocks = _answer_blocks(text)
    if any(block.end <= start for block in blocks):
        return False
    if not blocks:
        return True
    last = blocks[-1]
    return not _AFTER_ANSWER.fullmatch(text, last.end) or (cut and not last.closed)


def is_open_ended(text: str) -> bool:
    """True if nothing in a reply says where its answer begins: no answer block and no closed thought."""
    return not after_thoughts(text) and not _answer_blocks(text)


@dataclass(frozen=True, slots=True)
class _Block:
    text: str
    end: int
    closed: bool


def _answer_blocks(text: str) -> list[_Block]:
    blocks: list[_Block] = []
    start: int | None = None
    for mark in _MARKS.finditer(text):
        if mark[0].lower() == "<answer>":
            start = mark.end()
        elif start is not None:
            blocks.append(_Block(text[start : mark.start()], mark.end(), closed=True))
            start = None
    # A tag that was only mentioned while thinking opens no answer.
    if start is not None and after_thoughts(text) <= start:
        blocks.append(_Block(text[start:], len(text), closed=False))
    return blocks


def _sane(text: str) -> str:
    blocks = _answer_blocks(text)
    if blocks:
        return next((block.text.strip() for block in reversed(blocks) if block.text.strip()), "")
    return text[after_thoughts(text) :].strip()


def _lenient(text: str) -> str:
    return undressed(_sane(text))


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


_MODES: dict[str, Callable[[str], str]] = {"sane": _sane, "clear": _clear, "none": str, "lenient": _lenient}
