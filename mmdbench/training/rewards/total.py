"""The weighted sum of CLEAR's rewards, and the advantages of a group of completions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmdbench.errors import UnknownNameError, UsageError

__all__ = ["AdvantageScale", "RewardWeights", "Rewards", "group_advantages", "weighted_sum"]

AdvantageScale = Literal["population", "sample", "none"]
_SCALES = ("population", "sample", "none")
_EPSILON = 1e-4
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class RewardWeights:
    """The weights of the rewards, by default CLEAR's (section 4.1), the same in paper and code."""

    accuracy: float = 0.75
    format: float = 0.10
    decision: float = 0.15
    latent: float = 0.0


@dataclass(frozen=True, slots=True)
class Rewards:
    """The rewards of one completion; NaN for one that could not be computed."""

    accuracy: float
    format: float
    decision: float
    latent: float = 0.0


def weighted_sum(rewards: Rewards, weights: RewardWeights = RewardWeights()) -> float:
    """The reward of a completion (CLEAR, equation 5), from -0.15 to 1 with the default weights.

    A reward that is NaN counts as 0, as in CLEAR's code.

    >>> weighted_sum(Rewards(accuracy=0.9, format=1.0, decision=1.0))
    0.925
    """
    parts = (
        weights.accuracy * rewards.accuracy,
        weights.format * rewards.format,
        weights.decision * rewards.decision,
        weights.latent * rewards.latent,
    )
    return round(math.fsum(part for part in parts if not math.isnan(part)), 12)


def group_advantages(rewards: Sequence[float], scale: AdvantageScale = "population") -> tuple[float, ...]:
    """The advantages of the completions of one prompt (CLEAR, equation 6): (reward - mean) / deviation.

    All are 0 if all rewards are equal, but for rounding.

    Args:
        rewards: The rewards of the completions of one prompt.
        scale: The deviation: `population` (Robust-R1, equations 10 and 11; CLEAR's equation 6 does not
            say which), `sample` plus 0.0001 (TRL, and Robust-R1's code), or `none`: no division (CLEAR's
            code).

    Returns:
        The advantages, in order.

    Raises:
        UsageError: A reward is not a finite number.
        UnknownNameError: There is no such scale.

    >>> group_advantages([1, 0]), group_advantages([1, 0], "none"), group_advantages([0.6, 0.6])
    ((1.0, -1.0), (0.5, -0.5), (0.0, 0.0))
    """
    if scale not in _SCALES:
        raise UnknownNameError("scale of advantages", scale, _SCALES)
    for reward in rewards:
        if not math.isfinite(reward):
            raise UsageError(f"The rewards of a group must be finite numbers, got {reward!r}.")
    # Sums that differ by rounding alone are equal; divided by their deviation they would be worth 1.
    if all(math.isclose(reward, rewards[0], rel_tol=_ROUNDING, abs_tol=_ROUNDING) for reward in rewards):
        return (0.0,) * len(rewards)
    mean = math.fsum(rewards) / len(rewards)
    residuals = [reward - mean for reward in rewards]
    squares = math.fsum(residual**2 for residual in residuals)
    if scale == "none":
        divisor = 1.0
    elif scale == "population":
        divisor = math.sqrt(squares / len(rewards))
    else:
        divisor = math.sqrt(squares / (len(rewards) - 1)) + _EPSILON
    return tuple(residual / divisor for residual in residuals)
