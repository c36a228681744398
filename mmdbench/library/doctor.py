"""`diagnose`: a model is shown small pictures with numbers, to see whether its answers are about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdbench.library.downloads import refuse_missing
from mmdbench.library.given_models import chosen_card, setting_texts
from mmdbench.library.user_interface import UserInterface
from mmdbench.models.cards import ModelCard
from mmdbench.models.registry import check_model, open_model
from mmdbench.run.canary import CanaryResult
from mmdbench.run.preflight import canary_of

__all__ = ["Diagnosis", "diagnose"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The card of a model, and its answers about the pictures with a verdict."""

    card: ModelCard
    result: CanaryResult


def diagnose(
    model: str | Path | ModelCard,
    *,
    model_cards: Sequence[str | Path] = (),
    settings: Mapping[str, object] | Sequence[str] = (),
    interface: UserInterface | None = None,
) -> Diagnosis:
    """Check that a model does not mix up pictures; nothing is downloaded.

    Args:
        model: The name of a card, a card, or the path of an adapter's file.
        model_cards: TOML files with cards.
        settings: Settings of the card.
        interface: Shows notes.

    Returns:
        The verdict, with each picture and reply.

    Raises:
        ModelError: The model cannot be asked, or its files are missing.
    """
    shows = interface or UserInterface()
    card = chosen_card(model, model_cards, setting_texts(settings), shows)
    refuse_missing(card, shows)
    loaded = open_model(card)
    check_model(loaded)
    found = canary_of(loaded, card)
    learnt = getattr(loaded, "learnt", None)
    if learnt is not None and learnt.note:
        shows.remark(learnt.note)
    return Diagnosis(card, found)
