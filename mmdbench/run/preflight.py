"""Canary of a model: asked before, between and after the requests of a run, or alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from mmdbench.models.cards import ModelCard
from mmdbench.models.registry import AsyncModel, Model, is_async
from mmdbench.models.throttle import Throttle, throttle_settings
from mmdbench.records import Outcome, Request
from mmdbench.run.async_driver import AsyncDriver, run_with_model
from mmdbench.run.budget import Budget, Spending
from mmdbench.run.canary import SIZE, CanaryResult, draw_seed, run_canary
from mmdbench.run.replies import readable_outcome

__all__ = ["ask_probes", "canary_of"]

_ATTEMPTS = 4


def canary_of(
    model: Model | AsyncModel, card: ModelCard, spending: Spending | None = None, rounds: int = 2
) -> CanaryResult:
    """Run the canary on a model, with fresh pictures.

    Args:
        model: The model.
        card: Its model card.
        spending: The spending that the requests are added to; unlimited by default.
        rounds: The number of rounds, 1 or 2.

    Returns:
        The canary's result.
    """
    spent = spending or Spending(Budget())
    return run_canary(
        lambda requests: ask_probes(model, card, requests, spent), card.generation, draw_seed(), rounds
    )


def ask_probes(
    model: Model | AsyncModel, card: ModelCard, requests: Sequence[Request], spending: Spending
) -> list[Outcome]:
    """Ask a model apart from its run; all at once if it is behind a server.

    Args:
        model: The model.
        card: Its model card.
        requests: The requests.
        spending: The spending that they are added to.

    Returns:
        An outcome for each request, after retries.
    """
    if not is_async(model):
        return [readable_outcome(o) for o in cast("Model", model).generate(requests)]
    served = model
    few = replace(throttle_settings(served), attempts=_ATTEMPTS)

    async def ask() -> list[Outcome]:
        driver = AsyncDriver(served, card, spending, Throttle(few))
        answers = await asyncio.gather(*(driver.ask(request, [SIZE]) for request in requests))
        if driver.fatal is not None:
            raise driver.fatal
        return [a.outcome if a else Outcome("", "error", f"not asked: {spending.reason}") for a in answers]

    return run_with_model(served, ask)
