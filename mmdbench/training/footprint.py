"""Memory and time that a training needs, from the headers of its weights files, without torch.

Weights, gradients and AdamW's two moments are float32, 16 bytes for each trained parameter; a moving
average takes 4 more, and so does the frozen reference of a reinforcement learning for each parameter.
All of it is shared out over the GPUs. Activations come on top.

A pass forward takes 2 operations for each parameter and token, one backward 4, and a layer that is
computed again 2 more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmdbench.system.weights_header import Entry
from mmdbench.training.config import HardwareSettings

__all__ = ["Footprint", "ParameterCount", "Work", "count_parameters"]

_GIB = 2**30
_STATE_BYTES = 16


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Numbers of parameters: those that are trained, the frozen ones, and those that one token meets."""

    trained: int
    frozen: int
    active: int


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a training: updates, tokens of one update in all processes, and passes for each token.

    `passes` counts in forward passes: 3 for a training step, 4 with layers computed again.
    """

    steps: int
    tokens_per_step: int
    passes: float


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory and time of a training."""

    parameters: ParameterCount
    work: Work
    hardware: HardwareSettings
    average: bool = False
    reference: bool = False

    @property
    def state_gib(self) -> float:
        """Memory of weights, gradients, optimiser and copies, over all GPUs, in GiB."""
        own = self.parameters
        copies = own.trained * self.average + (own.trained + own.frozen) * self.reference
        return (_STATE_BYTES * own.trained + 4 * own.frozen + 4 * copies) / _GIB

    @property
    def gib_per_gpu(self) -> float:
        """The share of one GPU, in GiB, without activations."""
        return self.state_gib / self.hardware.gpus

    @property
    def hours(self) -> float:
        """The time of the training, in hours."""
        operations = 2 * self.parameters.active * self.work.passes * self.work.tokens_per_step
        own = self.hardware
        return operations * self.work.steps / (own.gpus * own.tflops * 1e12 * own.utilisation) / 3600

    def record(self) -> dict[str, float]:
        """The numbers by name."""
        own, work = self.parameters, self.work
        return {
            "trained_parameters": own.trained,
            "frozen_parameters": own.frozen,
            "steps": work.steps,
            "tokens_per_step": work.tokens_per_step,
            "gpus": self.hardware.gpus,
            "state_gib": self.state_gib,
            "state_gib_per_gpu": self.gib_per_gpu,
            "hours": self.hours,
        }


def count_parameters(
    entries: Mapping[str, Entry], frozen: Iterable[str], inactive: str | None = None
) -> ParameterCount:
    """The parameters of a model by what becomes of them.

    Args:
        entries: The tensors of its weights files.
        frozen: Parts of the names of tensors that are not trained.
        inactive: A part of the names of tensors that a token of text does not meet; None for none.

    Returns:
        The numbers.
    """
    parts = tuple(frozen)
    counts = {key: entry.count for key, entry in entries.items()}
    still = sum(n for key, n in counts.items() if any(part in key for part in parts))
    trained = sum(counts.values()) - still
    idle = sum(n for key, n in counts.items() if inactive is not None and inactive in key)
    return ParameterCount(trained, still, trained - idle)
