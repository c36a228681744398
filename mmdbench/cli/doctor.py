"""`mmdbench doctor`: check that a model answers about the pictures it is sent."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_json
from mmdbench.cli._shared.terminal import Terminal

if TYPE_CHECKING:
    from mmdbench.library.doctor import Diagnosis

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
    from mmdbench.library.doctor import diagnose

    made = diagnose(model, model_cards=model_card or (), settings=settings or (), interface=Terminal())
    found = made.result
    if as_json:
        print_json({"model": made.card.name, **asdict(found), "said": found.summary})
    else:
        _print(made)
    raise typer.Exit(_EXIT_CODES[found.verdict])


def _print(made: Diagnosis) -> None:
    from rich.table import Table

    from mmdbench.library.screen import Screen, styled

    card, found = made.card, made.result
    table = Table(title=f"{card.name} at {card.endpoint}" if card.endpoint else card.name)
    for name in ("picture", "shows", "reply", "verdict"):
        table.add_column(name)
    for probe in found.probes:
        table.add_row(probe.name, probe.shows, styled(probe.reply[:60]), probe.verdict)
    screen = Screen()
    screen.print(table)
    screen.print(styled(f"{found.verdict}: {found.summary}"))
