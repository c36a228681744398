"""Time and memory of a step of CLEAR's trainings, supervised and by reinforcement, for `gpu_clear.py`.

The weights stay in bfloat16 and there is no optimiser: at the real size AdamW's states and float32 weights
need several GPUs (docs/training.md), the pass forward and backward does not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mmdbench.bagel.chunks import Engine
from mmdbench.bagel.dialogue import Injection
from mmdbench.training.clear.forward import PackedModel, freeze, trained_tensors
from mmdbench.training.clear.grpo_losses import PolicyScores, grpo_losses
from mmdbench.training.clear.grpo_profiles import GRPO_PAPER, RolloutSettings
from mmdbench.training.clear.grpo_prompts import read_prompts
from mmdbench.training.clear.grpo_rollouts import roll_out
from mmdbench.training.clear.grpo_scores import choose_step, completion_sequence, score_completion
from mmdbench.training.clear.layout import PackedSequence, TextMarkers, lay_out
from mmdbench.training.clear.losses import sft_losses
from mmdbench.training.clear.packing import PackStream, StreamPlace, seeded
from mmdbench.training.clear.pictures import PictureReader, PictureSizes
from mmdbench.training.clear.profiles import REPO, PackingSettings
from mmdbench.training.clear.samples import SftSource, read_sft_samples
from mmdbench.training.tiny_set import write_tiny_set

__all__ = ["grpo_step", "training_step"]

_SYSTEM = "Ask for a clean picture with <image_restore> if you need one, think, and then answer."


_TEXTS = ("<think>The picture is dark.</think><image_restore>", "<answer>A</answer>")


def training_step(engine: Engine, folder: Path, rows: int, repeats: int) -> dict[str, Any]:
    """Seconds of a pass forward and backward over a pack, and peak memory.

    Args:
        engine: The model, on its device.
        folder: The folder for the training set.
        rows: Rows of the pack, at least.
        repeats: Measured passes, after one that is not.

    Returns:
        The numbers by name.
    """
    sequence = _sequence(engine, _tiny_set(folder) / "sft.jsonl", rows).to(engine.model.device)

    def loss(model: PackedModel) -> torch.Tensor:
        return sft_losses(model(sequence), sequence, REPO).total

    return _passes(engine, sequence, loss, repeats)


def grpo_step(engine: Engine, folder: Path, steps: int, repeats: int) -> dict[str, Any]:
    """Seconds of a group's rollout and of a pass forward and backward over one of its completions.

    Texts are given, because random weights ask for no picture: what the rollout takes is reading them and one
    restoration for each of two completions.

    Args:
        engine: The model, on its device.
        folder: The folder for the training set.
        steps: Noise levels of a restoration.
        repeats: Measured passes, after one that is not.

    Returns:
        The numbers by name.
    """
    profile = replace(
        GRPO_PAPER,
        sampler=replace(GRPO_PAPER.sampler, steps=steps),
        rollout=RolloutSettings(group=2, max_turns=2, max_new_tokens=16),
        optimiser=replace(GRPO_PAPER.optimiser, accumulation=2),
    )
    source, marks = _source(engine, _tiny_set(folder) / "rl.jsonl"), engine.tokenizer
    reader = PictureReader(source.layout, engine.autoencoder, 1.0)
    drawn, told = (0, read_prompts(source)[0]), Injection(texts=_TEXTS, limits=(2, 2))
    started = _now(engine.model.device)
    with torch.autocast(engine.model.device.type, torch.bfloat16):
        group = roll_out(engine, reader, _SYSTEM, drawn, profile, told)
    seconds = _now(engine.model.device) - started
    rollout = group.rollouts[0]
    trained = choose_step(rollout, seeded("step", 0))
    markers = TextMarkers(marks.bos, marks.eos, marks.image_start, marks.image_end)
    sequence = completion_sequence(group, rollout, trained, markers, reader).to(engine.model.device)

    def loss(model: PackedModel) -> torch.Tensor:
        scores = score_completion(model, sequence, trained, profile, engine.sizes.logits_limit)
        assert scores.picture is not None
        text, picture = PolicyScores(scores.text), PolicyScores(scores.picture)
        return grpo_losses(text, picture, 1.0, replace(profile.loss, beta=0.0)).total

    return {"rollout_s": round(seconds, 4), **_passes(engine, sequence, loss, repeats)}


def _passes(
    engine: Engine, sequence: PackedSequence, loss: Callable[[PackedModel], torch.Tensor], repeats: int
) -> dict[str, Any]:
    """Median seconds of a pass forward and one backward, with peak memory."""
    device = engine.model.device
    freeze(engine.model)
    model = PackedModel(engine.model, layer_checkpointing=REPO.layer_checkpointing).train()
    seconds: dict[str, list[float]] = {"forward": [], "backward": []}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(repeats + 1):
        model.zero_grad(set_to_none=True)
        started = _now(device)
        with torch.autocast(device.type, torch.bfloat16):
            total = loss(model)
        between = _now(device)
        total.backward()
        seconds["forward"].append(between - started)
        seconds["backward"].append(_now(device) - between)
    assert all(tensor.grad is not None for tensor in trained_tensors(model).values())
    own = {f"{name}_s": round(statistics.median(values[1:]), 4) for name, values in seconds.items()}
    found: dict[str, Any] = {"rows": sequence.length, **own, "loss": round(total.item(), 4)}
    found["rows_per_second"] = round(sequence.length / sum(own.values()), 1)
    if device.type == "cuda":
        found["peak_gib"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
    model.zero_grad(set_to_none=True)
    model.eval()
    engine.model.requires_grad_(False)
    return found


def _tiny_set(folder: Path) -> Path:
    """The folder, with a training set in it."""
    if not (folder / "sft.jsonl").is_file():
        write_tiny_set(folder)
    return folder


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _source(engine: Engine, file: Path) -> SftSource:
    return SftSource(file, _SYSTEM, engine.tokenizer.encode, PictureSizes(engine.sizes, engine.patch))


def _sequence(engine: Engine, file: Path, rows: int) -> PackedSequence:
    """A pack of at least that many rows, nothing dropped."""
    source, marks = _source(engine, file), engine.tokenizer
    samples = read_sft_samples(source)
    longest = max(sample.rows for group in samples.values() for sample in group)
    packing = PackingSettings(expected_rows=rows, max_rows=rows + longest)
    stream = PackStream(samples, packing, replace(REPO.drops, text=0.0, vit=0.0), StreamPlace())
    reader = PictureReader(source.layout, engine.autoencoder, REPO.timestep_shift)
    chance = seeded("noise", 0)
    with torch.autocast(engine.model.device.type, torch.bfloat16):
        filled = [
            reader.fill(
                drawn.segments,
                stream.samples[drawn.group][drawn.row].pictures(),
                lambda shape: torch.randn(shape, generator=chance),
            )
            for drawn in stream.next_pack()
        ]
    return lay_out(
        filled, TextMarkers(marks.bos, marks.eos, marks.image_start, marks.image_end), engine.sizes
    )
