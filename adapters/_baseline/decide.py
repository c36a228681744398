"""From an intent, the options and a picture to the label of an option, or to None where nothing is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import looks, things
from .questions import Intent, Kind, is_yes_no
from .vocabulary import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from .choice import Options
    from .sight import Sight

__all__ = ["decide"]

_TRUTHS: dict[Kind, Callable[[Intent, Sight], bool | None]] = {
    "presence": things.is_present,
    "compare": things.compares,
    "relation": things.is_related,
    "place": things.is_placed,
    "colour": looks.is_coloured,
    "monochrome": looks.is_without_colour,
    "read": looks.is_written,
    "scene": looks.is_scene,
}
_CHOICES: dict[Kind, Callable[[Intent, Options, Sight], str | None]] = {
    "which": things.which,
    "count": things.count,
    "relation": things.relation,
    "place": things.place,
    "colour": looks.colour,
    "monochrome": looks.print_kind,
    "read": looks.read,
    "scene": looks.scene,
}


def decide(intent: Intent, options: Options, sight: Sight) -> str | None:
    """The label of the option that the picture speaks for; None if it speaks for none or for several."""
    if is_yes_no(options):
        truth = _TRUTHS[intent.kind](intent, sight) if intent.kind in _TRUTHS else None
        return None if truth is None else _yes_no(options, truth)
    choose = _CHOICES.get(intent.kind)
    return choose(intent, options, sight) if choose else None


def _yes_no(options: Options, truth: bool) -> str | None:
    wanted = "yes" if truth else "no"
    labels = [label for label, text in options.items() if words(text).split(" ")[0] == wanted]
    return labels[0] if len(labels) == 1 else None
