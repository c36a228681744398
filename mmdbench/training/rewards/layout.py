"""R_fmt, the reward for a completion's format (CLEAR, arXiv 2604.04780, appendix I.2)."""

from __future__ import annotations

import re

from mmdbench.errors import UnknownNameError
from mmdbench.records import RESTORE_TAG, RewardProfile
from mmdbench.training.rewards.completion import Completion, completion_text

__all__ = ["format_reward"]

_TAG = re.compile(f"(</?think>|</?answer>|{RESTORE_TAG})")
_THINK, _ANSWER = ["<think>", "</think>"], ["<answer>", "</answer>"]
_PATTERNS = ([*_THINK, *_ANSWER], [*_THINK, RESTORE_TAG, *_THINK, *_ANSWER])


def format_reward(completion: Completion, profile: RewardProfile = "paper") -> float:
    """The format reward of a completion, one string or its pieces.

    `paper` (appendix I.2): 1 if it is exactly a thought and an answer, or a thought, the tag for a
    restoration, a thought and an answer, with nothing but blanks between them; else 0. `code`: 0.35 for
    a `<think>` block with a character in it, 0.35 for such an `<answer>` block, and 0.3 if the first
    `</think>` is not at the very start and the first `<answer>` is after it. Raises UnknownNameError
    for another profile.

    >>> format_reward(["<think>too dark</think><image_restore>", "<think>a cup</think><answer>B</answer>"])
    1.0
    >>> format_reward("<answer>B</answer>"), format_reward("<answer>B</answer>", "code")
    (0.0, 0.35)
    """
    text = completion_text(completion)
    if profile == "paper":
        return float(_follows_a_pattern(text))
    if profile == "code":
        return _graded(text)
    raise UnknownNameError("profile of rewards", profile, ("paper", "code"))


def _follows_a_pattern(text: str) -> bool:
    outside_and_tags = _TAG.split(text)
    tags, texts = outside_and_tags[1::2], outside_and_tags[::2]
    if tags not in _PATTERNS:
        return False
    # A text is inside a block if an opening tag stands before it.
    inside = [False, *(tag in ("<think>", "<answer>") for tag in tags)]
    return all(bool(text.strip()) == block for text, block in zip(texts, inside, strict=True))


def _graded(text: str) -> float:
    # Hundredths, so that 0.35 + 0.35 + 0.3 is 1.
    score = 35 * _has_block(text, "think") + 35 * _has_block(text, "answer")
    closed = text.find("</think>")
    if closed > 0 and text.find("<answer>") > closed:
        score += 30
    return score / 100


def _has_block(text: str, name: str) -> bool:
    start = text.find(f"<{name}>")
    return start >= 0 and text.find(f"</{name}>", start + len(name) + 3) >= 0
