"""LoRA weights: found in a folder or a repository, applied to a model, and known by their content."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from mmdbench.errors import MissingExtraError, ModelError
from mmdbench.system.digest import file_hash, value_digest
from mmdbench.system.json_text import parse_json

__all__ = ["LoraWeights", "apply_lora", "find_lora"]

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class LoraWeights:
    """LoRA weights on this machine; `digest` is that of their config and weights."""

    folder: Path
    digest: str


def find_lora(place: str) -> LoraWeights:
    """The LoRA weights of `place`: a folder, or `owner/name[@revision]` on the Hub.

    Raises MissingExtraError without peft, ModelError if a file is missing or the adapter is of another kind.
    """
    if util.find_spec("peft") is None:
        raise MissingExtraError("peft", extra="lora")
    path = Path(place).expanduser()
    folder = path if path.is_dir() else _download(place)
    for name in (_CONFIG, _WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(
                f"There is no {name} in {folder}.", hint="A LoRA folder is one that peft has saved."
            )
    try:
        kind = parse_json((folder / _CONFIG).read_text("utf-8"), lenient=True)["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / _CONFIG} is not the config of a LoRA: {error}.") from error
    if kind != "LORA":
        raise ModelError(f"{folder} holds weights of the kind {kind}, and only LORA is applied.")
    return LoraWeights(
        folder, value_digest({name: file_hash(folder / name, "sha256") for name in (_CONFIG, _WEIGHTS)})
    )


def _download(place: str) -> Path:
    from transformers.utils.hub import cached_file

    repo, _, revision = place.partition("@")
    if place[0] in "./~\\" or repo.count("/") != 1:
        raise ModelError(f"There is no LoRA folder {place}.", hint="Name a folder, or owner/name on the Hub.")
    try:
        found = [cached_file(repo, name, revision=revision or None) for name in (_CONFIG, _WEIGHTS)]
    except OSError as error:
        raise ModelError(f"Cannot read the LoRA {place}: {str(error).splitlines()[0]}") from error
    return Path(str(found[0])).parent


def apply_lora(model: Any, lora: LoraWeights) -> Any:
    """The model with the LoRA in its layers. Raises ModelError unless each of its weights has a place."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of them is an error below
            made = PeftModel.from_pretrained(model, str(lora.folder))
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError) as error:
        raise ModelError(
            f"The LoRA in {lora.folder} does not fit {type(model).__name__}: {error}",
            hint="It must have been trained on this checkpoint.",
        ) from error
    with safe_open(lora.folder / _WEIGHTS, "pt") as file:
        saved = set(file.keys())
    # For peft, weights without a place are a warning, and the model would answer without them.
    wrong = sorted(saved ^ set(get_peft_model_state_dict(made)))
    if wrong:
        raise ModelError(
            f"The LoRA in {lora.folder} does not fit {type(model).__name__}: {len(wrong)} weights differ, "
            f"such as {wrong[0]}.",
            hint="It must have been trained on this checkpoint, with this release of transformers.",
        )
    return made.get_base_model()
