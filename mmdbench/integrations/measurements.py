"""Measurements at steps of a training, which continues as if there were none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from mmdbench.errors import MissingExtraError, UsageError
from mmdbench.system.bounds import require_at_least

try:
    import torch
except ImportError as missing:
    raise MissingExtraError("torch", "hf") from missing

__all__ = ["Measure", "Measurements", "paused_training", "refuse_sharded"]


class Measure(Protocol):
    """A measurement of the model in training, such as a `mmdbench.DropMonitor`."""

    def __call__(self, step: int, /) -> object:
        """Measure at a step."""
        ...

    def close(self) -> None:
        """End; there is no further measurement."""
        ...


class Measurements:
    """Calls a measurement before the first step, every so many steps, and after the last one.

    Args:
        measure: The measurement.
        every: Number of steps between two measurements.
        at_start: Measure before the first step too.
    """

    def __init__(self, measure: Measure, every: int, *, at_start: bool = True) -> None:
        require_at_least("every", every, 1, whole=True)
        self._measure, self._every, self._at_start = measure, every, at_start
        self._last: int | None = None

    def start(self, model: Any, step: int) -> None:
        """Measure before the first step, which is not 0 in a training that is resumed."""
        if self._at_start:
            self._now(model, step)

    def after_step(self, model: Any, step: int, *, is_last: bool = False) -> None:
        """Measure if it is due; a step with several batches is measured once.

        Args:
            model: A `torch.nn.Module`.
            step: The number of steps so far.
            is_last: The training ends here.
        """
        if step and (step % self._every == 0 or is_last):
            self._now(model, step)

    def close(self) -> None:
        """End the measurement."""
        self._measure.close()

    def _now(self, model: Any, step: int) -> None:
        if step == self._last:
            return
        self._last = step
        with paused_training(model):
            self._measure(step)


@contextmanager
def paused_training(model: Any) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards all modules' modes and random states are as before.

    Args:
        model: A `torch.nn.Module`.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - what users' code draws from
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002


def refuse_sharded(strategy: str) -> None:
    """Raise UsageError for weights that are split over processes: only the first process measures."""
    raise UsageError(
        f"The drop cannot be measured in a training under {strategy}: each process holds a part of the "
        "weights, and only the first one measures.",
        hint="Measure its checkpoints instead: mmdbench.evaluate.",
    )
