"""Time and memory of a step of CLEAR's supervised training, for `gpu_clear.py`.

The weights stay in bfloat16 and there is no optimiser: at the real size AdamW's states and float32 weights
need several GPUs (docs/training.md), the pass forward and backward does not.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mmdbench.bagel.chunks import Engine
from mmdbench.training.clear.forward import PackedModel, freeze, trained_tensors
from mmdbench.training.clear.layout import PackedSequence, TextMarkers, lay_out
from mmdbench.training.clear.losses import sft_losses
from mmdbench.training.clear.packing import PackStream, StreamPlace, seeded
from mmdbench.training.clear.pictures import PictureReader, PictureSizes
from mmdbench.training.clear.profiles import REPO, PackingSettings
from mmdbench.training.clear.samples import SftSource, read_sft_samples
from mmdbench.training.tiny_set import write_tiny_set

__all__ = ["training_step"]

_SYSTEM = "Ask for a clean picture with <image_restore> if you need one, think, and then answer."


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
    device, profile = engine.model.device, REPO
    if not (folder / "sft.jsonl").is_file():
        write_tiny_set(folder)
    sequence = _sequence(engine, folder / "sft.jsonl", rows).to(device)
    freeze(engine.model)
    model = PackedModel(engine.model, layer_checkpointing=profile.layer_checkpointing).train()
    seconds: dict[str, list[float]] = {"forward": [], "backward": []}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(repeats + 1):
        model.zero_grad(set_to_none=True)
        started = _now(device)
        with torch.autocast(device.type, torch.bfloat16):
            losses = sft_losses(model(sequence), sequence, profile)
        between = _now(device)
        losses.total.backward()
        seconds["forward"].append(between - started)
        seconds["backward"].append(_now(device) - between)
    assert all(tensor.grad is not None for tensor in trained_tensors(model).values())
    own = {f"{name}_s": round(statistics.median(values[1:]), 4) for name, values in seconds.items()}
    found: dict[str, Any] = {"rows": sequence.length, **own, "loss": round(losses.total.item(), 4)}
    found["rows_per_second"] = round(sequence.length / sum(own.values()), 1)
    if device.type == "cuda":
        found["peak_gib"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
    model.zero_grad(set_to_none=True)
    engine.model.requires_grad_(False)
    return found


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _sequence(engine: Engine, file: Path, rows: int) -> PackedSequence:
    """A pack of at least that many rows, nothing dropped."""
    sizes, marks = PictureSizes(engine.sizes, engine.patch), engine.tokenizer
    samples = read_sft_samples(SftSource(file, _SYSTEM, marks.encode, sizes))
    longest = max(sample.rows for group in samples.values() for sample in group)
    packing = PackingSettings(expected_rows=rows, max_rows=rows + longest)
    stream = PackStream(samples, packing, replace(REPO.drops, text=0.0, vit=0.0), StreamPlace())
    reader = PictureReader(sizes, engine.autoencoder, REPO.timestep_shift)
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
