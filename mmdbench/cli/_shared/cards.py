"""The model card that a verb is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdbench.cli._shared.output import print_note, print_retirement

if TYPE_CHECKING:
    from mmdbench.models.cards import ModelCard

__all__ = ["chosen_card"]


def chosen_card(name: str, files: Sequence[Path] | None, settings: Sequence[str] | None) -> ModelCard:
    """A card by name, changed by settings; notes on it, and on its retirement, go to standard error.

    Args:
        name: The name, as `--model` takes it.
        files: Files with cards of the user's own.
        settings: Texts `key=value`, as `--set` takes them.

    Returns:
        The card.
    """
    from mmdbench.models.cards import find_card, set_options

    card = set_options(find_card(name, files or ()), settings or ())
    for note in card.notes:
        print_note(note)
    print_retirement(card)
    return card
