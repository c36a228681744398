"""Families of models, as data: the prompts and settings that the authors of each use.

A new family that transformers knows needs one entry here and a model card. A family that is not
listed is prompted with its own chat template (see GENERIC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FAMILIES", "FOREIGN", "GENERIC", "PROMPT_RULES", "ModelFamily", "family_of"]

PROMPT_RULES = "1"
"""Version of the rules below; part of every fingerprint, so that a change repeats every request."""


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """The prompt and the answer of one family.

    `template` replaces the checkpoint's chat template: `{images}` is one placeholder for each
    image, `{text}` the prompt. `processor` are arguments for every call of the processor,
    `image_options` defaults of the image processor that a card may override, `switches`
    attributes that the processor is set to after loading. `answer_tags` enclose the final answer.
    `mcq_ending` replaces the benchmark's closing sentence; `instruction` names one that follows every
    question. `temperature` is that of sampling, 0 for greedy decoding. `same_size` keeps images of
    different sizes out of one batch, where the family would pad the pictures themselves.
    """

    name: str
    model_types: tuple[str, ...] = ()
    template: str = ""
    image_first: bool = True
    max_new_tokens: int = 2048
    image_backend: str = "pil"
    needs_torchvision: bool = False
    same_size: bool = False
    mcq_ending: str = ""
    instruction: str = ""
    temperature: float = 0.0
    answer_tags: tuple[str, str] | None = None
    image_options: Mapping[str, int] = field(default_factory=dict)
    processor: Mapping[str, Any] = field(default_factory=dict)
    generate: Mapping[str, Any] = field(default_factory=dict)
    switches: Mapping[str, Any] = field(default_factory=dict)


GENERIC = ModelFamily("generic")
"""A family that is not listed: the checkpoint's chat template, images first, greedy."""

FAMILIES: Mapping[str, ModelFamily] = {
    family.name: family
    for family in (
        GENERIC,
        ModelFamily(
            "janus",
            model_types=("janus",),
            # The published evaluation has no system prompt, which the processor would add.
            switches={"use_default_system_prompt": False},
            processor={"generation_mode": "text"},
            generate={"generation_mode": "text"},
            mcq_ending="Answer with the option's letter from the given choices directly.",
        ),
        ModelFamily(
            "emu3",
            model_types=("emu3",),
            # Converted checkpoints have no usable chat template; the full stop is part of the wording.
            template="You are a helpful assistant. USER: {images}{text}. ASSISTANT:",
            max_new_tokens=1024,
            same_size=True,
        ),
        ModelFamily(
            "qwen2.5-vl",
            model_types=("qwen2_5_vl",),
            needs_torchvision=True,
            image_options={"min_pixels": 1280 * 28 * 28, "max_pixels": 16384 * 28 * 28},
        ),
        ModelFamily(
            "robust-r1",
            # As its published demo asks: text before the picture, and its training's instruction.
            image_first=False,
            max_new_tokens=1024,
            temperature=0.6,
            instruction="robust-r1",
            needs_torchvision=True,
            answer_tags=("<ANSWER>", "<ANSWER_END>"),
        ),
        ModelFamily("gemma3", model_types=("gemma3",)),
        ModelFamily("internvl", model_types=("internvl",), needs_torchvision=True),
        ModelFamily("llava", model_types=("llava",)),
    )
}
"""Families by name; `robust-r1` has Qwen2.5-VL's model type and is chosen by its card."""

FOREIGN: Mapping[str, str] = {
    "multi_modality": "Use the converted checkpoint, deepseek-community/Janus-Pro-1B or -7B.",
    "Emu3": "Use the converted checkpoint, BAAI/Emu3-Chat-hf.",
    "internvl_chat": "Use the converted checkpoint, the same name with -hf (InternVL 3.5: -HF) at its end.",
    "llava_llama": "Use the converted checkpoint, llava-hf/llava-1.5-7b-hf.",
    "llava_qwen": "Use the converted checkpoint of llava-hf.",
    "minicpmv": "Use MiniCPM-V 4.6 or later, or ask this one from a server: vllm:<model>@<url>.",
    "molmo": "Use Molmo 2, or ask this one from a server: vllm:<model>@<url>.",
}
"""Model types of releases in a format of their own, with a hint to the converted checkpoint."""


def family_of(model_type: str) -> ModelFamily:
    """The family of a checkpoint's model type, GENERIC if it is not listed."""
    return next((f for f in FAMILIES.values() if model_type in f.model_types), GENERIC)
