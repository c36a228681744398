"""Supervised training of CLEAR, step by step; on several GPUs through accelerate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin

from mmdbench.bagel.bagel import Bagel
from mmdbench.bagel.chunks import Engine
from mmdbench.training.clear.layout import PackedSequence, lay_out
from mmdbench.training.clear.losses import LossCounts, SftLosses, sft_losses
from mmdbench.training.clear.packing import DrawnSample, PackStream, StreamPlace, seeded
from mmdbench.training.clear.pictures import PictureReader, PictureSizes
from mmdbench.training.clear.profiles import Precision, SftProfile
from mmdbench.training.clear.samples import SftSample
from mmdbench.training.clear.segments import SequenceSegment
from mmdbench.training.clear.stepping import StepTraining, TrainingFolder

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


class SftTraining(StepTraining[SftStep]):
    """A training in one folder, begun or resumed there.

    Args:
        engine: The model to start from, in float32, with its autoencoder.
        samples: The samples by group.
        profile: All settings.
        folder: The folder for checkpoints.
        accelerator: The processes.
        origin: Digests of the data and of the weights to start from, for the record.
    """

    kind = "clear-sft"
    averaged = True

    def __init__(
        self,
        engine: Engine,
        samples: Samples,
        profile: SftProfile,
        folder: Path,
        accelerator: Accelerator,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        self.profile = profile
        place = StreamPlace(profile.seed, accelerator.process_index, accelerator.num_processes)
        self.packs = PackStream(samples, profile.packing, profile.drops, place)
        steps = count_steps(profile, samples, accelerator.num_processes)
        super().__init__(engine, profile, TrainingFolder(folder, accelerator, origin or {}), steps)
        sizes = PictureSizes(engine.sizes, engine.patch)
        self._reader = PictureReader(sizes, self.autoencoder, profile.timestep_shift)
        self._resume()

    @property
    def data(self) -> PackStream:
        """The packs of this process."""
        return self.packs

    def update(self) -> SftStep:
        """One update of the weights, from as many packs as the profile adds up."""
        own = self.profile.optimiser
        self._model.train()
        self.state.optimiser.zero_grad()
        sums, rows = torch.zeros(4), 0
        for number in range(own.accumulation):
            sequence = self._sequence(self.packs.next_pack())
            with self._gradients(last=number == own.accumulation - 1):
                losses = self._losses(sequence)
                self.accelerator.backward(losses.total / own.accumulation)
            parts = (losses.ce, losses.mse, losses.distillation, losses.total)
            sums += torch.stack([part.detach().float().cpu() for part in parts]) / own.accumulation
            rows += sequence.length
        norm, rate = self._apply()
        self.step += 1
        ce, mse, distillation, total = self._over_processes(sums, "mean").tolist()
        total_rows = int(self._over_processes(torch.tensor([rows]), "sum"))
        return SftStep(self.step, ce, mse, distillation, total, norm, rate, total_rows)

    def _losses(self, sequence: PackedSequence) -> SftLosses:
        counts = torch.tensor([len(sequence.labels), len(sequence.velocities)], dtype=torch.float64)
        means = self._over_processes(counts, "mean").tolist()
        with self.accelerator.autocast():
            outputs = self._model(sequence)
        return sft_losses(outputs, sequence, self.profile, LossCounts(*means))

    def _sequence(self, pack: tuple[DrawnSample, ...]) -> PackedSequence:
        filled = [self._filled(drawn) for drawn in pack]
        return lay_out(filled, self._markers, self.engine.sizes).to(self.accelerator.device)

    def _filled(self, drawn: DrawnSample) -> tuple[SequenceSegment, ...]:
        sample = self.packs.samples[drawn.group][drawn.row]
        chance = seeded("noise", self.profile.seed, self.accelerator.process_index, drawn.number)
        return self._reader.fill(
            drawn.segments, sample.pictures(), lambda shape: torch.randn(shape, generator=chance)
        )
