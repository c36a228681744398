"""The places of CLEAR's reinforcement learning, opened: prompts, model, pictures to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from mmdbench.bagel.chunks import Engine
from mmdbench.training.clear.grpo import GrpoTask, GrpoTraining, count_rounds
from mmdbench.training.clear.grpo_profiles import GrpoProfile
from mmdbench.training.clear.grpo_prompts import DEGRADED, GrpoPrompt, read_prompts
from mmdbench.training.clear.grpo_rewards import CompletionReward, RewardJudge
from mmdbench.training.clear.layout import CLEAN
from mmdbench.training.clear.loop import make_accelerator
from mmdbench.training.clear.packing import seeded
from mmdbench.training.clear.pictures import PictureReader, PictureSizes
from mmdbench.training.clear.start import ClearPlaces, open_places
from mmdbench.training.clear.stepping import TrainingFolder
from mmdbench.training.config import HardwareSettings, TrainingConfig
from mmdbench.training.footprint import Footprint, Work

__all__ = ["GrpoStart", "open_grpo_start"]


@dataclass(frozen=True, slots=True)
class GrpoStart:
    """The places of a reinforcement learning, and its prompts."""

    places: ClearPlaces
    prompts: tuple[GrpoPrompt, ...]

    def training(
        self, profile: GrpoProfile, folder: Path, origin: Mapping[str, Any], judge: RewardJudge | None = None
    ) -> GrpoTraining:
        """The training in a folder, with the model loaded.

        Args:
            profile: All settings.
            folder: The folder for checkpoints.
            origin: Digests of the data and of the weights to start from.
            judge: The judge of answers.

        Returns:
            The training, continued if the folder has a checkpoint.

        Raises:
            UsageError: The profile needs a judge, and there is none.
        """
        # Refused before the weights are read.
        CompletionReward(profile.rewards, judge)
        engine = self.places.engine()
        reward = CompletionReward(profile.rewards, judge, _clean_latents(engine))
        task = GrpoTask(self.prompts, self.places.source.system, reward)
        place = TrainingFolder(folder, make_accelerator(profile.autocast), origin)
        return GrpoTraining(engine, task, profile, place)

    def sampler(self, training: GrpoTraining, folder: Path) -> Callable[[int], Path]:
        """A function of the step that restores the picture of the first prompt, into a folder."""
        picture = self.prompts[0].picture(DEGRADED)
        return lambda step: self.places.restore_into(folder, step, training.engine, picture)

    def footprint(self, profile: GrpoProfile, hardware: HardwareSettings) -> Footprint:
        """The memory and the time of a training, if every completion is as long as it may be.

        Operations alone are counted: writing texts token by token takes longer than that.
        """
        own, turns = profile.rollout, profile.rollout.max_turns
        alone = replace(hardware, gpus=1)  # it runs in one process
        latents = (turns - 1) * fmean(prompt.latent_rows for prompt in self.prompts)
        rows = fmean(prompt.rows for prompt in self.prompts) + turns * own.max_new_tokens + latents
        # Rollout and reference read a completion once, a denoising step the rows of one picture.
        passes: float = 1 + profile.has_copy + profile.iterations * (3 + profile.layer_checkpointing)
        passes += (profile.sampler.steps - 1) * latents / rows
        work = Work(
            count_rounds(profile, len(self.prompts), alone.gpus),
            round(profile.optimiser.accumulation * rows),
            passes,
        )
        return Footprint(self.places.parameters(), work, alone, reference=profile.has_copy)


def open_grpo_start(config: TrainingConfig, data: Path) -> GrpoStart:
    """The places of a reinforcement learning, with the prompts read; as `open_places`."""
    places = open_places(config, data)
    return GrpoStart(places, read_prompts(places.source))


def _clean_latents(engine: Engine) -> Callable[[GrpoPrompt], Tensor | None]:
    """The latent tokens of the clean picture of a prompt."""
    reader = PictureReader(PictureSizes(engine.sizes, engine.patch), engine.autoencoder, 1.0)

    def latent(prompt: GrpoPrompt) -> Tensor | None:
        if CLEAN not in prompt.files:
            return None
        chance = seeded("clean", prompt.id)
        return reader.latent(prompt.picture(CLEAN), lambda shape: torch.randn(shape, generator=chance))

    return latent
