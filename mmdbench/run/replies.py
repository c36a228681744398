"""Requests made from planned cells, and the replies that are stored for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmdbench.errors import MmdbenchError
from mmdbench.models.tokens import checked_usage
from mmdbench.records import REPLACED, Outcome, Reply, Request, Variant
from mmdbench.run.answer_probability import LOGPROBS, answer_probability
from mmdbench.run.plan import Planned
from mmdbench.run.repeats import generation_of_repeat
from mmdbench.system.digest import derive_seed
from mmdbench.system.unicode_text import readable

__all__ = [
    "image_error_reply",
    "is_image_error",
    "make_reply",
    "make_request",
    "readable_outcome",
    "stored_outcome",
]

_NO_IMAGE = "no image: "


def make_request(planned: Planned, variants: Sequence[Variant], generation: Mapping[str, Any]) -> Request:
    """The request of a planned cell.

    Args:
        planned: The cell, its prompt and its key.
        variants: The variants of the cell's images, in the order of its recipes.
        generation: The generation settings of the model card.

    Returns:
        The request, with a seed that follows from its key.
    """
    return Request(
        key=planned.key,
        prompt=planned.prompt,
        question=planned.question.text,
        options=planned.question.options,
        images=tuple(variant.image for variant in variants),
        seed=derive_seed("request", planned.key),
        generation=generation_of_repeat(generation, planned.cell.repeat),
    )


def readable_outcome(outcome: Outcome) -> Outcome:
    """The outcome with numbers of tokens alone in its usage, and with U+FFFD for what is no Unicode.

    `details["replaced_characters"]` counts these characters.
    """
    usual = checked_usage(outcome.details)
    (text, reason, details), replaced = readable((outcome.text, outcome.reason, dict(usual)))
    if not replaced:
        return outcome if usual is outcome.details else replace(outcome, details=usual)
    return Outcome(text, outcome.status, reason, {**details, REPLACED: replaced})


def make_reply(
    planned: Planned,
    variants: Sequence[Variant],
    outcome: Outcome,
    seconds: float = 0.0,
    attempts: int = 1,
) -> Reply:
    """The reply that is stored for a planned cell.

    Args:
        planned: The cell. Its prompt is stored only if the adapter worded it.
        variants: The variants that the model was shown.
        outcome: The outcome of the last attempt.
        seconds: Duration of the last attempt.
        attempts: Number of attempts; 0 if the request was not sent.

    Returns:
        The reply, under the key of the cell.
    """
    cell, outcome = planned.cell, stored_outcome(outcome, planned.question.options)
    details = {**outcome.details, "prompt": planned.prompt} if planned.reworded else outcome.details
    return Reply(
        key=planned.key,
        bench=cell.bench,
        index=cell.index,
        level=cell.level,
        corruption=cell.corruption,
        status=outcome.status,
        text=outcome.text,
        reason=outcome.reason,
        attempts=attempts,
        seconds=round(seconds, 4),
        images=tuple(_image_record(variant) for variant in variants),
        details=details,
        repeat=cell.repeat,
    )


def stored_outcome(outcome: Outcome, options: Mapping[str, str]) -> Outcome:
    """The outcome as it is stored: readable text, and in place of log-probabilities that of the answer."""
    return readable_outcome(_with_probability(outcome, options))


def _with_probability(outcome: Outcome, options: Mapping[str, str]) -> Outcome:
    if LOGPROBS not in outcome.details:
        return outcome
    kept = {name: value for name, value in outcome.details.items() if name != LOGPROBS}
    found = answer_probability(outcome.text, options, outcome.details[LOGPROBS])
    return replace(outcome, details=kept | found)


def image_error_reply(planned: Planned, error: MmdbenchError) -> Reply:
    """The reply that is stored when an image of the cell could not be made."""
    return make_reply(planned, [], Outcome("", "error", f"{_NO_IMAGE}{error}"), attempts=0)


def is_image_error(reply: Reply) -> bool:
    """True for a reply that `image_error_reply` made."""
    return reply.status == "error" and reply.reason.startswith(_NO_IMAGE)


def _image_record(variant: Variant) -> dict[str, Any]:
    record = {"recipe": variant.recipe.as_dict(), "pixels": variant.pixels, "no_op": variant.no_op}
    return {**record, "restored": dict(variant.restored)} if variant.restored else record
