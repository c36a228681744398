"""Sampling settings that a model does not take: named by its card, or learnt from a server's refusal.

Current models refuse settings that others need: the token limit under its old name, a temperature, stop
sequences. A refusal is an HTTP error that names the setting; gateways pass it on inside texts of their own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.models.error_signs import ErrorSigns

__all__ = [
    "CARD_OPTIONS",
    "LEARNABLE",
    "LIMITS",
    "SAMPLING",
    "Parameters",
    "card_parameters",
    "is_reasoning",
    "refused_parameter",
    "without_untaken",
]

LIMITS = ("max_completion_tokens", "max_tokens")
"""The two names of the token limit."""

SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
)
"""Settings of sampling, which a card with `sampling = "none"` does not send."""

LEARNABLE = (*LIMITS, *SAMPLING, "logit_bias", "logprobs", "top_logprobs", "seed", "stop")
"""Settings that are left out after a refusal; any other one is the user's choice of what is measured."""

CARD_OPTIONS = ("sampling", "max_tokens_field", "reasoning")
"""Options of a card that name what its model takes."""

_STATUSES = (400, 422)
_CODES = frozenset({"unsupportedparameter", "unsupportedvalue", "unknownparameter", "extraforbidden"})
_REFUSAL = re.compile(
    r"unsupported|not (?:be )?(?:support|permit|allow|accept|compatible|available)|n.t support"
    r"|unrecogni[sz]ed|unknown (?:name|par|arg|field)|unexpected (?:keyword|par|arg|field)"
    r"|extra[_ ]forbidden|extra inputs|deprecated|cannot both|use only one"
    r"|may only be|only (?:the default|\S+ is (?:allowed|supported))",
    re.IGNORECASE,
)
# A value out of range is no refusal of the setting.
_RANGE = re.compile(r"too (?:large|big|high|long|small)|at (?:most|least)|maximum|between|exceed|less than")
_BOTH = re.compile(r"cannot both|use only one", re.IGNORECASE)
_PLAIN = "|".join(name for name in LEARNABLE if "_" in name or name == "temperature")
_QUOTED = "|".join(name for name in LEARNABLE if "_" not in name)
_NAMED = re.compile(rf"\b({_PLAIN})\b|(?<=['\"`])({_QUOTED})(?=['\"`])")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `generation` that one model takes, and those that it does not take.

    `untaken` and `taken` are the names that its card decides, `refused` those that its server refused.
    `limit` is the card's own token limit, sent under the other name where the first one is not taken.
    """

    untaken: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    limit: Any = None

    def sent(self, generation: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that are sent for the given ones."""
        gone = {*self.untaken, *self.refused}
        kept = {name: value for name, value in generation.items() if name not in gone}
        for name, other in (LIMITS, LIMITS[::-1]):
            if name in generation and name in gone and other not in gone and other not in generation:
                kept[other] = generation[name] if self.limit is None else self.limit
        return kept

    def may_learn(self, name: str) -> bool:
        """True if the setting may be left out after a refusal."""
        return name in LEARNABLE and name not in (*self.taken, *self.untaken, *self.refused)

    def without(self, name: str) -> Parameters:
        """These, after a refusal of one more setting."""
        return replace(self, refused=tuple(sorted({*self.refused, name})))

    def record(self, generation: Mapping[str, Any]) -> dict[str, Any]:
        """For the fingerprint: what the server refused, and what is sent; empty if it refused nothing."""
        if not self.refused:
            return {}
        return {"refused": list(self.refused), "sent": self.sent(generation)}

    def note(self, generation: Mapping[str, Any]) -> str:
        """One line for the user; empty if the server refused nothing."""
        if not self.refused:
            return ""
        left_out = " and ".join(self.refused)
        sent = ", ".join(f"{name}={value}" for name, value in self.sent(generation).items())
        return f"the server does not take {left_out}; sent is {sent or 'no setting of generation'}"


def card_parameters(options: Mapping[str, Any], generation: Mapping[str, Any], name: str) -> Parameters:
    """The settings that a model takes, by its card.

    Args:
        options: The card's options: `sampling` (`all` or `none`), `max_tokens_field` (`max_tokens`,
            `max_completion_tokens` or `none`), or `reasoning`, which is true for a model that takes no
            sampling settings and `max_completion_tokens`.
        generation: The card's generation settings.
        name: The card's name.

    Returns:
        The parameters, with nothing refused yet.

    Raises:
        UsageError: The card sends what it says that its model does not take.
        UnknownNameError: There is no such value.
    """
    reasoning = options.get("reasoning", False)
    if not isinstance(reasoning, bool):
        raise UsageError(f"The option reasoning must be true or false, got {reasoning!r}.")
    sampling = _choice(options, "sampling", ("all", "none")) or ("none" if reasoning else "")
    field = _choice(options, "max_tokens_field", (*LIMITS, "none")) or (LIMITS[0] if reasoning else "")
    untaken = [*(SAMPLING if sampling == "none" else ()), *(n for n in LIMITS if field and n != field)]
    taken = [*(SAMPLING if sampling == "all" else ()), *(n for n in LIMITS if n == field)]
    for wrong in untaken:
        if wrong in generation:
            raise UsageError(
                f"The model {name!r} takes no {wrong}, as its card says, and generation.{wrong} is set.",
                hint=f"Take it away: --set generation.{wrong}=none.",
            )
    limit = next((generation[n] for n in LIMITS if n in generation), None)
    return Parameters(tuple(untaken), tuple(taken), (), limit)


def is_reasoning(options: Mapping[str, Any]) -> bool:
    """True if a card's options say that its model thinks before it answers."""
    return bool(options.get("reasoning")) or options.get("sampling") == "none"


def without_untaken(
    generation: Mapping[str, Any], options: Mapping[str, Any], asked: Collection[str]
) -> dict[str, Any]:
    """The generation settings of a card after a change of the options that name what its model takes.

    Args:
        generation: The settings.
        options: The card's options.
        asked: The names of settings that were asked for by name, which stay.

    Returns:
        The settings without those that the model does not take; the token limit has the name that it takes.
    """
    says = card_parameters(options, {}, "")
    gone = Parameters(tuple(name for name in says.untaken if name not in asked))
    return gone.sent(generation)


def refused_parameter(status: int, signs: ErrorSigns) -> str:
    """The name of the setting that an HTTP error refuses; empty if it refuses none.

    Args:
        status: The HTTP status.
        signs: The signs in the body of the response.

    Returns:
        A name of `LEARNABLE`, or any other one that the server names as the field.

    >>> from mmdbench.models.error_signs import read_signs
    >>> refused_parameter(400, read_signs("'max_tokens' is unsupported. Use 'max_completion_tokens'."))
    'max_tokens'
    >>> refused_parameter(400, read_signs("max_tokens is too large: it must be at most 4096."))
    ''
    """
    text = " ".join(signs.texts)
    is_code = not _CODES.isdisjoint([*signs.own, *signs.passed_on])
    if status not in _STATUSES or not (is_code or _REFUSAL.search(text)):
        return ""
    if _RANGE.search(text) and not is_code:
        return ""
    fields = [name.removeprefix("body.").partition(".")[0] for name in signs.fields if name != "body"]
    if fields:
        return next((name for name in fields if name in LEARNABLE), fields[0])
    found = [first or second for first, second in _NAMED.findall(text)]
    return (found[-1] if _BOTH.search(text) else found[0]) if found else ""


def _choice(options: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    value = options.get(name, "")
    if value and value not in known:
        raise UnknownNameError(name, str(value), known)
    return str(value)
