"""Kinds of questions that a geometric corruption leaves without an answer, told by their words.

A stanza's `loses` names the kinds. Such a question is never asked under that corruption, and a run counts it.

>>> lost_kind(["left_right", "counting"], ["Is the cup to the left of the plate?", "Yes", "No"])
'left_right'
>>> lost_kind(["left_right", "counting"], ["Is any coffee left?", "Yes", "No"])
''
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["LOST_ANSWERS", "excluded_text", "lost_kind"]

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


def lost_kind(kinds: Iterable[str], texts: Sequence[str]) -> str:
    """The first of these kinds that a question is of, by its text or an option's; empty if it is of none."""
    return next((kind for kind in kinds if any(map(LOST_ANSWERS[kind].search, texts))), "")


def excluded_text(counts: Mapping[str, Mapping[str, int]]) -> str:
    """A sentence with the numbers of rows not asked, by corruption and kind; empty if there are none."""
    found = [
        f"{name} {', '.join(f'{number} ({kind})' for kind, number in kinds.items())}"
        for name, kinds in counts.items()
    ]
    what = "Rows that are not asked because the corruption takes their answer"
    return f"{what}: {'; '.join(found)}." if found else ""
