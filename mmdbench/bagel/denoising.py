"""Restores a picture: integrates noise to the latent of a clean picture, by flow matching.

Latents are tokens [count, token values] in float32 throughout; velocities are brought to float32
before guidance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .chunks import Engine, grid_of, latent_chunk
from .context import Context, KeyValues
from .settings import DenoisingSettings

__all__ = ["GuidanceContexts", "combine", "denoise", "schedule"]


@dataclass(frozen=True, slots=True)
class GuidanceContexts:
    """The three contexts of a restoration: the whole one, without the request, without the picture."""

    main: Context
    without_text: Context
    without_image: Context


def schedule(steps: int, shift: float) -> Tensor:
    """The noise levels, float32 [steps], from 1 to 0; the last one is never evaluated."""
    even = torch.linspace(1, 0, steps)
    shifted: Tensor = shift * even / (1 + (shift - 1) * even)
    return shifted


def combine(v: Tensor, v_text: Tensor, v_image: Tensor | None, settings: DenoisingSettings) -> Tensor:
    """The guided velocity of one picture.

    Args:
        v: The velocity under the whole context, [count, token values].
        v_text: That under the context without the request, of the same shape.
        v_image: That under the context without the picture; None where the image guidance does nothing.
        settings: The factors of guidance and the rule that bounds the norm.

    Returns:
        The velocity, [count, token values].
    """
    mixed = _extrapolated(v_text, v, settings.text_guidance)
    if settings.renorm == "text_channel":
        mixed = _norm_ratio(v, mixed, per_token=True, least=settings.renorm_min) * mixed
        return mixed if v_image is None else _extrapolated(v_image, mixed, settings.image_guidance)
    if v_image is not None:
        mixed = _extrapolated(v_image, mixed, settings.image_guidance)
    return _norm_ratio(v, mixed, per_token=settings.renorm == "channel", least=settings.renorm_min) * mixed


def _extrapolated(start: Tensor, goal: Tensor, factor: float) -> Tensor:
    """The point on the line from `start` to `goal`; a factor of 1 gives `goal`."""
    reached: Tensor = start + factor * (goal - start)
    return reached


def _norm_ratio(v: Tensor, mixed: Tensor, *, per_token: bool, least: float) -> Tensor:
    """The factor that brings the guided velocity to at most the norm of the plain one."""
    dims = (-1,) if per_token else (-2, -1)
    plain = torch.linalg.vector_norm(v, dim=dims, keepdim=True)
    guided = torch.linalg.vector_norm(mixed, dim=dims, keepdim=True)
    factor: Tensor = plain / (guided + 1e-8)
    return factor.clamp(least, 1.0)


class _Velocities:
    """Velocities under one or several contexts, which are not changed."""

    def __init__(self, engine: Engine, contexts: Sequence[Context], size: tuple[int, int]) -> None:
        self.engine = engine
        self.ids = grid_of(engine, size)[2]
        if not engine.speed.batch_guidance:
            self.order, self.contexts = list(range(len(contexts))), list(contexts)
            return
        # After a latent bridge two of the three contexts are the same: compute its velocity once.
        unique = list({id(context): context for context in contexts}.values())
        self.order = [next(i for i, u in enumerate(unique) if u is context) for context in contexts]
        self.contexts = unique
        self.cache = self._gather(unique)

    def _gather(self, contexts: Sequence[Context]) -> KeyValues:
        shape = self.engine.model.language_model.cache_shape()
        return KeyValues.gather(contexts, len(self.ids) + 2, shape)

    def at(self, x: Tensor, t: float, *, guided: bool) -> list[Tensor]:
        """Velocities [count, token values], of all contexts or of the first alone."""
        chunk = latent_chunk(self.engine, x, t, self.ids)
        if self.engine.speed.batch_guidance:
            cache = self.cache if guided else self.cache.first()
            contexts = self.contexts if guided else self.contexts[:1]
            found = self._run(chunk, cache, contexts)
            return [found[i] for i in self.order] if guided else [found[0]]
        contexts = self.contexts if guided else self.contexts[:1]
        return [self._run(chunk, self._gather([context]), [context])[0] for context in contexts]

    def _run(self, chunk: Tensor, cache: KeyValues, contexts: Sequence[Context]) -> Tensor:
        rows = chunk.expand(len(contexts), -1, -1)
        positions = torch.tensor([[context.rope] for context in contexts], device=chunk.device)
        model = self.engine.model
        hidden: Tensor = model.language_model(
            rows, cache, positions.expand(-1, rows.shape[1]), causal=False, gen=True
        )
        self.engine.notify("pass", hidden=hidden[0])
        return model.velocity(hidden[:, 1:-1])


def denoise(
    engine: Engine,
    guides: GuidanceContexts,
    noise: Tensor,
    size: tuple[int, int],
    settings: DenoisingSettings,
) -> Tensor:
    """Integrate noise to clean latent tokens, by Euler steps.

    Args:
        engine: The loaded model.
        guides: The contexts to condition on.
        noise: Standard normal, [count, token values].
        size: Width and height of the picture, in pixels.
        settings: Steps and guidance.

    Returns:
        The latent tokens, float32 [count, token values].
    """
    low, high = torch.tensor(settings.interval, dtype=torch.float32)
    with_image = settings.image_guidance > 1
    contexts = [guides.main]
    if settings.text_guidance > 1:
        contexts += [guides.without_text, *([guides.without_image] if with_image else [])]
    engine.notify("denoise", guides=guides)
    velocities = _Velocities(engine, contexts, size)
    x = noise.to(engine.model.device, torch.float32)
    times = schedule(settings.steps, settings.shift)
    for now, then in pairwise(times):
        guided = settings.text_guidance > 1 and bool((low < now) & (now <= high))
        found = velocities.at(x, float(now), guided=guided)
        v = combine(found[0], found[1], found[2] if with_image else None, settings) if guided else found[0]
        x = x - v * float(now - then)
        engine.notify("evaluation", t=float(now), velocities=found, combined=v, x=x)
    return x
