"""`mmdbench doctor`: check that a model answers about the pictures it is sent."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_json, say
from mmdbench.cli._shared.terminal import Terminal

if TYPE_CHECKING:
    from mmdbench.models.cards import ModelCard
    from mmdbench.run.canary import CanaryResult

__all__ = ["doctor"]

_EXIT_CODES = {"passed": 0, "unclear": 3, "caught": 4, "failed": 4}


def doctor(
    model: opts.Model,
    model_card: opts.ModelCards = None,
    settings: opts.CardSettings = None,
    as_json: opts.Json = False,
) -> None:
    """Check that a model does not mix up pictures, with fourteen small ones that show new numbers each time.

    Nothing is downloaded: files of the model that are missing are listed with their sizes.
    Exit code: 0 passed, 3 cannot tell, 4 an answer belongs to another picture, or there is none.
    """
    from mmdbench.library.downloads import refuse_missing
    from mmdbench.library.given_models import chosen_card
    from mmdbench.models.registry import check_model, open_model
    from mmdbench.run.preflight import canary_of

    screen = Terminal()
    card = chosen_card(model, model_card or (), settings or (), screen)
    refuse_missing(card, screen)
    loaded = open_model(card)
    check_model(loaded)
    found = canary_of(loaded, card)
    learnt = getattr(loaded, "learnt", None)
    if learnt is not None and learnt.note:
        say(f"mmdbench: {learnt.note}.", err=True)
    if as_json:
        print_json({"model": card.name, **asdict(found), "said": found.summary})
    else:
        _print(card, found)
    raise typer.Exit(_EXIT_CODES[found.verdict])


def _print(card: ModelCard, found: CanaryResult) -> None:
    from rich.table import Table

    from mmdbench.library.screen import Screen, styled

    table = Table(title=f"{card.name} at {card.endpoint}" if card.endpoint else card.name)
    for name in ("picture", "shows", "reply", "verdict"):
        table.add_column(name)
    for probe in found.probes:
        table.add_row(probe.name, probe.shows, styled(probe.reply[:60]), probe.verdict)
    screen = Screen()
    screen.print(table)
    screen.print(styled(f"{found.verdict}: {found.summary}"))
