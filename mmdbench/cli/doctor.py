"""`mmdbench doctor`: check the installation, or that a model answers about the pictures it is sent."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_json, say
from mmdbench.cli._shared.terminal import Terminal

if TYPE_CHECKING:
    from mmdbench.library.doctor import Diagnosis
    from mmdbench.library.installation import Installation

__all__ = ["doctor"]

_EXIT_CODES = {"passed": 0, "unclear": 3, "caught": 4, "failed": 4}
_BROKEN = 4


def doctor(
    model: opts.Model = "",
    model_card: opts.ModelCards = None,
    settings: opts.CardSettings = None,
    as_json: opts.Json = False,
) -> None:
    """Check the installation, or with --model that a model does not mix up pictures.

    Without a model: versions, extras, data, GPUs, caches, and which keys are set, never their values.
    With one: fourteen small pictures show new numbers each time. Nothing is downloaded: files of the model
    that are missing are listed with their sizes. Exit code: 0 passed, 3 cannot tell, 4 an answer belongs to
    another picture, or there is none; or something of the installation is broken.
    """
    if not model:
        _check_installation(as_json=as_json)
        return
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


def _check_installation(*, as_json: bool) -> None:
    from mmdbench.library.installation import inspect_installation

    found = inspect_installation()
    if as_json:
        print_json(found.as_dict())
    else:
        _print_installation(found)
    if found.problems:
        raise typer.Exit(_BROKEN)


def _print_installation(found: Installation) -> None:
    from mmdbench.library.downloads import size_text

    torch = found.torch
    device = ", ".join(torch.get("devices", ())) or "no GPU that it can use"
    rows = {
        "versions": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        "extras": ", ".join(name for name, lacks in found.extras.items() if not lacks) or "none",
        "not installed": ", ".join(name for name, lacks in found.extras.items() if lacks),
        "data": ", ".join(found.data) or "none",
        "data folders": ", ".join(found.data_folders),
        "GPUs": "; ".join(found.gpus) or "none that nvidia-smi shows",
        "torch": f"{torch['version']}, CUDA {torch['cuda'] or 'not built in'}: {device}" if torch else "",
        "keys set": ", ".join(name for name, is_set in found.keys.items() if is_set) or "none",
        "keys not set": ", ".join(name for name, is_set in found.keys.items() if not is_set),
        "caches": ", ".join(f"{one.name} {size_text(one.bytes)}" for one in found.caches),
    }
    for name, value in rows.items():
        if value:
            say(f"{name:>13}  {value}")
    for problem in found.problems:
        say(f"{'PROBLEM':>13}  {problem}")
    say("Install an extra: pip install 'mmdbench[NAME]'. Free caches: mmdbench clean.")
    say("Check that a model reads its pictures: mmdbench doctor --model NAME")
