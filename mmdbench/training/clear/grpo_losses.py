"""The loss of Interleaved GRPO for one completion: of its texts, and of one step of one restored picture.

Old and reference log-probabilities must be of the same sequence as the new ones, with the chosen step's
latent tokens in place: else text after the picture has another context, and ratios are not 1 at the start.

Source: CLEAR (arXiv 2604.04780), section 3.4, and its published code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmdbench.training.clear.grpo_profiles import GrpoLossSettings

__all__ = ["GrpoLosses", "PolicyScores", "grpo_losses", "token_log_p"]


@dataclass(frozen=True, slots=True)
class PolicyScores:
    """Log-probabilities under the trained weights, those that sampled (`old`), and a reference.

    Without `old` the sampling weights are the trained ones, so every ratio is 1 and has a gradient.
    """

    new: Tensor
    old: Tensor | None = None
    reference: Tensor | None = None

    @property
    def ratio(self) -> Tensor:
        """The ratio of the new probability to the old one."""
        return (self.new - (self.new.detach() if self.old is None else self.old)).exp()


@dataclass(frozen=True, slots=True)
class GrpoLosses:
    """The losses of one completion.

    `kl` is the mean divergence per label, and `clipped_low` and `clipped_high` are the shares of labels
    whose ratio no longer gives a gradient; `picture_ratio` is None without a picture.
    """

    text: Tensor
    picture: Tensor
    total: Tensor
    kl: Tensor
    clipped_low: float
    clipped_high: float
    picture_ratio: Tensor | None


def token_log_p(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """The log-probability of each label.

    Args:
        logits: Logits, [labels, vocabulary].
        labels: Token ids, [labels].
        temperature: The temperature at which the tokens were sampled.

    Returns:
        Log-probabilities, [labels].
    """
    scores = (logits.float() / temperature).log_softmax(dim=1)
    return scores.gather(1, labels[:, None])[:, 0]


def _clipped(ratio: Tensor, advantage: float, epsilon: float) -> Tensor:
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - epsilon, 1 + epsilon) * advantage)


def grpo_losses(
    text: PolicyScores, picture: PolicyScores | None, advantage: float, settings: GrpoLossSettings
) -> GrpoLosses:
    """The loss of one completion.

    Args:
        text: Log-probabilities of its labels, [labels].
        picture: Those of the chosen step, one number each; None for a completion without a picture,
            whose picture loss is 0.
        advantage: The advantage of the completion in its group.
        settings: The settings.

    Returns:
        The losses; `total` is minimised, as the mean over completions.
    """
    ratio, low, high = text.ratio, 1 - settings.epsilon, 1 + settings.epsilon
    tokens = _clipped(ratio, advantage, settings.epsilon)
    divergence = torch.zeros_like(text.new)
    if text.reference is not None:
        difference = text.reference - text.new
        divergence = difference.exp() - difference - 1
        tokens = tokens + settings.beta * divergence
    count = len(text.new) or 1
    divisor = count if settings.normalisation == "per_completion" else settings.max_completion_length
    text_loss = tokens.sum() / divisor
    picture_ratio = None if picture is None else picture.ratio
    picture_loss = (
        text_loss.new_zeros(())
        if picture_ratio is None
        else _clipped(picture_ratio, advantage, settings.epsilon)
    )
    return GrpoLosses(
        text=text_loss,
        picture=picture_loss,
        total=text_loss + settings.picture_weight * picture_loss,
        kl=divergence.sum().detach() / count,
        clipped_low=float((ratio < low).sum()) / count if advantage < 0 else 0.0,
        clipped_high=float((ratio > high).sum()) / count if advantage > 0 else 0.0,
        picture_ratio=picture_ratio,
    )
