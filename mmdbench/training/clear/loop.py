"""Supervised training of CLEAR, step by step; on several GPUs through accelerate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor

from mmdbench._version import __version__
from mmdbench.bagel.bagel import Bagel
from mmdbench.bagel.chunks import Engine
from mmdbench.training.clear.checkpoints import (
    TrainingState,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from mmdbench.training.clear.forward import PackedModel, freeze, trained_tensors
from mmdbench.training.clear.layout import PackedSequence, TextMarkers, lay_out
from mmdbench.training.clear.losses import LossCounts, SftLosses, sft_losses
from mmdbench.training.clear.optimiser import MovingAverage, make_optimiser, make_schedule
from mmdbench.training.clear.packing import DrawnSample, PackStream, StreamPlace, seeded
from mmdbench.training.clear.pictures import PictureReader, PictureSizes
from mmdbench.training.clear.profiles import Precision, SftProfile
from mmdbench.training.clear.samples import SftSample
from mmdbench.training.clear.segments import SequenceSegment

__all__ = ["SftStep", "SftTraining", "count_steps", "make_accelerator"]

Samples = Mapping[str, tuple[SftSample, ...]]


@dataclass(frozen=True, slots=True)
class SftStep:
    """One update: losses as means over processes and packs, and the gradient's norm before clipping."""

    step: int
    ce: float
    mse: float
    distillation: float
    total: float
    gradient_norm: float
    learning_rate: float
    rows: int


def make_accelerator(autocast: Precision, bagel: Bagel | None = None) -> Accelerator:
    """The processes of a training, as `accelerate launch` starts them.

    Args:
        autocast: The precision of the forward pass.
        bagel: A model to shard over all GPUs (FSDP), each decoder layer on its own; None keeps a copy of
            the model in each process.

    Returns:
        The accelerator.
    """
    if bagel is None:
        return Accelerator(mixed_precision=autocast)
    layer = type(bagel.language_model.model.layers[0]).__name__
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=[layer]
    )
    return Accelerator(mixed_precision=autocast, fsdp_plugin=plugin)


def count_steps(profile: SftProfile, samples: Samples, processes: int) -> int:
    """The number of updates: that of the profile, or as many as its epochs have rows for.

    Args:
        profile: The settings.
        samples: The samples by group.
        processes: The number of processes, each of which takes packs of its own.

    Returns:
        The number of updates.
    """
    own = profile.optimiser
    if own.steps is not None:
        return own.steps
    rows = sum(sample.rows for group in samples.values() for sample in group)
    return max(1, ceil(own.epochs * rows / (profile.packing.expected_rows * processes * own.accumulation)))


class SftTraining:
    """A training in one folder, begun or resumed there.

    Args:
        engine: The model to start from, in float32, with its autoencoder.
        samples: The samples by group.
        profile: All settings.
        folder: The folder for checkpoints.
        accelerator: The processes.
        origin: Digests of the data and of the weights to start from, for the record.
    """

    def __init__(
        self,
        engine: Engine,
        samples: Samples,
        profile: SftProfile,
        folder: Path,
        accelerator: Accelerator,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        self.profile, self.folder, self.accelerator = profile, folder, accelerator
        self.steps = count_steps(profile, samples, accelerator.num_processes)
        self.step = 0
        place = StreamPlace(profile.seed, accelerator.process_index, accelerator.num_processes)
        self.packs = PackStream(samples, profile.packing, profile.drops, place)
        self.engine, self._origin = engine, dict(origin or {})
        marks = engine.tokenizer
        self._markers = TextMarkers(marks.bos, marks.eos, marks.image_start, marks.image_end)
        autoencoder = engine.autoencoder.to(accelerator.device)
        sizes = PictureSizes(engine.sizes, engine.patch)
        self._reader = PictureReader(sizes, autoencoder, profile.timestep_shift)
        self.state = self._begin(engine.model)
        if (last := latest_checkpoint(folder)) is not None:
            self.step, data = load_checkpoint(last, self.state, self.record(), accelerator)
            self.packs.restore(data)

    def _begin(self, bagel: Bagel) -> TrainingState:
        freeze(bagel)
        own = self.profile.optimiser
        model = PackedModel(bagel, layer_checkpointing=self.profile.layer_checkpointing)
        plain = make_optimiser(trained_tensors(model), own)
        self._model, optimiser = self.accelerator.prepare(model, plain)
        inner = self.accelerator.unwrap_model(self._model)
        tensors = trained_tensors(inner)
        schedule = make_schedule(plain, own, self.steps)
        average = MovingAverage(tensors, own.ema_decay)
        return TrainingState(inner.bagel, tensors, average, optimiser, schedule)

    def record(self) -> dict[str, Any]:
        """The record of a checkpoint: the profile, the step, the origin of data and weights, the code."""
        return {
            "format": 1,
            "kind": "clear-sft",
            "step": self.step,
            "steps": self.steps,
            "profile": asdict(self.profile),
            "saved_dtype": self.profile.saved_dtype,
            "processes": self.accelerator.num_processes,
            "origin": self._origin,
            "code_version": __version__,
        }

    def run(
        self, *, until: int | None = None, save_every: int = 0, watch: Callable[[SftStep], None] | None = None
    ) -> None:
        """Train up to a step, and save there.

        Args:
            until: The step to stop after; None trains to the end.
            save_every: Also save after each so many steps; 0 saves at the end alone.
            watch: Called after each step.
        """
        until = self.steps if until is None else min(until, self.steps)
        while self.step < until:
            done = self.update()
            if watch is not None:
                watch(done)
            if self.step == until or (save_every and self.step % save_every == 0):
                self.save()

    def save(self) -> Path:
        """Write a checkpoint of the last step."""
        return save_checkpoint(self.folder, self.state, self.packs.state(), self.record(), self.accelerator)

    def update(self) -> SftStep:
        """One update of the weights, from as many packs as the profile adds up."""
        own, state = self.profile.optimiser, self.state
        self._model.train()
        state.optimiser.zero_grad()
        sums, rows = torch.zeros(4), 0
        for number in range(own.accumulation):
            sequence = self._sequence(self.packs.next_pack())
            with self._gradients(last=number == own.accumulation - 1):
                losses = self._losses(sequence)
                self.accelerator.backward(losses.total / own.accumulation)
            parts = (losses.ce, losses.mse, losses.distillation, losses.total)
            sums += torch.stack([part.detach().float().cpu() for part in parts]) / own.accumulation
            rows += sequence.length
        norm = self.accelerator.clip_grad_norm_(state.tensors.values(), own.clip_norm)
        rate = float(state.schedule.get_last_lr()[0])
        state.optimiser.step()
        state.schedule.step()
        if state.average is not None:
            state.average.update(state.tensors)
        self.step += 1
        ce, mse, distillation, total = self._over_processes(sums, "mean").tolist()
        total_rows = int(self._over_processes(torch.tensor([rows]), "sum"))
        return SftStep(
            self.step,
            ce,
            mse,
            distillation,
            total,
            gradient_norm=float(norm),
            learning_rate=rate,
            rows=total_rows,
        )

    def _losses(self, sequence: PackedSequence) -> SftLosses:
        counts = torch.tensor([len(sequence.labels), len(sequence.velocities)], dtype=torch.float64)
        means = self._over_processes(counts, "mean").tolist()
        with self.accelerator.autocast():
            outputs = self._model(sequence)
        return sft_losses(outputs, sequence, self.profile, LossCounts(*means))

    def _over_processes(self, values: Tensor, how: str) -> Tensor:
        found: Tensor = self.accelerator.reduce(values.to(self.accelerator.device), how)
        return found.cpu()

    def _gradients(self, *, last: bool) -> Any:
        """Add up gradients in this process; those of all processes are averaged with the last pack."""
        return nullcontext() if last else self.accelerator.no_sync(self._model)

    def _sequence(self, pack: tuple[DrawnSample, ...]) -> PackedSequence:
        filled = [self._filled(drawn) for drawn in pack]
        return lay_out(filled, self._markers, self.engine.sizes).to(self.accelerator.device)

    def _filled(self, drawn: DrawnSample) -> tuple[SequenceSegment, ...]:
        sample = self.packs.samples[drawn.group][drawn.row]
        chance = seeded("noise", self.profile.seed, self.accelerator.process_index, drawn.number)
        return self._reader.fill(
            drawn.segments, sample.pictures(), lambda shape: torch.randn(shape, generator=chance)
        )
