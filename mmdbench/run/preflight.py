"""Check, before a run, that a model behind a server answers from the pictures that it is shown.

The canary's result is written into the run's manifest. For a model with a price it is also kept for a
week in the user's cache folder, by the model's fingerprint, so that not every run pays for it again. A
server without a price is checked in every new run: another one may listen at its address tomorrow.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

from mmdbench.errors import ModelError, StoreError
from mmdbench.models.cards import ModelCard
from mmdbench.models.registry import AsyncModel, Model, is_async
from mmdbench.models.throttle import Throttle, throttle_settings
from mmdbench.records import Outcome, Request
from mmdbench.run.async_driver import AsyncDriver, run_with_model
from mmdbench.run.budget import Budget, Spending
from mmdbench.run.canary import CanaryResult, run_canary
from mmdbench.run.replies import readable_outcome
from mmdbench.system.digest import value_digest
from mmdbench.system.environment import cache_folder
from mmdbench.system.files import make_folder, write_atomic

__all__ = ["canary_of", "check_canary"]

_DAYS_REMEMBERED = 7


def check_canary(
    model: AsyncModel, card: ModelCard, earlier: Mapping[str, Any] | None, spending: Spending
) -> dict[str, Any]:
    """Run the canary, unless a result is known.

    Args:
        model: The model.
        card: Its model card.
        earlier: The canary's record in the manifest of an earlier session.
        spending: The spending that the canary's requests are added to.

    Returns:
        The record for the manifest.

    Raises:
        ModelError: An answer came from another picture, or the model cannot be asked.
    """
    name = value_digest(dict(model.fingerprint()))
    known = earlier if earlier and earlier.get("fingerprint") == name else None
    known = known or (_remembered(name) if card.price else None)
    if known and known.get("verdict") in ("passed", "unclear"):
        return dict(known)
    found = canary_of(model, card, spending)
    record = {"fingerprint": name, "checked": int(time.time()), "said": found.summary, **asdict(found)}
    if found.verdict == "caught":
        raise ModelError(
            f"The model {card.name!r} cannot be measured: {found.summary}.",
            hint="Turn off the server's caches of pictures and prefixes; see each answer with "
            f"mmdbench doctor --model {card.name}. --no-canary skips this check, and records that.",
        )
    if found.verdict == "failed":
        raise ModelError(f"The model {card.name!r} cannot be asked: {found.summary}.")
    if card.price:
        _remember(name, record)
    return record


def canary_of(model: Model | AsyncModel, card: ModelCard, spending: Spending | None = None) -> CanaryResult:
    """Run the canary on a model.

    Args:
        model: The model.
        card: Its model card.
        spending: The spending that the requests are added to; unlimited by default.

    Returns:
        The canary's result.
    """
    spent = spending or Spending(Budget())
    return run_canary(lambda requests: _ask(model, card, requests, spent), card.generation)


def _ask(
    model: Model | AsyncModel, card: ModelCard, requests: Sequence[Request], spending: Spending
) -> list[Outcome]:
    """An outcome for each request, after retries; sent all at once to a model behind a server."""
    if not is_async(model):
        return [readable_outcome(o) for o in cast("Model", model).generate(requests)]
    served = model
    few = replace(throttle_settings(served), attempts=4)

    async def ask() -> list[Outcome]:
        driver = AsyncDriver(served, card, spending, Throttle(few))
        answers = await asyncio.gather(*(driver.ask(request) for request in requests))
        if driver.fatal is not None:
            raise driver.fatal
        return [a.outcome if a else Outcome("", "error", f"not asked: {spending.reason}") for a in answers]

    return run_with_model(served, ask)


def _remembered(name: str) -> dict[str, Any] | None:
    try:
        record = json.loads((cache_folder() / "canary" / f"{name}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    fresh = time.time() - record.get("checked", 0) < _DAYS_REMEMBERED * 86400
    return dict(record) if fresh else None


def _remember(name: str, record: Mapping[str, Any]) -> None:
    try:
        folder = make_folder(cache_folder() / "canary")
        write_atomic(folder / f"{name}.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    except StoreError:
        return  # without it, the next run repeats fourteen small requests
