"""Answers a parsed question with the label of an option, or None if the rules give no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import appearance, objects
from .questions import Intent, Kind, is_yes_no
from .vocabulary import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from .findings import Findings
    from .option_scores import Options

__all__ = ["choose_option"]

_TRUTHS: dict[Kind, Callable[[Intent, Findings], bool | None]] = {
    "presence": objects.is_present,
    "compare": objects.compares,
    "relation": objects.is_related,
    "place": objects.is_placed,
    "colour": appearance.is_coloured,
    "monochrome": appearance.is_without_colour,
    "read": appearance.is_written,
    "scene": appearance.is_scene,
}
_CHOICES: dict[Kind, Callable[[Intent, Options, Findings], str | None]] = {
    "which": objects.which,
    "count": objects.count,
    "relation": objects.relation,
    "place": objects.place,
    "colour": appearance.colour,
    "monochrome": appearance.print_kind,
    "read": appearance.read,
    "scene": appearance.scene,
}


def choose_option(intent: Intent, options: Options, findings: Findings) -> str | None:
    """The label of the option that the findings support; None if they support none, or several."""
    if is_yes_no(options):
        truth = _TRUTHS[intent.kind](intent, findings) if intent.kind in _TRUTHS else None
        return None if truth is None else _yes_no(options, truth)
    choose = _CHOICES.get(intent.kind)
    return choose(intent, options, findings) if choose else None


def _yes_no(options: Options, truth: bool) -> str | None:
    wanted = "yes" if truth else "no"
    labels = [label for label, text in options.items() if words(text).split(" ")[0] == wanted]
    return labels[0] if len(labels) == 1 else None
