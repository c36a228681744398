"""Kinds of questions that a geometric corruption leaves without an answer, told by their words.

A stanza's `loses` names the kinds. Such a question is never asked under that corruption, and a run counts it.

>>> loses_answer(["left_right"], ["Is the cup to the left of the plate?"])
True
>>> loses_answer(["left_right"], ["How much coffee is left?"])
False
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["LOST_ANSWERS", "loses_answer"]

LOST_ANSWERS: Mapping[str, re.Pattern[str]] = {
    "left_right": re.compile(
        r"\b(?:(?:on|to|at|from|in)\s+(?:(?:the|its|his|her|their|your|my)\s+)?(?:left|right)"
        r"|(?:left|right)(?:[- ]?most|[- ](?:side|hand|half|part|edge|corner|of)|ward|wards)"
        r"|(?:upper|lower|top|bottom)[- ](?:left|right)"
        r"|(?:left|right)\s+or\s+(?:the\s+)?(?:left|right)|(?:clockwise|counterclockwise))\b"
        r"|^\W*(?:left|right)\W*$",
        re.IGNORECASE,
    ),
    "counting": re.compile(
        r"\b(?:how\s+many|(?:the\s+)?number\s+of|count(?:ing)?\s+(?:the|all|how))\b", re.IGNORECASE
    ),
}
"""The kinds: sides (left, right), which a turn moves; and numbers of things, which a border cuts off."""


def loses_answer(kinds: Iterable[str], texts: Iterable[str]) -> bool:
    """True if the text of a question or of one of its options is of one of these kinds."""
    patterns = [LOST_ANSWERS[kind] for kind in kinds]
    return any(pattern.search(text) for text in texts for pattern in patterns)
