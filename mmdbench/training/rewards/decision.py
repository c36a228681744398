"""R_dec, the reward for the decision to restore or not, judged from the outcome (CLEAR, table 15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mmdbench.errors import UnknownNameError

__all__ = ["DECISIONS", "DecisionMatrix", "decision_reward", "is_correct"]

DecisionMatrix = Literal["paper", "code", "code-smooth"]

DECISIONS: Mapping[str, Mapping[tuple[bool, bool], float]] = {
    "paper": {(True, True): 1.0, (False, True): 0.0, (True, False): 0.0, (False, False): -1.0},
    "code": {(True, True): 1.0, (False, True): 0.6, (True, False): 0.4, (False, False): -0.2},
    "code-smooth": {(True, True): 1.0, (False, True): 0.5, (True, False): 0.5, (False, False): -0.2},
}
"""R_dec by (restored, correct): CLEAR's table 15, its code's launch script, and the code's default."""


def is_correct(accuracy: float | None) -> bool:
    """True if an accuracy reward is above 0.5, the rule for R_dec; a missing one is not.

    >>> is_correct(0.51), is_correct(0.5), is_correct(None)
    (True, False, False)
    """
    return accuracy is not None and accuracy > 0.5


def decision_reward(restored: bool, correct: bool, matrix: DecisionMatrix = "paper") -> float:
    """The reward of the decision to restore the picture or not, by what came of it.

    Args:
        restored: True if the completion asked for a restoration (`is_restored`).
        correct: True if its answer is right (`is_correct`).
        matrix: `paper` (CLEAR, table 15), `code` or `code-smooth`.

    Returns:
        The reward, from -1 to 1.

    Raises:
        UnknownNameError: There is no such matrix.

    >>> decision_reward(True, True), decision_reward(False, False), decision_reward(False, False, "code")
    (1.0, -1.0, -0.2)
    """
    if matrix not in DECISIONS:
        raise UnknownNameError("matrix of decision rewards", matrix, DECISIONS)
    return DECISIONS[matrix][bool(restored), bool(correct)]
