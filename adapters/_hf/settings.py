"""Reads and checks the options of a model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.system.bounds import require_at_least

from .families import FAMILIES

__all__ = ["QUANTIZATIONS", "HfSettings", "read_settings"]

QUANTIZATIONS = ("4bit", "8bit")
"""Kinds of quantised weights."""

_BACKENDS = ("pil", "torchvision")
_ATTENTION = ("sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention")
_GENERATION = ("max_new_tokens", "temperature")
_TEMPLATE_ARGUMENTS = (
    *("conversation", "chat_template", "tools", "documents", "add_generation_prompt", "tokenize"),
    *("continue_final_message", "return_tensors", "return_dict", "processor_kwargs"),
)
_DTYPES = ("auto", "bfloat16", "float16", "float32")


@dataclass(frozen=True, slots=True)
class HfSettings:
    """The options of a card; an empty text, 0 or None leaves the choice to the family or the machine.

    `repo` is the card's `model`: a folder, or a repository on the Hugging Face Hub, with or
    without @revision; `batch` is the most requests at
    once; `vision_tower` a file, folder or repository with weights for the vision tower;
    `mcq_ending` another closing sentence than the family's ("" for the benchmark's own); `instruction`
    another instruction than the family's ("" for none), which `instruction_file` may hold and
    `prompt_repository` publish. `temperature` is None for the family's. `chat_template` are variables of the
    checkpoint's chat template, such as `enable_thinking`; `lora` is a folder or repository with LoRA weights.
    """

    repo: str
    family: str = ""
    revision: str = ""
    device: str = "auto"
    dtype: str = "auto"
    attn: str = ""
    batch: int = 0
    min_pixels: int = 0
    max_pixels: int = 0
    image_backend: str = ""
    vision_tower: str = ""
    mcq_ending: str | None = None
    instruction: str | None = None
    instruction_file: str = ""
    prompt_repository: str = ""
    max_new_tokens: int = 0
    temperature: float | None = None
    chat_template: Mapping[str, Any] = field(default_factory=dict)
    quantization: str = ""
    lora: str = ""

    @property
    def on_hub(self) -> bool:
        """True if the model can be a repository of the Hub: owner/name, and no folder of this machine."""
        return self.folder is None and self.repo[0] not in "./~\\" and self.repo.count("/") == 1

    @property
    def folder(self) -> Path | None:
        """The checkpoint's folder, None if `repo` is a repository of the Hub."""
        path = Path(self.repo).expanduser()
        return path if path.is_dir() else None


def read_settings(card: ModelCard) -> HfSettings:
    """The settings of a card. Raises UsageError or UnknownNameError for an option that does not fit."""
    where = f"the model card [{card.name}]"
    known = [f.name for f in fields(HfSettings) if f.name != "repo"]
    for key in card.options:
        if key not in known:
            raise UnknownNameError(f"option in {where}:", key, known)
    for key in card.generation:
        if key not in _GENERATION:
            raise UnknownNameError(f"generation setting in {where}:", key, _GENERATION)
    values = {"repo": card.model, **card.options, **card.generation}
    _check_types(values, where)
    _check_choices(values, where)
    if not values["repo"]:
        raise UsageError(
            f"{where[0].upper()}{where[1:]} names no checkpoint.",
            hint="Set model to owner/name on the Hugging Face Hub or to a folder; or use hf:<owner/name>.",
        )
    return HfSettings(**_with_revision(values))


def _with_revision(values: Mapping[str, Any]) -> dict[str, Any]:
    repo, at, revision = str(values["repo"]).rpartition("@")
    if not at or Path(values["repo"]).expanduser().exists():
        return dict(values)
    return {"revision": revision, **values, "repo": repo}


def _check_types(values: Mapping[str, Any], where: str) -> None:
    numbers = {"batch", "min_pixels", "max_pixels", "max_new_tokens"}
    for key, value in values.items():
        if key == "temperature":
            require_at_least(f"{key} in {where}", value, 0)
        elif key == "chat_template":
            _check_template(value, where)
        elif key in numbers:
            require_at_least(f"{key} in {where}", value, 1, whole=True)
        elif not isinstance(value, str):
            raise UsageError(f"{key} in {where} must be a text, got {value!r}.")


def _check_template(value: Any, where: str) -> None:
    known = isinstance(value, Mapping) and all(
        isinstance(v, bool | int | float | str) for v in value.values()
    )
    if not known:
        raise UsageError(
            f"chat_template in {where} must be a table of texts, numbers, true and false, got {value!r}.",
            hint="Write --set chat_template.enable_thinking=false.",
        )
    taken = [name for name in value if name in _TEMPLATE_ARGUMENTS]
    if taken:
        raise UsageError(f"chat_template.{taken[0]} in {where} is set by mmdbench.", hint="Leave it out.")


def _check_choices(values: Mapping[str, Any], where: str) -> None:
    choices = {
        "family": tuple(FAMILIES),
        "image_backend": _BACKENDS,
        "attn": _ATTENTION,
        "dtype": _DTYPES,
        "quantization": QUANTIZATIONS,
    }
    for key, known in choices.items():
        if values.get(key) and values[key] not in known:
            raise UnknownNameError(f"{key} in {where}:", values[key], known)
    if 0 < values.get("max_pixels", 0) < values.get("min_pixels", 0):
        raise UsageError(f"max_pixels in {where} is below min_pixels.")
    if values.get("quantization") and values.get("vision_tower"):
        raise UsageError(
            f"vision_tower in {where} cannot replace quantised weights.", hint="Set one of the two."
        )
