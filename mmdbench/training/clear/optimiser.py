"""AdamW, its schedule, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from mmdbench.training.clear.profiles import OptimiserSettings

__all__ = ["MovingAverage", "learning_rate", "make_optimiser", "make_schedule"]


def make_optimiser(tensors: Mapping[str, Tensor], settings: OptimiserSettings) -> AdamW:
    """AdamW over all trained tensors, decay on every one of them."""
    return AdamW(
        list(tensors.values()),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )


def learning_rate(step: int, settings: OptimiserSettings, steps: int) -> float:
    """The learning rate of an update.

    Args:
        step: The number of the update, from 0; the first of a warm-up has the rate 0.
        settings: The rates, and the length of the warm-up.
        steps: The number of updates of the training.

    Returns:
        The rate.
    """
    top, floor, warmup = settings.learning_rate, settings.min_learning_rate, settings.warmup_steps
    if step < warmup:
        return top * step / warmup
    share = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (top - floor) / 2 * (1 + math.cos(math.pi * share))


def make_schedule(optimiser: torch.optim.Optimizer, settings: OptimiserSettings, steps: int) -> LambdaLR:
    """The schedule of an optimiser.

    Args:
        optimiser: The optimiser.
        settings: The rates, and the length of the warm-up.
        steps: The number of updates of the training.

    Returns:
        The schedule; its `step` is called after each update.
    """
    return LambdaLR(optimiser, partial(_factor, settings=settings, steps=steps))


def _factor(step: int, settings: OptimiserSettings, steps: int) -> float:
    return learning_rate(step, settings, steps) / settings.learning_rate


class MovingAverage:
    """The exponential moving average of tensors, which starts as a copy of them."""

    def __init__(self, tensors: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.values = {key: tensor.detach().clone() for key, tensor in tensors.items()}

    @torch.no_grad()
    def update(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the tensors of one more update into the average."""
        for key, tensor in tensors.items():
            self.values[key].mul_(self.decay).add_(tensor.detach(), alpha=1 - self.decay)
