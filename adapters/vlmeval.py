"""`vlmeval`: every model that VLMEvalKit runs, on our variants: `--model vlmeval:<name>`.

The name is one of VLMEvalKit's own (`supported_VLM`), for example `vlmeval:InternVL3-8B`. A card
may change the arguments that VLMEvalKit gives to the model's class::

    [my-internvl]
    adapter = "vlmeval"
    model = "InternVL3-8B"
    options = { model_path = "/models/internvl3-8b", dataset = "MMStar" }
    generation = { max_new_tokens = 512 }

Options: `dataset` is the benchmark's name in VLMEvalKit, by which some of its classes choose prompts
(the default is a name that none of them knows). With `own_prompts`, multiple-choice questions use the
class's own prompt for that benchmark, which is recorded. Every other option, and all of generation,
is passed to the class.
"""

from __future__ import annotations

from importlib import util
from typing import TYPE_CHECKING

from mmdbench.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from mmdbench.models.cards import ModelCard
    from mmdbench.models.registry import Model

__all__ = ["ADAPTER_VERSION", "check_card", "load"]

ADAPTER_VERSION = "1"


def load(card: ModelCard) -> Model:
    """Load the model of that name as VLMEvalKit does.

    Raises UsageError for a card without a name, UnknownNameError for a name that VLMEvalKit does not
    have, MissingExtraError without VLMEvalKit, ModelError if the model cannot be loaded.
    """
    check_card(card)
    from ._vlmeval.model import open_kit_model

    return open_kit_model(card, ADAPTER_VERSION)


def check_card(card: ModelCard) -> None:
    """Raise UsageError for a card without a name, MissingExtraError without VLMEvalKit."""
    if not card.model:
        raise UsageError(
            f"The card {card.name!r} needs the name of a model of VLMEvalKit.", hint="Write vlmeval:<name>."
        )
    if util.find_spec("vlmeval") is None:
        raise MissingExtraError("VLMEvalKit (ms-vlmeval)", extra="vlmeval")
