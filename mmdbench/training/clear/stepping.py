"""A training in one folder, step by step: begun or resumed there, saved there, and updates of the weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from accelerate import Accelerator
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
from mmdbench.training.clear.grpo_profiles import GrpoProfile
from mmdbench.training.clear.layout import TextMarkers
from mmdbench.training.clear.optimiser import MovingAverage, make_optimiser, make_schedule
from mmdbench.training.clear.profiles import SftProfile

__all__ = ["DataPlace", "StepTraining", "TrainingFolder"]

Step = TypeVar("Step")


class DataPlace(Protocol):
    """A stream of data that tells its place, and continues from one."""

    def state(self) -> dict[str, Any]:
        """The place, as plain numbers."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a place that `state` gave."""
        ...


@dataclass(frozen=True, slots=True)
class TrainingFolder:
    """The folder for checkpoints, the processes, and digests of data and first weights for the record."""

    path: Path
    accelerator: Accelerator
    origin: Mapping[str, Any] = field(default_factory=dict)


class StepTraining(ABC, Generic[Step]):
    """The steps of a training of CLEAR, of either kind.

    Args:
        engine: The model to start from, in float32, with its autoencoder.
        profile: All settings.
        folder: The folder, and the processes.
        steps: The number of steps, each of `updates` updates of the weights.
        updates: Updates in a step.
    """

    kind = ""
    averaged = False

    def __init__(
        self,
        engine: Engine,
        profile: SftProfile | GrpoProfile,
        folder: TrainingFolder,
        steps: int,
        updates: int = 1,
    ) -> None:
        self.engine, self.folder, self.accelerator = engine, folder.path, folder.accelerator
        self.steps, self.step = steps, 0
        self._settings, self._origin, self._updates = profile, dict(folder.origin), updates
        marks = engine.tokenizer
        self._markers = TextMarkers(marks.bos, marks.eos, marks.image_start, marks.image_end)
        self.autoencoder = engine.autoencoder.to(self.accelerator.device)
        self.state = self._begin(engine.model)

    @property
    @abstractmethod
    def data(self) -> DataPlace:
        """The stream of the data of this process."""

    @abstractmethod
    def update(self) -> Step:
        """One step."""

    def _begin(self, bagel: Bagel) -> TrainingState:
        freeze(bagel)
        own = self._settings.optimiser
        model = PackedModel(bagel, layer_checkpointing=self._settings.layer_checkpointing)
        plain = make_optimiser(trained_tensors(model), own)
        self._model, optimiser = self.accelerator.prepare(model, plain)
        inner = self.accelerator.unwrap_model(self._model)
        tensors = trained_tensors(inner)
        schedule = make_schedule(plain, own, self.steps * self._updates)
        average = MovingAverage(tensors, own.ema_decay) if self.averaged else None
        return TrainingState(inner.bagel, tensors, average, optimiser, schedule)

    def _resume(self) -> None:
        """Continue from the last checkpoint in the folder, if there is one."""
        if (last := latest_checkpoint(self.folder)) is not None:
            self.step, place = load_checkpoint(last, self.state, self.record(), self.accelerator)
            self.data.restore(place)

    def record(self) -> dict[str, Any]:
        """The record of a checkpoint: the profile, the step, the origin of data and weights, the code."""
        return {
            "format": 1,
            "kind": self.kind,
            "step": self.step,
            "steps": self.steps,
            "profile": asdict(self._settings),
            "saved_dtype": self._settings.saved_dtype,
            "processes": self.accelerator.num_processes,
            "origin": self._origin,
            "code_version": __version__,
        }

    def run(
        self, *, until: int | None = None, save_every: int = 0, watch: Callable[[Step], None] | None = None
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
        return save_checkpoint(self.folder, self.state, self.data.state(), self.record(), self.accelerator)

    def _apply(self) -> tuple[float, float]:
        """Update the weights by their gradients; returns the norm before clipping, and the learning rate."""
        own, state = self._settings.optimiser, self.state
        norm = self.accelerator.clip_grad_norm_(state.tensors.values(), own.clip_norm)
        rate = float(state.schedule.get_last_lr()[0])
        state.optimiser.step()
        state.schedule.step()
        if state.average is not None:
            state.average.update(state.tensors)
        return float(norm), rate

    def _over_processes(self, values: Tensor, how: str) -> Tensor:
        found: Tensor = self.accelerator.reduce(values.to(self.accelerator.device), how)
        return found.cpu()

    def _gradients(self, *, last: bool) -> Any:
        """Add up gradients in this process; those of all processes are averaged with the last sequence."""
        return nullcontext() if last else self.accelerator.no_sync(self._model)

    def _means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Numbers by name as means over processes."""
        values = torch.tensor([float(value) for value in sums.values()], dtype=torch.float64)
        return dict(zip(sums, self._over_processes(values, "mean").tolist(), strict=True))
