"""Judges by name: a judge is named, described by a card and opened like a model under test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from mmdbench.errors import UsageError
from mmdbench.models.cards import check_price, find_card
from mmdbench.models.registry import is_async, open_model
from mmdbench.results.judging.model_judge import ModelJudge
from mmdbench.run.budget import Budget

__all__ = ["open_judge"]


def open_judge(name: str, files: Sequence[Path] = (), budget: Budget | None = None) -> ModelJudge:
    """Open a judge; nothing is sent and no key is read before its first call.

    Args:
        name: A model card such as `gpt-4.1`, or `openai:<model>` or `openai:<model>@<base-url>`. A base URL
            gets the key in MMDBENCH_API_KEY, never the key of the card's own endpoint.
        files: Files with model cards of the user's own.
        budget: The most that its calls may cost; None for no limit.

    Returns:
        The judge; close it after use.

    Raises:
        UnknownNameError: There is no such card.
        UsageError: The card describes no model that can judge.
    """
    card = find_card(name, files)
    if not urlsplit(card.endpoint).hostname:
        raise _not_behind_api(card.name)
    if not card.model or card.model == "auto":
        raise UsageError(f"The judge {card.name!r} names no model.", hint=f"Write {card.name}:<model>.")
    if card.options.get("reasoning"):
        raise UsageError(
            f"{card.name!r} is a reasoning model, which takes no temperature; judges are asked at 0.",
            hint="Name another judge, for example gpt-4.1 or gpt-4o-mini.",
        )
    budget = budget or Budget()
    check_price(card, budget.usd)
    # A system prompt is no part of a protocol, and no part of a journal's keys.
    options = {key: value for key, value in card.options.items() if key != "system"}
    model = open_model(replace(card, options=options))
    if not is_async(model):
        raise _not_behind_api(card.name)
    return ModelJudge(card, model, budget)


def _not_behind_api(name: str) -> UsageError:
    return UsageError(
        f"{name!r} cannot judge: it is not behind an API.",
        hint="Name a judge like gpt-4.1, or openai:<model>@<base-url>.",
    )
