"""A tiny training set and settings for CLEAR's training on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mmdbench.bagel.chunks import Engine
from mmdbench.training.clear.grpo import GrpoTask, GrpoTraining
from mmdbench.training.clear.grpo_profiles import (
    GRPO_PAPER,
    GrpoLossSettings,
    GrpoProfile,
    RewardSettings,
    RolloutSettings,
    SdeSettings,
)
from mmdbench.training.clear.grpo_prompts import GrpoPrompt, read_prompts
from mmdbench.training.clear.grpo_rewards import RewardFunction
from mmdbench.training.clear.loop import make_accelerator
from mmdbench.training.clear.pictures import PictureSizes
from mmdbench.training.clear.profiles import REPO, OptimiserSettings, PackingSettings, SftProfile
from mmdbench.training.clear.samples import SftSample, SftSource, read_sft_samples
from mmdbench.training.clear.stepping import TrainingFolder
from mmdbench.training.training_format import Conversation, TrainingRecord, human_turn, write_records
from pictures import picture, png

SYSTEM = "Restore it if you must."
TINY = replace(
    REPO,
    name="tiny",
    optimiser=OptimiserSettings(learning_rate=3e-3, warmup_steps=2, steps=6, weight_decay=0.01),
    packing=PackingSettings(expected_rows=300, max_rows=700, waiting=3, prefer_waiting_below=200),
    autocast="no",
    saved_dtype="float32",
    layer_checkpointing=False,
)


def small_sft_profile(**optimiser: float) -> SftProfile:
    """A profile for a few steps on a tiny model."""
    return replace(TINY, optimiser=replace(TINY.optimiser, **optimiser))


def write_sft_set(folder: Path, direct: int = 3, generate: int = 3) -> Path:
    """Write a training set with small pictures; returns its file."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    records = []
    for number in range(direct + generate):
        restores = number >= direct
        for name in ("degraded", "clean"):
            (folder / f"pictures/{name}_{number}.png").write_bytes(png(picture(number)))
        answer = f"<think>I see.</think>\n<answer>{'ABCD'[number % 4]}</answer>"
        text = f"<think>Too dark.</think>\n<image_restore>\n{answer}" if restores else answer
        records.append(
            TrainingRecord(
                str(number),
                "toy",
                "sft",
                f"pictures/degraded_{number}.png",
                Conversation((human_turn("Which?"), ("gpt", text))),
                clean_image=f"pictures/clean_{number}.png" if restores else "",
            )
        )
    write_records(folder / "sft.jsonl", records)
    return folder / "sft.jsonl"


def tiny_samples(file: Path, engine: Engine) -> Mapping[str, tuple[SftSample, ...]]:
    """The samples of a training set."""
    layout = PictureSizes(engine.sizes, engine.patch)
    return read_sft_samples(SftSource(file, SYSTEM, engine.tokenizer.encode, layout))


TINY_GRPO = replace(
    GRPO_PAPER,
    name="tiny",
    optimiser=OptimiserSettings(3e-3, warmup_steps=0, steps=4, accumulation=4),
    loss=GrpoLossSettings(),
    sampler=SdeSettings(steps=4),
    rollout=RolloutSettings(max_turns=2, max_new_tokens=14),
    rewards=RewardSettings(accuracy="exact"),
    autocast="no",
    saved_dtype="float32",
    layer_checkpointing=False,
)


def write_rl_set(folder: Path, count: int = 3) -> Path:
    """Write a set of prompts with small pictures; returns its file."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    records = []
    for number in range(count):
        for name in ("degraded", "clean"):
            (folder / f"pictures/rl_{name}_{number}.png").write_bytes(png(picture(number)))
        turns = (human_turn(f"Which is {number}?"), ("gpt", "ABCD"[number % 4]))
        image, clean = (f"pictures/rl_{name}_{number}.png" for name in ("degraded", "clean"))
        records.append(
            TrainingRecord(str(number), "toy", "rl", image, Conversation(turns), clean_image=clean)
        )
    write_records(folder / "rl.jsonl", records)
    return folder / "rl.jsonl"


def tiny_prompts(file: Path, engine: Engine) -> tuple[GrpoPrompt, ...]:
    """The prompts of a set."""
    layout = PictureSizes(engine.sizes, engine.patch)
    return read_prompts(SftSource(file, SYSTEM, engine.tokenizer.encode, layout))


def grpo_training(
    engine: Engine, file: Path, folder: Path, reward: RewardFunction, profile: GrpoProfile = TINY_GRPO
) -> GrpoTraining:
    """A training on the CPU."""
    task = GrpoTask(tiny_prompts(file, engine), SYSTEM, reward)
    return GrpoTraining(engine, task, profile, TrainingFolder(folder, make_accelerator("no"), {"data": 1}))
