"""Robust-R1's rewards as functions that TRL calls with a batch of completions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mmdbench.errors import UsageError
from mmdbench.records import RewardProfile
from mmdbench.training.robust.profiles import ChainGrpoProfile
from mmdbench.training.robust_r1 import (
    answer_reward,
    blocks_reward,
    degradation_reward,
    length_reward,
    read_degradations,
)

__all__ = ["RewardFunction", "reward_functions"]

RewardFunction = Callable[..., list[float]]
"""A function of `completions` and `solution`, both by completion, and of more that it does not read."""

Count = Callable[[str], int]


def reward_functions(
    profile: ChainGrpoProfile, count_tokens: Count
) -> tuple[list[RewardFunction], list[float]]:
    """The rewards of a profile, and their weights.

    Args:
        profile: The settings.
        count_tokens: The number of tokens of a text, by the model's tokenizer.

    Returns:
        The functions, each with the name of its reward, and as many weights.
    """
    known: dict[str, Callable[[str, str], float]] = {
        "accuracy": answer_reward,
        "format": _blocks,
        "degradation": partial(_degradation, profile=profile.degradation),
        "length": partial(_length, count=count_tokens, wrapped=profile.wrapped_length),
    }
    functions = [_for_batches(name, known[name]) for name in profile.rewards]
    return functions, list(profile.rewards.values())


def _for_batches(name: str, reward: Callable[[str, str], float]) -> RewardFunction:
    def rewards(completions: Sequence[Any], solution: Sequence[str], **_: Any) -> list[float]:
        return [reward(_text(ours), theirs) for ours, theirs in zip(completions, solution, strict=True)]

    rewards.__name__ = name  # TRL logs it
    return rewards


def _text(completion: Any) -> str:
    """The text of a completion, which is one message in a conversation."""
    return completion if isinstance(completion, str) else "".join(str(m["content"]) for m in completion)


def _blocks(completion: str, _solution: str) -> float:
    return blocks_reward(completion)


def _degradation(completion: str, solution: str, *, profile: RewardProfile) -> float:
    try:
        claimed = read_degradations(completion)
    except UsageError:  # a number such as 1.2.3, on which the published training stops: a claim of nothing
        claimed = ()
    return degradation_reward(read_degradations(solution), claimed, profile)


def _length(completion: str, solution: str, *, count: Count, wrapped: bool) -> float:
    truth = f"<answer> {solution} </answer>" if wrapped else solution
    return length_reward(count(completion), count(truth))
