"""Restores a picture: integrates noise to the latent of a clean picture, by flow matching.

Latents are tokens [count, token values] in float32 throughout; velocities are brought to float32
before guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .bagel import Bagel
from .chunks import Engine, between_markers, grid_of, picture_markers
from .compiled import compiled, static_cache
from .context import Context, KeyValues, StaticCache
from .settings import DenoisingSettings

__all__ = [
    "Conditions",
    "GuidanceContexts",
    "LatentPlaces",
    "combine",
    "denoise",
    "denoising_step",
    "schedule",
    "velocity_under",
]


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


@dataclass(frozen=True, slots=True)
class Conditions:
    """The contexts of one pass, side by side.

    Attributes:
        cache: Their keys and values, with room for the rows of the latent tokens.
        positions: The rotary position of those rows in each, [B].
        order: The places in the batch of the whole context and of those without request and picture.
    """

    cache: KeyValues | StaticCache
    positions: Tensor
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LatentPlaces:
    """Position ids of the latent tokens, [count], and the rows of the markers around them, [2, d]."""

    ids: Tensor
    markers: Tensor


def _pass(
    model: Bagel, under: Conditions, places: LatentPlaces, x: Tensor, t: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Final hidden states [B, S, d], and the velocity [count, token values] of x under each condition."""
    rows = between_markers(places.markers, model.latent_rows(x, t, places.ids))
    rows = rows.expand(len(under.positions), -1, -1)
    positions = under.positions[:, None].expand(-1, rows.shape[1])
    hidden: Tensor = model.language_model(rows, under.cache, positions, causal=False, gen=True)
    velocities = model.velocity(hidden[:, 1:-1])
    return hidden, [velocities[i] for i in under.order]


def _euler(
    x: Tensor, found: Sequence[Tensor], times: Tensor, settings: DenoisingSettings
) -> tuple[Tensor, Tensor]:
    """The guided velocity, and x at the second of two noise levels [2]."""
    v = found[0]
    if len(found) > 1:
        v = combine(v, found[1], found[2] if len(found) > 2 else None, settings)
    return v, x - v * (times[0] - times[1])


def denoising_step(
    model: Bagel,
    under: Conditions,
    places: LatentPlaces,
    x: Tensor,
    times: Tensor,
    settings: DenoisingSettings,
) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """One Euler step, with all its contexts in one pass; a function of tensors.

    Args:
        model: The network.
        under: The contexts.
        places: The places of the latent tokens.
        x: The latent tokens, float32 [count, token values].
        times: The noise levels before and after the step, float32 [2].
        settings: The guidance.

    Returns:
        The hidden states, the velocity under each context, the guided one, and the next latent tokens.
    """
    hidden, found = _pass(model, under, places, x, times[:1])
    v, x = _euler(x, found, times, settings)
    return hidden, found, v, x


class _Passes:
    """The passes of an evaluation: all contexts in one, or one after the other."""

    def __init__(self, engine: Engine, contexts: Sequence[Context], size: tuple[int, int]) -> None:
        self.engine = engine
        self.places = LatentPlaces(grid_of(engine, size)[2], picture_markers(engine))
        if not (engine.speed.batch_guidance or engine.speed.compiler):
            self.guided = [self._conditions([context], (0,)) for context in contexts]
            self.plain = self.guided[0]
            return
        # After a latent bridge two of the three contexts are the same: compute its velocity once.
        unique = list({id(context): context for context in contexts}.values())
        order = tuple(next(i for i, u in enumerate(unique) if u is context) for context in contexts)
        whole = self._conditions(unique, order)
        self.guided = [whole]
        self.plain = Conditions(whole.cache.first(), whole.positions[:1], (0,))

    def _conditions(self, contexts: Sequence[Context], order: tuple[int, ...]) -> Conditions:
        engine, rows = self.engine, len(self.places.ids) + 2
        cache: KeyValues | StaticCache
        if engine.speed.compiler:
            cache = static_cache(engine, contexts, rows, "picture")
        else:
            cache = KeyValues.gather(contexts, rows, engine.model.language_model.cache_shape())
        ropes = torch.tensor([context.rope for context in contexts], device=engine.model.device)
        return Conditions(cache, ropes, order)

    def step(
        self, x: Tensor, times: Tensor, settings: DenoisingSettings, *, guided: bool
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """The velocity under each context, the guided one, and the next latent tokens."""
        engine, found = self.engine, list[Tensor]()
        passes = self.guided if guided else [self.plain]
        if len(passes) == 1:
            run = compiled(denoising_step, engine.speed.compiler)
            hidden, found, v, x = run(engine.model, passes[0], self.places, x, times, settings)
            engine.notify("pass", hidden=hidden[0])
            # The memory of what a graph returns is that of its next run.
            return found, v, x.clone() if engine.speed.compiler else x
        for under in passes:
            hidden, one = _pass(engine.model, under, self.places, x, times[:1])
            engine.notify("pass", hidden=hidden[0])
            found += one
        return found, *_euler(x, found, times, settings)


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
    passes = _Passes(engine, contexts, size)
    x = noise.to(engine.model.device, torch.float32)
    for times in schedule(settings.steps, settings.shift).unfold(0, 2, 1):
        now = times[0]
        guided = settings.text_guidance > 1 and bool((low < now) & (now <= high))
        found, v, x = passes.step(x, times.to(x.device, copy=True), settings, guided=guided)
        engine.notify("evaluation", t=float(now), velocities=found, combined=v, x=x)
    return x


def velocity_under(
    engine: Engine, context: Context, size: tuple[int, int]
) -> Callable[[Tensor, float], Tensor]:
    """The velocity under one context, without guidance, as a function of latent tokens and noise level.

    Args:
        engine: The loaded model.
        context: The context to condition on.
        size: Width and height of the picture, in pixels.

    Returns:
        The function; its velocities are float32 [count, token values].
    """
    passes = _Passes(engine, [context], size)

    def velocity(x: Tensor, t: float) -> Tensor:
        times = torch.tensor([t], device=x.device)
        return _pass(engine.model, passes.plain, passes.places, x, times)[1][0]

    return velocity
