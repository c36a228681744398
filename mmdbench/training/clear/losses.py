"""Losses of supervised training: next tokens, velocities, and the distillation of the bridge.

Means are over all processes: each divides its sum by the mean count of a process, and the gradients of
all processes are averaged afterwards.

Source: CLEAR (arXiv 2604.04780), section 3.3 and appendix, and its published code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmdbench.training.clear.forward import PackedOutputs
from mmdbench.training.clear.layout import PackedSequence
from mmdbench.training.clear.profiles import SftProfile

__all__ = [
    "LossCounts",
    "SftLosses",
    "final_mse",
    "layer_weights",
    "per_layer_kl",
    "sft_losses",
    "token_losses",
    "velocity_losses",
]

Pairs = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class LossCounts:
    """The mean number of labels and of scored latent tokens in the sequence of a process."""

    labels: float
    velocities: float


@dataclass(frozen=True, slots=True)
class SftLosses:
    """The three losses, unweighted, and the weighted sum that is minimised."""

    ce: Tensor
    mse: Tensor
    distillation: Tensor
    total: Tensor


def token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of each label: logits [n, vocabulary] and labels [n] to [n]."""
    return functional.cross_entropy(logits.float(), labels, reduction="none")


def velocity_losses(found: Tensor, true: Tensor) -> Tensor:
    """The squared error of each latent token, the mean over its values: [n, values] to [n]."""
    return (found - true).square().mean(dim=1)


def layer_weights(layers: int, stride: int) -> dict[int, float]:
    """Layers that are compared, from 0, with their weights: higher ones weigh more.

    >>> layer_weights(4, 2)
    {1: 0.3333333333333333, 3: 0.6666666666666666}
    """
    numbers = [n for n in range(1, layers + 1) if n % stride == 0 or n == layers]
    return {n - 1: n / sum(numbers) for n in numbers}


def per_layer_kl(residuals: Sequence[Tensor], pairs: Pairs, stride: int = 1) -> Tensor:
    """The divergence of latent tokens from the ViT tokens of the same picture, in each layer.

    The softmax is over the width; the teacher, the ViT tokens, gets no gradient.

    Args:
        residuals: The rows [S, d] after each decoder layer.
        pairs: For each picture its ViT rows and its latent rows, as many.
        stride: Every which layer is compared.

    Returns:
        The sum over the width, mean over tokens, weighted sum over layers, mean over pairs; 0 without one.
    """
    weights, found = layer_weights(len(residuals), stride), []
    for vit, vae in pairs:
        for layer, weight in weights.items():
            teacher = residuals[layer][vit].detach().float().log_softmax(dim=1)
            student = residuals[layer][vae].float().log_softmax(dim=1)
            kl = functional.kl_div(student, teacher, reduction="none", log_target=True)
            found.append(weight * kl.sum(dim=1).mean())
    return torch.stack(found).sum() / len(pairs) if found else residuals[-1].new_zeros(())


def final_mse(hidden: Tensor, pairs: Pairs) -> Tensor:
    """The squared distance of the mean final states of latent tokens and of ViT tokens, the teacher.

    Args:
        hidden: The final states, [S, d].
        pairs: For each picture its ViT rows and its latent rows.

    Returns:
        The mean over the width and over pairs; 0 without one.
    """
    found = [
        functional.mse_loss(hidden[vae].float().mean(dim=0), hidden[vit].detach().float().mean(dim=0))
        for vit, vae in pairs
    ]
    return torch.stack(found).mean() if found else hidden.new_zeros(())


def sft_losses(
    outputs: PackedOutputs, sequence: PackedSequence, profile: SftProfile, counts: LossCounts | None = None
) -> SftLosses:
    """The losses of one sequence.

    Args:
        outputs: The results of the forward pass.
        sequence: The sequence.
        profile: Weights and the mode of the distillation.
        counts: Mean counts over all processes; those of this sequence if there is only one process.

    Returns:
        The losses; one without rows is 0.
    """
    if counts is None:
        counts = LossCounts(len(sequence.labels), len(sequence.velocities))
    ce = token_losses(outputs.logits, sequence.labels).sum() / (counts.labels or 1.0)
    mse = velocity_losses(outputs.velocities, sequence.velocities).sum() / (counts.velocities or 1.0)
    how = profile.distillation
    if how.mode == "per_layer_kl":
        distillation = per_layer_kl(outputs.residuals, sequence.pairs, how.stride)
    else:
        distillation = final_mse(outputs.hidden, sequence.pairs)
    total = profile.ce_weight * ce + profile.mse_weight * mse + how.weight * distillation
    return SftLosses(ce, mse, distillation, total)
