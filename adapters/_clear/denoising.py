"""Restoring: from noise to the latent of a clean picture, by flow matching with Euler steps.

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
from .settings import Denoising

__all__ = ["Guides", "combine", "denoise", "schedule"]


@dataclass(frozen=True, slots=True)
class Guides:
    """The three histories of a restoration: all that was said, all but the request, all but pictures."""

    main: Context
    without_text: Context
    without_image: Context


def schedule(steps: int, shift: float) -> Tensor:
    """The noise levels, float32 [steps], from 1 to 0; the last one is never evaluated."""
    even = torch.linspace(1, 0, steps)
    shifted: Tensor = shift * even / (1 + (shift - 1) * even)
    return shifted


def combine(v: Tensor, v_text: Tensor, v_image: Tensor | None, how: Denoising) -> Tensor:
    """The guided velocity of one picture; all are [count, token values].

    `v_image` is None where the image guidance does nothing.
    """
    mixed = _beyond(v_text, v, how.text_guidance)
    if how.renorm == "text_channel":
        mixed = _shrink(v, mixed, per_token=True, least=how.renorm_min) * mixed
        return mixed if v_image is None else _beyond(v_image, mixed, how.image_guidance)
    if v_image is not None:
        mixed = _beyond(v_image, mixed, how.image_guidance)
    return _shrink(v, mixed, per_token=how.renorm == "channel", least=how.renorm_min) * mixed


def _beyond(start: Tensor, goal: Tensor, factor: float) -> Tensor:
    """From `start` past `goal`: the whole way is a factor of 1."""
    reached: Tensor = start + factor * (goal - start)
    return reached


def _shrink(v: Tensor, mixed: Tensor, *, per_token: bool, least: float) -> Tensor:
    """The factor that keeps the guided velocity from being longer than the plain one."""
    dims = (-1,) if per_token else (-2, -1)
    plain = torch.linalg.vector_norm(v, dim=dims, keepdim=True)
    guided = torch.linalg.vector_norm(mixed, dim=dims, keepdim=True)
    factor: Tensor = plain / (guided + 1e-8)
    return factor.clamp(least, 1.0)


class _Velocities:
    """Velocities under one or several contexts; nothing is ever written into a context."""

    def __init__(self, engine: Engine, contexts: Sequence[Context], size: tuple[int, int]) -> None:
        self.engine = engine
        self.ids = grid_of(engine, size)[2]
        if not engine.speed.batch_guidance:
            self.order, self.contexts = list(range(len(contexts))), list(contexts)
            return
        # After a bridge two of the three histories are one: its velocity is needed once.
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
        self.engine.tell("pass", hidden=hidden[0])
        return model.velocity(hidden[:, 1:-1])


def denoise(engine: Engine, guides: Guides, noise: Tensor, size: tuple[int, int], how: Denoising) -> Tensor:
    """The clean latent tokens that `noise` [count, token values] is led to, for a picture of that size."""
    low, high = torch.tensor(how.interval, dtype=torch.float32)
    with_image = how.image_guidance > 1
    contexts = [guides.main]
    if how.text_guidance > 1:
        contexts += [guides.without_text, *([guides.without_image] if with_image else [])]
    engine.tell("denoise", guides=guides)
    velocities = _Velocities(engine, contexts, size)
    x = noise.to(engine.model.device, torch.float32)
    times = schedule(how.steps, how.shift)
    for now, then in pairwise(times):
        guided = how.text_guidance > 1 and bool((low < now) & (now <= high))
        found = velocities.at(x, float(now), guided=guided)
        v = combine(found[0], found[1], found[2] if with_image else None, how) if guided else found[0]
        x = x - v * float(now - then)
        engine.tell("evaluation", t=float(now), velocities=found, combined=v, x=x)
    return x
