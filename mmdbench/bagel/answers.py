"""Reads the answer out of a generated text."""

from __future__ import annotations

import re

from mmdbench.records import RESTORE_TAG

__all__ = ["answer_of", "has_answer"]

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def has_answer(text: str) -> bool:
    """True if the text has a closed pair of answer tags, on one line or on several."""
    return _ANSWER.search(text) is not None


def answer_of(text: str) -> str:
    """The answer in a generated text, stripped.

    The first of these that there is: a closed pair of answer tags; the text after an unclosed
    `<answer>`; the text after the last `</think>`; the whole text. Requests for a restoration are
    removed from it.

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
