"""What a generated text says: its answer, and whether it asks for a restoration."""

from __future__ import annotations

import re

from mmdbench.records import RESTORE_TAG

__all__ = ["answer_of", "has_answer"]

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def has_answer(text: str) -> bool:
    """Whether the text holds a closed pair of answer tags, on one line or on several."""
    return _ANSWER.search(text) is not None


def answer_of(text: str) -> str:
    """The answer in a generated text, stripped.

    In this order: the first closed pair of answer tags; what follows an unclosed `<answer>`; what
    follows the last `</think>`; the whole text. A stray request for a restoration is deleted.

    >>> answer_of("<think>blurred</think> B")
    'B'
    """
    pair = _ANSWER.search(text)
    if pair:
        found = pair.group(1)
    elif "<answer>" in text:
        found = text.split("<answer>", 1)[1]
    else:
        found = text.rsplit("</think>", 1)[-1]
    return found.replace(RESTORE_TAG, "").strip()
