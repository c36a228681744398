"""`hf`: vision-language models that transformers loads, with the prompts of each family's authors.

One adapter for every model behind `AutoModelForImageTextToText`; the differences between families are
data (`_hf/families.py`). A card names a repository of the Hugging Face Hub or a folder::

    [my-qwen]
    adapter = "hf"
    model = "Qwen/Qwen2.5-VL-3B-Instruct"
    options = { max_pixels = 1003520, dtype = "bfloat16" }
    generation = { max_new_tokens = 512 }

Downloads follow the Hub's own variables: HF_HOME, HF_TOKEN, HF_ENDPOINT for a
mirror, HF_HUB_OFFLINE=1 for the cache alone.
"""

from __future__ import annotations

from importlib import util
from typing import TYPE_CHECKING

from mmdbench.errors import MissingExtraError
from mmdbench.models.instructions import find_instruction

from ._hf.families import FAMILIES, GENERIC
from ._hf.settings import read_settings

if TYPE_CHECKING:
    from mmdbench.models.cards import ModelCard
    from mmdbench.models.registry import Model

    from ._hf.settings import HfSettings

__all__ = ["ADAPTER_VERSION", "check_card", "load"]

ADAPTER_VERSION = "1"


def load(card: ModelCard) -> Model:
    """Load the card's checkpoint. Options are those of `HfSettings`; generation takes `max_new_tokens` and
    `temperature`.

    Raises UsageError or UnknownNameError for options that do not fit, MissingExtraError without
    torch and transformers, ModelError for a checkpoint or a device that cannot be used.
    """
    settings = _checked_settings(card)
    from ._hf.loading import load_checkpoint
    from ._hf.model import HfModel

    instruction = find_instruction(card.options, FAMILIES.get(settings.family, GENERIC).instruction)
    return HfModel(load_checkpoint(settings), settings, ADAPTER_VERSION, instruction)


def check_card(card: ModelCard) -> None:
    """Raise for options that do not fit, for missing packages, and for a folder that is no checkpoint."""
    settings = _checked_settings(card)
    if not settings.on_hub:
        from ._hf.checkpoint import open_checkpoint

        open_checkpoint(settings)


def _checked_settings(card: ModelCard) -> HfSettings:
    settings = read_settings(card)
    if util.find_spec("torch") is None or util.find_spec("transformers") is None:
        raise MissingExtraError("torch and transformers", extra="hf")
    return settings
