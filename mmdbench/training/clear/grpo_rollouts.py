"""A group of completions of one prompt: the dialogue loop of inference, with the sampler by chance.

Texts are drawn at the temperature, restorations by the SDE sampler, without guidance; a restored picture goes
back into the context as the profile says. All chance follows from the seed and the number of the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from mmdbench.bagel.chunks import Engine, grid_of
from mmdbench.bagel.context import Context
from mmdbench.bagel.denoising import velocity_under
from mmdbench.bagel.dialogue import DialogueInput, DialogueResult, Injection, run_dialogues
from mmdbench.bagel.images import resized
from mmdbench.bagel.settings import DialogueSettings, Speed
from mmdbench.system.digest import derive_seed
from mmdbench.training.clear.grpo_profiles import GrpoProfile
from mmdbench.training.clear.grpo_prompts import DEGRADED, GrpoPrompt
from mmdbench.training.clear.packing import seeded
from mmdbench.training.clear.pictures import PictureReader
from mmdbench.training.clear.sde import SdePath, sample_path
from mmdbench.training.clear.segments import SequenceSegment, SftTexts, sft_segments

__all__ = ["Rollout", "RolloutGroup", "roll_out"]

_TURNED = ("x", "velocities", "log_p")


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion: `ids` of its texts as they were drawn, and the path of each restored picture.

    A text is `ended` if it was not cut at the limit of tokens. `pictures` are decoded where the ViT reads
    them again, else there are none.
    """

    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    ended: tuple[bool, ...]
    paths: tuple[SdePath, ...] = ()
    pictures: tuple[Image.Image, ...] = ()

    @property
    def pieces(self) -> tuple[object, ...]:
        """Texts, and None for each picture between them, as rewards read a completion."""
        found: list[object] = []
        for number, text in enumerate(self.texts):
            found += [text, *([None] if number < len(self.paths) else [])]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class RolloutGroup:
    """The completions of a prompt, and the segments of the prompt, read as they were for all of them."""

    prompt: GrpoPrompt
    segments: tuple[SequenceSegment, ...]
    rollouts: tuple[Rollout, ...]


def roll_out(
    engine: Engine,
    reader: PictureReader,
    system: str,
    drawn: tuple[int, GrpoPrompt],
    profile: GrpoProfile,
    inject: Injection | None = None,
) -> RolloutGroup:
    """Complete a prompt as many times as a group has members.

    Args:
        engine: The model.
        reader: Reads the picture of the prompt.
        system: The system prompt.
        drawn: The number of the prompt among all draws, which all chance follows from, and the prompt.
        profile: All settings.
        inject: Fixed texts in place of drawn ones, for tests.

    Returns:
        The group.
    """
    number, prompt = drawn
    own = profile.rollout
    picture = prompt.picture(DEGRADED)
    noise = _latent_noise(engine, picture, number, profile)
    settings = DialogueSettings(
        feedback=own.feedback,
        max_turns=own.max_turns,
        max_new_tokens=own.max_new_tokens,
        temperature=profile.loss.temperature,
        top_p=own.top_p,
    )
    # Contexts of system prompts are those of the weights of now.
    speed = Speed(skip_pictures=own.feedback == "bridge")
    fresh = replace(engine, speed=speed, prefixes={}, caches={})
    seeds = [derive_seed("rollout", profile.seed, number, member) for member in range(own.group)]
    asked = [DialogueInput((picture, prompt.question), seed) for seed in seeds]
    sampler = _Sampler(fresh, profile, seeds)
    fixed = replace(inject or Injection(), vae_noise=(noise,))
    results = run_dialogues(fresh, asked, settings, system, fixed, sampler.restore)
    rollouts = [_rollout(*found, fresh) for found in zip(results, sampler.paths, strict=True)]
    return RolloutGroup(prompt, _prompt_segments(engine, reader, system, prompt, noise), tuple(rollouts))


class _Sampler:
    """Restores the pictures of dialogues by chance, and keeps their paths."""

    def __init__(self, engine: Engine, profile: GrpoProfile, seeds: Iterable[int]) -> None:
        self._engine, self._profile, self._seeds = engine, profile, list(seeds)
        self.paths: list[list[SdePath]] = [[] for _ in self._seeds]

    def restore(self, dialogue: int, context: Context, size: tuple[int, int]) -> Tensor:
        own, device = self.paths[dialogue], self._engine.model.device
        chance = seeded("restoration", self._seeds[dialogue], len(own))
        rows, columns, _ = grid_of(self._engine, size)

        def draw(_step: int = 0) -> Tensor:
            shape = (rows * columns, self._engine.sizes.token_values)
            return torch.randn(shape, generator=chance).to(device)

        velocity = velocity_under(self._engine, context, size)
        own.append(sample_path(velocity, draw(), draw, self._profile.sampler, self._profile.log_p))
        return own[-1].x[-1]


def _rollout(result: DialogueResult, paths: Iterable[SdePath], engine: Engine) -> Rollout:
    # An id is what was drawn; where a text was given instead, for tests, it is that of the text.
    ids = [
        drawn if engine.tokenizer.decode(drawn) == text else tuple(engine.tokenizer.encode(text))
        for drawn, text in zip(result.ids, result.texts, strict=True)
    ]
    # Copies: tensors of inference have no gradients.
    copied = [replace(path, **{name: getattr(path, name).clone() for name in _TURNED}) for path in paths]
    return Rollout(
        tuple(result.texts), tuple(ids), tuple(result.ended), tuple(copied), tuple(result.pictures)
    )


def _latent_noise(engine: Engine, picture: Image.Image, number: int, profile: GrpoProfile) -> Tensor:
    """The noise of the latent of the prompt's picture, the same in all completions of the group."""
    vae = engine.sizes.vae
    width, height = resized(picture, engine.sizes.vae_transform).size
    shape = (1, vae.latent_channels, height // vae.downsample, width // vae.downsample)
    return torch.randn(shape, generator=seeded("prompt", profile.seed, number))


def _prompt_segments(
    engine: Engine, reader: PictureReader, system: str, prompt: GrpoPrompt, noise: Tensor
) -> tuple[SequenceSegment, ...]:
    # Inference reads the picture at the size of the VAE's rule, the ViT too.
    picture = resized(prompt.picture(DEGRADED), engine.sizes.vae_transform)
    encode, layout = engine.tokenizer.encode, reader.layout
    texts = SftTexts(tuple(encode(system)), tuple(encode(prompt.question)), ())
    first, vae, vit, question, _ = sft_segments(
        texts, (layout.vae_grid(*picture.size), layout.vit_grid(*picture.size))
    )
    vae, vit = reader.fill((vae, vit), {DEGRADED: picture}, lambda _shape: noise)
    return first, vae, vit, question
