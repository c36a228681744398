"""`vlmeval`: every model that VLMEvalKit runs, on our variants: `--model vlmeval:<name>`.

The name is one of VLMEvalKit's own (`supported_VLM`), for example `vlmeval:InternVL3-8B`. A card
may change what VLMEvalKit hands to the model's class::

    [my-internvl]
    adapter = "vlmeval"
    model = "InternVL3-8B"
    options = { model_path = "/models/internvl3-8b", dataset = "MMStar" }
    generation = { max_new_tokens = 512 }

Options: `dataset` is the benchmark's name in VLMEvalKit, which some of its classes choose prompts
by (without it a name that none of them knows); with `own_prompts` multiple choice is asked with the
class's own prompt for that benchmark, which is recorded. Every other option, and all of generation,
goes to the class as it is.
"""

from __future__ import annotations

from importlib import util
from typing import TYPE_CHECKING

from mmdbench.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from mmdbench.models.registry import Model, ModelCard

__all__ = ["ADAPTER_VERSION", "load"]

ADAPTER_VERSION = "1"


def load(card: ModelCard) -> Model:
    """Load the model of that name as VLMEvalKit does.

    Raises UsageError for a card without a name, UnknownNameError for one that VLMEvalKit does not
    have, MissingExtraError without VLMEvalKit, ModelError if its class cannot be made.
    """
    if not card.model:
        raise UsageError(
            f"The card {card.name!r} names no model of VLMEvalKit.", hint="Write vlmeval:<name>."
        )
    if util.find_spec("vlmeval") is None:
        raise MissingExtraError("VLMEvalKit (ms-vlmeval)", extra="vlmeval")
    from ._vlmeval.model import open_kit_model

    return open_kit_model(card, ADAPTER_VERSION)
