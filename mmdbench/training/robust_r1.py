"""Robust-R1's rewards of reinforcement learning (arXiv 2512.17532, equations 6, 8 and 9), and its code's.

The paper's reward is r_deg + r_len; the published code, which trained the released weights, adds one
for the answer and one for the format. r_deg is `mmdbench.scoring.perception.degradation_reward`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import RewardProfile
from mmdbench.scoring.perception.reward import degradation_reward
from mmdbench.system.bounds import require_at_least

__all__ = [
    "BLOCKS",
    "RobustR1Rewards",
    "answer_reward",
    "block_text",
    "blocks_reward",
    "degradation_reward",
    "length_reward",
    "read_degradations",
]

BLOCKS = ("TYPE", "INFLUENCE", "REASONING", "CONCLUSION", "ANSWER")
"""The blocks of a completion in order, each from `<NAME>` to `<NAME_END>`."""

_STRENGTH = re.compile(r"\(([\d.]+)\)")
_NO_WORD = re.compile(r"[^\w\s]")


@dataclass(frozen=True, slots=True)
class RobustR1Rewards:
    """The rewards of one completion; `accuracy` and `format` are the code's alone."""

    degradation: float
    length: float
    accuracy: float = 0.0
    format: float = 0.0

    def total(self, profile: RewardProfile = "paper") -> float:
        """Their plain sum: r_deg + r_len (`paper`, equation 9), or all four (`code`).

        >>> RobustR1Rewards(degradation=0.8, length=0.9).total()
        1.7
        """
        if profile == "paper":
            return round(self.degradation + self.length, 12)
        if profile == "code":
            return round(self.degradation + self.length + self.accuracy + self.format, 12)
        raise UnknownNameError("profile of rewards", profile, ("paper", "code"))


def block_text(completion: str, name: str) -> str | None:
    """The text of the first block of that name, None if there is none that ends.

    >>> block_text("<ANSWER> 3 <ANSWER_END>", "ANSWER")
    ' 3 '
    """
    _, opened, rest = completion.partition(f"<{name}>")
    text, closed, _ = rest.partition(f"<{name}_END>")
    return text if opened and closed else None


def read_degradations(completion: str) -> tuple[tuple[str, float], ...]:
    """The (type, strength) pairs of a completion's TYPE block, as Robust-R1's code reads them.

    A pair is words, then a number in parentheses with nothing between; everything else is passed over,
    such as a pair with a blank before the parenthesis, or a percentage. Names stay as they are written.
    Raises UsageError for a number like 1.2.3, on which the code stops.

    >>> read_degradations("<TYPE>lens blur(0.47), noise (0.3), jpeg-compression(.5)<TYPE_END>")
    (('lens blur', 0.47), ('compression', 0.5))
    """
    block = block_text(completion, "TYPE") or ""
    pairs = []
    before = 0
    for match in _STRENGTH.finditer(block):
        words = _NO_WORD.split(block[before : match.start()])[-1]
        before = match.end()
        if words.strip() and not words[-1].isspace():
            pairs.append((words.strip(), _number(match[1])))
    return tuple(pairs)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"A strength in a TYPE block must be a number, got {text!r}.") from None


def length_reward(length: float, truth_length: float) -> float:
    """r_len (equation 8): 1 - |length - truth's length| / truth's length; at most 1, without a lower bound.

    Robust-R1's code counts tokens of the model's tokenizer, of the whole completion and of the whole
    solution with the `<answer> … </answer>` that its data loader puts around it.

    Args:
        length: The completion's length, in any unit.
        truth_length: The solution's length, in the same unit.

    Returns:
        The reward.

    Raises:
        UsageError: The solution's length is 0, or one is negative.

    >>> length_reward(90, 100), length_reward(250, 100)
    (0.9, -0.5)
    """
    require_at_least("length", length, 0)
    require_at_least("truth_length", truth_length, 0)
    if not truth_length:
        raise UsageError("r_len is not defined for a solution of length 0.")
    return round(1 - abs(length - truth_length) / truth_length, 12)


def answer_reward(completion: str, solution: str) -> float:
    """The code's accuracy reward: 1 if the ANSWER blocks are equal but for blanks around them, else 0.

    Case matters, and two texts without an ANSWER block are equal.

    >>> answer_reward("<ANSWER>A<ANSWER_END>", "<ANSWER> A <ANSWER_END>"), answer_reward("A", "B")
    (1.0, 1.0)
    """
    ours, theirs = (block_text(text, "ANSWER") for text in (completion, solution))
    return float((ours and ours.strip()) == (theirs and theirs.strip()))


def blocks_reward(completion: str) -> float:
    """The code's format reward: 1 if the five blocks are in the text in order, else 0.

    They may be empty, and anything may stand before, between and after them.
    """
    at = 0
    for mark in (mark for name in BLOCKS for mark in (f"<{name}>", f"<{name}_END>")):
        found = completion.find(mark, at)
        if found < 0:
            return 0.0
        at = found + len(mark)
    return 1.0
