"""Presets of all trainings: the profiles of papers and codes, a tiny one, and the papers' ablations.

An ablation is a profile with some settings changed; `mmdbench list presets` shows all of them.

Sources: CLEAR (arXiv 2604.04780), table 3, and its code; Robust-R1 (arXiv 2512.17532), table 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, get_type_hints

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.system.shapes import check_shape
from mmdbench.training.clear import grpo_profiles as grpo
from mmdbench.training.clear import profiles as clear
from mmdbench.training.robust import profiles as robust
from mmdbench.training.robust_r1 import BLOCKS

__all__ = ["PRESETS", "TASKS", "Preset", "changed", "find_profile"]

TASKS: Mapping[str, Mapping[str, Any]] = {
    "clear-sft": clear.SFT_PROFILES,
    "clear-grpo": grpo.GRPO_PROFILES,
    "robust-r1-sft": robust.SFT_PROFILES,
    "robust-r1-grpo": robust.GRPO_PROFILES,
}
"""The profiles of every training, by its name and theirs."""

_Settings = TypeVar("_Settings")


@dataclass(frozen=True, slots=True)
class Preset:
    """A profile of a training, or a small difference to one: `changes` are settings by name."""

    name: str
    task: str
    base: str
    meaning: str
    changes: Mapping[str, Any] = field(default_factory=dict)


_TINY = {"autocast": "no", "layer_checkpointing": False}
_TINY_ROBUST = {**_TINY, "targets": {"instruction": "mmdbench-robust-r1/1"}}
_TINY_TRAINER = {"accumulation": 1, "warmup_steps": 0, "schedule": "constant"}
_WITHOUT_REASONING = {"targets": {"blocks": [name for name in BLOCKS if name != "REASONING"]}}

PRESETS = (
    Preset("paper", "clear-sft", "paper", "numbers of CLEAR's paper; the code's where it has none"),
    Preset("repo", "clear-sft", "repo", "numbers of CLEAR's code at 411d6bd"),
    Preset(
        "repo-final-mse",
        "clear-sft",
        "repo",
        "CLEAR's code at the paper's date: another distillation, 600 steps, no decay",
        {
            "distillation": {"mode": "final_mse", "weight": 0.1},
            "optimiser": {"steps": 600, "warmup_steps": 50, "weight_decay": 0.0},
        },
    ),
    Preset(
        "bridge-without-grpo",
        "clear-sft",
        "paper",
        "CLEAR's ablation: this training alone, evaluated with feedback=bridge",
    ),
    Preset(
        "without-distillation",
        "clear-sft",
        "paper",
        "no loss that draws latent tokens to ViT tokens",
        {"distillation": {"weight": 0.0}},
    ),
    Preset(
        "tiny",
        "clear-sft",
        "repo",
        "brings a tiny model and data: 160 steps, less than a minute on a CPU",
        {
            **_TINY,
            "optimiser": {"learning_rate": 1e-2, "warmup_steps": 10, "steps": 160, "ema_decay": 0.9},
            "drops": {"text": 0.0, "vit": 0.2},
            "packing": {"expected_rows": 350, "max_rows": 1024, "waiting": 3, "prefer_waiting_below": 200},
            "saved_dtype": "float32",
        },
    ),
    Preset("paper", "clear-grpo", "paper", "numbers of CLEAR's paper; the code's where it has none"),
    Preset("repo", "clear-grpo", "repo", "numbers of CLEAR's code at 411d6bd, with the right attention mask"),
    Preset(
        "repo-grpo",
        "clear-grpo",
        "repo",
        "CLEAR's code at the paper's date: means over completions, the decision's reward, 200 rounds of 16",
        {
            "optimiser": {"steps": 200, "accumulation": 16},
            "loss": {"normalisation": "per_completion"},
            "rewards": {"weights": {"accuracy": 0.75, "format": 0.10, "decision": 0.15}},
        },
    ),
    Preset(
        "reencode",
        "clear-grpo",
        "paper",
        "CLEAR's ablation: restored pictures are decoded and read again by the ViT, not through the bridge",
        {"rollout": {"feedback": "reencode"}},
    ),
    *(
        Preset(
            f"lambda-{weight:g}",
            "clear-grpo",
            "paper",
            f"CLEAR's ablation: the picture's loss counts {weight:g}, not 0.3",
            {"loss": {"picture_weight": weight}},
        )
        for weight in (0.0, 0.1, 0.5, 1.0)
    ),
    *(
        Preset(
            f"rewards-{accuracy:g}-{layout:g}-{decision:g}",
            "clear-grpo",
            "paper",
            "CLEAR's ablation: weights of accuracy, format and decision, not 0.75, 0.1 and 0.15",
            {"rewards": {"weights": {"accuracy": accuracy, "format": layout, "decision": decision}}},
        )
        for accuracy, layout, decision in (
            (1.0, 0.0, 0.0),
            (0.85, 0.1, 0.05),
            (0.65, 0.1, 0.25),
            (0.6, 0.15, 0.25),
        )
    ),
    *(
        Preset(
            f"steps-{steps}",
            "clear-grpo",
            "paper",
            f"CLEAR's ablation of steps: {steps} noise levels, not 30; sampler.steps sets others",
            {"sampler": {"steps": steps}},
        )
        for steps in (10, 20, 50)
    ),
    Preset(
        "tiny",
        "clear-grpo",
        "paper",
        "for a tiny model: 4 rounds of two groups, a minute on a CPU",
        {
            **_TINY,
            "optimiser": {"learning_rate": 1e-3, "warmup_steps": 0, "steps": 4, "accumulation": 8},
            "sampler": {"steps": 4},
            "rollout": {"max_turns": 2, "max_new_tokens": 24},
            "rewards": {"accuracy": "exact"},
            "saved_dtype": "float32",
        },
    ),
    Preset("paper", "robust-r1-sft", "paper", "Robust-R1's procedure; its sources have no numbers, ours do"),
    Preset(
        "without-reasoning",
        "robust-r1-sft",
        "paper",
        "Robust-R1's ablation: chains without their REASONING block",
        _WITHOUT_REASONING,
    ),
    Preset(
        "tiny",
        "robust-r1-sft",
        "paper",
        "for a tiny model: 20 steps, a minute on a CPU",
        {**_TINY_ROBUST, "optimiser": {**_TINY_TRAINER, "learning_rate": 5e-3, "batch": 2, "steps": 20}},
    ),
    Preset("paper", "robust-r1-grpo", "paper", "Robust-R1's paper, r_deg + r_len; the code's numbers"),
    Preset("repo", "robust-r1-grpo", "repo", "numbers and four rewards of Robust-R1's code at 02f2c9d"),
    Preset(
        "without-r-deg",
        "robust-r1-grpo",
        "paper",
        "Robust-R1's ablation: no reward for the degradations",
        {"rewards": {"length": 1.0}},
    ),
    Preset(
        "without-r-len",
        "robust-r1-grpo",
        "paper",
        "Robust-R1's ablation: no reward for the length",
        {"rewards": {"degradation": 1.0}},
    ),
    Preset(
        "without-reasoning",
        "robust-r1-grpo",
        "paper",
        "Robust-R1's ablation, after the supervised training of that name",
        _WITHOUT_REASONING,
    ),
    Preset(
        "tiny",
        "robust-r1-grpo",
        "repo",
        "for a tiny model: 5 steps of two groups, a minute on a CPU",
        {
            **_TINY_ROBUST,
            "optimiser": {**_TINY_TRAINER, "learning_rate": 5e-3, "batch": 8, "steps": 5},
            "group": 4,
            "max_completion": 16,
        },
    ),
)
"""Every preset of every training."""


def find_profile(task: str, preset: str, settings: Mapping[str, Any]) -> Any:
    """All settings of a training.

    Args:
        task: The training, one of `TASKS`.
        preset: The name of one of its presets.
        settings: Settings that differ from the preset's, by name; settings in groups are mappings.

    Returns:
        The profile of the training, named as the preset.

    Raises:
        UnknownNameError: There is no such training, preset or setting.
        DataError: A setting is of another type.
    """
    if task not in TASKS:
        raise UnknownNameError("training", task, TASKS)
    known = {found.name: found for found in PRESETS if found.task == task}
    if preset not in known:
        raise UnknownNameError(f"preset of {task}", preset, known, see="mmdbench list presets")
    found = known[preset]
    profile = replace(TASKS[task][found.base], name=preset)
    return changed(changed(profile, found.changes, f"preset {preset}"), settings, "settings")


def changed(value: _Settings, changes: Mapping[str, Any], where: str) -> _Settings:
    """Settings with some of them changed.

    Args:
        value: A frozen dataclass, of values and of such dataclasses.
        changes: New values by name, as JSON or YAML gives them.
        where: The place of the changes, for messages.

    Returns:
        The settings.

    Raises:
        UnknownNameError: There is no such setting.
        DataError: A value is of another type.
    """
    shape: Any = type(value)
    hints = get_type_hints(shape)
    known = [f.name for f in fields(shape) if f.name != "name"]
    made: dict[str, Any] = {}
    for name, new in changes.items():
        if name not in known:
            raise UnknownNameError(f"setting in {where}:", name, known)
        old, place = getattr(value, name), f"{where}.{name}"
        if is_dataclass(old):
            if not isinstance(new, Mapping):
                raise UsageError(f"{place} must be a table of settings, got {new!r:.60}.")
            made[name] = changed(old, new, place)
            continue
        plain = _as_number(new) if hints[name] in (float, float | None) else new
        check_shape(plain, hints[name], place)
        made[name] = tuple(plain) if isinstance(plain, list) else plain
    done: Any = replace(value, **made)  # type: ignore[type-var]
    return done  # type: ignore[no-any-return]


def _as_number(value: Any) -> Any:
    """A number that YAML takes for a text, as it does 1e-5."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
