"""Reads and checks the options of a model card, without torch."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdbench.adapters._local.hub import HubSource, parse_source

from mmdbench.bagel.checkpoint import PROMPT_FILE, SIZES_FILE
from mmdbench.bagel.settings import (
    FEEDBACKS,
    LATENT_SOURCES,
    MODES,
    PRESETS,
    RENORMS,
    DenoisingSettings,
    DialogueSettings,
    Sizes,
    Transform,
)
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.system.bounds import require_at_least, require_between
from mmdbench.system.environment import is_offline
from mmdbench.system.json_text import parse_json

__all__ = ["GENERATION", "ClearOptions", "read_options", "with_generation"]

GENERATION = ("max_new_tokens", "temperature", "top_p")
"""The generation settings that a card or a request may have."""


@dataclass(frozen=True, slots=True)
class ClearOptions:
    """Places of the files, on this machine or on the Hub, and settings of a model."""

    base_dir: Path | HubSource
    weights: Path | HubSource
    variant: str | None
    dialogue: DialogueSettings
    sizes: Sizes
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = 1
    seed: int = 0
    system_prompt_file: Path | None = None
    prompt_repository: str = ""
    offline: bool = False
    keep_images: str = ""
    white_background: bool = False
    compile: bool = False


def read_options(card: ModelCard) -> ClearOptions:
    """The options of a card, with its generation settings. Raises UsageError for a value not allowed."""
    given = {**_of_folder(card.model), **card.options, **card.generation}
    for name in given:
        if name not in _READERS:
            raise UnknownNameError(f"option of the model card [{card.name}]:", name, _READERS)
    values = {name: _READERS[name](name, value) for name, value in given.items() if value is not None}
    if "base_dir" not in values:
        raise UsageError(f"The model card [{card.name}] names no base_dir.", hint="--set base_dir=PATH")
    return ClearOptions(
        base_dir=values["base_dir"],
        weights=values.get("weights", values["base_dir"]),
        variant=values.get("variant"),
        dialogue=_dialogue(values),
        sizes=_sizes(values),
        offline=values.get("offline", is_offline()),
        **{name: values[name] for name in _PLAIN if name in values},
    )


def _of_folder(model: str) -> dict[str, Any]:
    """The options of a folder that `mmdbench train` wrote, as in clear:FOLDER."""
    if not model:
        return {}
    folder = Path(model).expanduser()
    own = {"system_prompt_file": PROMPT_FILE, "sizes_file": SIZES_FILE}
    found = {option: str(folder / name) for option, name in own.items() if (folder / name).is_file()}
    return {"base_dir": model, "weights": model, **found}


_PLAIN = (
    "device",
    "dtype",
    "batch_size",
    "seed",
    "system_prompt_file",
    "prompt_repository",
    "keep_images",
    "white_background",
    "compile",
)


def with_generation(dialogue: DialogueSettings, generation: Mapping[str, Any]) -> DialogueSettings:
    """The dialogue with a request's own generation settings."""
    for name in generation:
        if name not in GENERATION:
            raise UnknownNameError("generation setting", name, GENERATION)
    return replace(dialogue, **{name: _READERS[name](name, value) for name, value in generation.items()})


def _dialogue(values: Mapping[str, Any]) -> DialogueSettings:
    preset: DenoisingSettings = PRESETS[values.get("preset", "paper")]
    names = ("steps", "shift", "interval", "renorm", "renorm_min")
    changes = {name: values[name] for name in names if name in values}
    if "guidance" in values:
        changes["text_guidance"], changes["image_guidance"] = values["guidance"]
    own = ("mode", "feedback", "latent_source", "max_turns", "consider_think", *GENERATION)
    return DialogueSettings(
        denoising=replace(preset, **changes), **{name: values[name] for name in own if name in values}
    )


def _sizes(values: Mapping[str, Any]) -> Sizes:
    sizes: Sizes = values.get("sizes_file", Sizes())
    if "vit_max" not in values:
        return sizes
    rule = sizes.vit_transform
    largest = sizes.vit_side * rule.stride
    require_between("The option vit_max", values["vit_max"], rule.min_side, largest)
    return replace(
        sizes, vit_transform=Transform(values["vit_max"], rule.min_side, rule.stride, rule.max_pixels)
    )


def _refused(name: str, value: Any, wish: str) -> UsageError:
    return UsageError(f"The option {name} must be {wish}, got {value!r}.")


def _one_of(*known: str) -> Callable[[str, Any], str]:
    def read(name: str, value: Any) -> str:
        if value not in known:
            raise UnknownNameError(f"value of the option {name}:", value, known)
        return str(value)

    return read


def _whole(least: int) -> Callable[[str, Any], int]:
    def read(name: str, value: Any) -> int:
        try:
            number = int(str(value))
        except ValueError:
            raise _refused(name, value, "a whole number") from None
        require_at_least(f"The option {name}", number, least, whole=True)
        return number

    return read


def _number(least: float, most: float = float("inf")) -> Callable[[str, Any], float]:
    def read(name: str, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise _refused(name, value, "a number") from None
        if most == float("inf"):
            require_at_least(f"The option {name}", number, least)
        else:
            require_between(f"The option {name}", number, least, most)
        return number

    return read


def _pair(least: float, most: float = float("inf")) -> Callable[[str, Any], tuple[float, float]]:
    def read(name: str, value: Any) -> tuple[float, float]:
        parts = value.strip("[] ").split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)) or len(parts) != 2:
            raise _refused(name, value, "two numbers")
        one = _number(least, most)
        return one(name, parts[0]), one(name, parts[1])

    return read


def _flag(name: str, value: Any) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).lower() not in known:
        raise _refused(name, value, "true or false")
    return known[str(value).lower()]


def _word(_name: str, value: Any) -> str:
    return str(value)


def _path(name: str, value: Any) -> Path:
    text = os.path.expandvars(str(value))
    unset = re.search(r"\$\{?(\w+)", text)
    if unset:
        raise UsageError(
            f"The option {name} is {value!r}, but ${unset.group(1)} is not set.",
            hint=f"Set it, or give the path itself: --set {name}=PATH",
        )
    return Path(text).expanduser()


_PUBLISHED = {
    "MMDBENCH_BAGEL": "hf:ByteDance-Seed/BAGEL-7B-MoT",
    "MMDBENCH_CLEAR": "hf:CUDAOUTOFMEMORY/CLEAR",
}
"""The repositories that the variables of the shipped cards stand for where they are not set."""


def _place(name: str, value: Any) -> Path | HubSource:
    variable = re.fullmatch(r"\$\{?(\w+)\}?", str(value))
    if variable and variable[1] in _PUBLISHED:
        value = os.environ.get(variable[1]) or _PUBLISHED[variable[1]]
    return parse_source(os.path.expandvars(str(value))) or _path(name, value)


def _sizes_file(name: str, value: Any) -> Sizes:
    path = _path(name, value)
    try:
        record = parse_json(path.read_text("utf-8"), lenient=True)
        return Sizes.from_mapping(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"The option {name} names {path}, which holds no sizes: {error}.") from error


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "base_dir": _place,
    "weights": _place,
    "variant": _one_of("ema", "model"),
    "mode": _one_of(*MODES),
    "feedback": _one_of(*FEEDBACKS),
    "latent_source": _one_of(*LATENT_SOURCES),
    "preset": _one_of(*PRESETS),
    "steps": _whole(2),
    "shift": _number(0.01),
    "interval": _pair(0, 1),
    "guidance": _pair(0),
    "renorm": _one_of(*RENORMS),
    "renorm_min": _number(0, 1),
    "max_turns": _whole(1),
    "max_new_tokens": _whole(1),
    "temperature": _number(0),
    "top_p": _number(0, 1),
    "consider_think": _flag,
    "vit_max": _whole(14),
    "sizes_file": _sizes_file,
    "device": _word,
    "dtype": _one_of("auto", "bfloat16", "float32"),
    "batch_size": _whole(1),
    "seed": _whole(0),
    "system_prompt_file": _path,
    "prompt_repository": _word,
    "offline": _flag,
    "keep_images": _word,
    "white_background": _flag,
    "compile": _flag,
}
