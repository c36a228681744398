"""Restorations by chance: the SDE sampler, whose steps have probabilities that training can change.

The drift is that of the flow plus a pull along the score, and each step adds noise, so that the latents have
the same distribution as without noise at every level.

Source: CLEAR (arXiv 2604.04780), equations 11 to 15, and its published code, which scores a step once more in
training with a tighter clamp and, below t = 0.1, a blend that keeps the score finite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from mmdbench.bagel.denoising import schedule
from mmdbench.training.clear.grpo_profiles import LogPForm, SdeSettings

__all__ = ["SdePath", "SdeStep", "sample_path", "sde_steps"]

_LIMITS = {"rollout": 100.0, "training": 50.0}
_BLEND_BELOW = 0.1


@dataclass(frozen=True, slots=True)
class SdeStep:
    """One step from the noise level `t` down by `dt`."""

    t: float
    dt: float
    sigma: float

    def mean(self, x: Tensor, velocity: Tensor, *, training: bool = False) -> Tensor:
        """The mean of the next latent tokens.

        Args:
            x: The latent tokens, float32 [count, token values].
            velocity: Their velocity, of that shape.
            training: True for the pass of a training, which clamps the score more, and blends.

        Returns:
            The mean, of that shape.
        """
        score = (x + (1 - self.t) * velocity) / self.t
        if training and self.t < _BLEND_BELOW:
            share = self.t / _BLEND_BELOW
            score = share * (1 - self.t) * velocity + (1 - share) * score
        limit = _LIMITS["training" if training else "rollout"]
        drift = velocity + self.sigma**2 / 2 * score.clamp(-limit, limit)
        return x - drift * self.dt

    def next(self, mean: Tensor, noise: Tensor) -> Tensor:
        """The next latent tokens, from their mean and standard normal noise."""
        return mean + self.sigma * self.dt**0.5 * noise

    def log_p(self, x_next: Tensor, mean: Tensor, form: LogPForm) -> Tensor:
        """The log-probability of the next latent tokens, without its constant.

        Args:
            x_next: The next latent tokens.
            mean: Their mean.
            form: The sum over values, or their mean.

        Returns:
            One number.
        """
        squares = (x_next - mean).square() / (self.sigma**2 * self.dt)
        return -0.5 * (squares.sum() if form == "sum" else squares.mean())


def sde_steps(settings: SdeSettings) -> tuple[SdeStep, ...]:
    """The steps from noise to a picture."""
    levels = schedule(settings.steps, settings.shift)
    return tuple(SdeStep(float(now), float(now - then), settings.sigma) for now, then in pairwise(levels))


@dataclass(frozen=True, slots=True)
class SdePath:
    """A restoration by chance: `x` [steps + 1, count, token values], from noise to the picture.

    `velocities` [steps, …] are those of each step, and `log_p` [steps] its log-probability.
    """

    steps: tuple[SdeStep, ...]
    x: Tensor
    velocities: Tensor
    log_p: Tensor


@torch.no_grad()
def sample_path(
    velocity: Callable[[Tensor, float], Tensor],
    start: Tensor,
    noise: Callable[[int], Tensor],
    settings: SdeSettings,
    form: LogPForm = "sum",
) -> SdePath:
    """Restore a picture by chance, and keep every step.

    Args:
        velocity: The velocity of latent tokens at a noise level, in float32.
        start: Standard normal, [count, token values].
        noise: Standard normal of that shape, for the number of a step.
        settings: Levels and noise.
        form: The form of the log-probabilities.

    Returns:
        The path; its last `x` is the picture's latent tokens.
    """
    steps, xs, velocities, log_p = sde_steps(settings), [start], [], []
    for number, step in enumerate(steps):
        v = velocity(xs[-1], step.t)
        mean = step.mean(xs[-1], v)
        xs.append(step.next(mean, noise(number)))
        velocities.append(v)
        log_p.append(step.log_p(xs[-1], mean, form))
    return SdePath(steps, torch.stack(xs), torch.stack(velocities), torch.stack(log_p))
