"""The option that a reply means: by labels first, by option texts second, with the stage that decided."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from mmdbench.errors import UsageError
from mmdbench.scoring.protocols import DEFAULT_PROTOCOL, ScoringProtocol, get_protocol

__all__ = ["FAIL_MARKER", "REFUSED", "Stage", "infer_option", "infer_option_staged"]

Stage = Literal[
    "refusal", "letter", "letter_z", "answer_is", "option_text", "too_long", "no_option", "several_options"
]
"""Stages of inference; the last three leave the reply unresolved."""

REFUSED = "Z"
"""The label of a reply that refuses to choose: final, and a miss."""

FAIL_MARKER = "Failed to obtain answer via API"
"""The text that VLMEvalKit writes where a model or a judge could not be reached."""

_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_SEPARATORS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_ANSWER_IS = re.compile(r"answer\s+is\s+\**([A-D])", re.IGNORECASE)


def infer_option(
    text: str, options: Mapping[str, str], *, protocol: str | ScoringProtocol = DEFAULT_PROTOCOL
) -> str | None:
    """Read the chosen option's label from a reply, as VLMEvalKit's `can_infer` does.

    Args:
        text: The reply, after its answer was extracted.
        options: Option texts by label, a single capital A..Z.
        protocol: The scoring rules, or their name.

    Returns:
        The label; `Z` if the reply refuses to choose, None if no rule resolves it.

    Raises:
        UsageError: A label is not one of A..Z.
        UnknownNameError: There is no such protocol.

    >>> infer_option("(B) a dog", {"A": "cat", "B": "dog"})
    'B'
    >>> infer_option("either A or B", {"A": "cat", "B": "dog"}) is None
    True
    """
    return infer_option_staged(text, options, protocol=protocol)[0]


def infer_option_staged(
    text: str, options: Mapping[str, str], *, protocol: str | ScoringProtocol = DEFAULT_PROTOCOL
) -> tuple[str | None, Stage]:
    """Read the chosen option's label from a reply, with the stage that decided.

    Args:
        text: The reply, after its answer was extracted.
        options: Option texts by label, a single capital A..Z.
        protocol: The scoring rules, or their name.

    Returns:
        The label as `infer_option` gives it, and the stage.
    """
    rules = get_protocol(protocol)
    _check_labels(tuple(options))
    # A text that marks a failed call is not read for letters, but is searched for option texts.
    found = None if FAIL_MARKER in text else _read_letters(text, options, rules)
    return found or _read_option_texts(text, options, rules)


@lru_cache(maxsize=1024)
def _check_labels(labels: tuple[str, ...]) -> None:
    for label in labels:
        if len(label) != 1 or not "A" <= label <= "Z":
            raise UsageError(f"An option label must be one of A..Z, got {label!r}.")


def _read_letters(text: str, options: Mapping[str, str], rules: ScoringProtocol) -> tuple[str, Stage] | None:
    tokens = _tokens(text)
    if tokens is None:
        return REFUSED, "refusal"
    present = [label for label in options if label in tokens]
    if len(present) == 1:
        if rules.letter_window is None or tokens.index(present[0]) >= len(tokens) - rules.letter_window:
            return present[0], "letter"
    elif not present and REFUSED in tokens:
        return REFUSED, "letter_z"
    if rules.answer_is and (match := _ANSWER_IS.search(text)):
        label = match[1].upper()
        # Only the leftmost statement counts: a later one is not looked at when it names no option.
        if label in options:
            return label, "answer_is"
    return None


@lru_cache(maxsize=1024)  # half a million replies repeat a few letters
def _tokens(text: str) -> list[str] | None:
    """The words of a reply; None if it refuses."""
    if any(phrase in text for phrase in _REFUSALS):
        return None
    return text.translate(_SEPARATORS).split()


def _read_option_texts(
    text: str, options: Mapping[str, str], rules: ScoringProtocol
) -> tuple[str | None, Stage]:
    lowered = text.lower()
    # Lower-casing can lengthen a text; VLMEvalKit measures the reply lowered and the options as they are.
    if rules.length_factor is not None and len(lowered) > rules.length_factor * sum(
        map(len, options.values())
    ):
        return None, "too_long"
    found = [label for label, option in options.items() if option.lower() in lowered]
    if len(found) == 1:
        return found[0], "option_text"
    return None, "several_options" if found else "no_option"
