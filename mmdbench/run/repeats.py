"""Repeats of a request: the check that a model draws its answers, and the seeds that cards fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdbench.errors import UsageError
from mmdbench.records import RunPlan

__all__ = ["generation_of_repeat", "refuse_greedy"]


def refuse_greedy(
    plan: RunPlan, generation: Mapping[str, Any], fingerprint: Mapping[str, Any] | None = None
) -> None:
    """Raise UsageError for repeats of a model that answers without chance.

    Args:
        plan: The plan of the run.
        generation: The generation settings of the model card.
        fingerprint: The model's fingerprint, once it is loaded; its generation settings count where the
            card has none.
    """
    if plan.repeat == 1:
        return
    own = (fingerprint or {}).get("generation")
    settings = {**(own if isinstance(own, Mapping) else {}), **generation}
    temperature, samples = settings.get("temperature"), settings.get("do_sample", True)
    if temperature == 0 or (temperature is None and samples is False):
        raise UsageError(
            f"--repeat {plan.repeat} needs a temperature above 0: at 0 every repeat is the same answer.",
            hint="Set one, for example --set generation.temperature=0.7, or leave --repeat out.",
        )


def generation_of_repeat(generation: Mapping[str, Any], repeat: int) -> Mapping[str, Any]:
    """The generation settings of a repeat: a seed of the card is raised by 1 for each after the first.

    >>> generation_of_repeat({"temperature": 0.7, "seed": 5}, 3)
    {'temperature': 0.7, 'seed': 7}
    """
    seed = generation.get("seed")
    return {**generation, "seed": seed + repeat - 1} if repeat > 1 and isinstance(seed, int) else generation
