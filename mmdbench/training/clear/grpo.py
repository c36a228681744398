"""CLEAR's reinforcement learning, Interleaved GRPO, step by step: rollouts, rewards, losses, update.

Source: CLEAR (arXiv 2604.04780), section 3.4. The published code's mask hides restored pictures from the
text after them; it is not used here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from mmdbench.bagel.chunks import Engine
from mmdbench.training.clear.forward import PackedModel
from mmdbench.training.clear.grpo_losses import GrpoLosses, PolicyScores, grpo_losses
from mmdbench.training.clear.grpo_profiles import GrpoProfile
from mmdbench.training.clear.grpo_prompts import GrpoPrompt, PromptStream
from mmdbench.training.clear.grpo_rewards import RewardFunction
from mmdbench.training.clear.grpo_rollouts import Rollout, RolloutGroup, roll_out
from mmdbench.training.clear.grpo_scores import (
    CompletionScores,
    TrainedStep,
    choose_step,
    completion_sequence,
    score_completion,
)
from mmdbench.training.clear.layout import PackedSequence
from mmdbench.training.clear.packing import StreamPlace, seeded
from mmdbench.training.clear.pictures import PictureReader, PictureSizes
from mmdbench.training.clear.stepping import StepTraining, TrainingFolder
from mmdbench.training.rewards import group_advantages

__all__ = ["GrpoStep", "GrpoTask", "GrpoTraining", "count_rounds"]

_WORKERS = 8


@dataclass(frozen=True, slots=True)
class GrpoTask:
    """The prompts, the system prompt, and the function that rewards completions."""

    prompts: tuple[GrpoPrompt, ...]
    system: str
    reward: RewardFunction


@dataclass(frozen=True, slots=True)
class GrpoStep:
    """One round of rollouts and its updates; all numbers are means over completions and processes.

    `numbers` has the rewards by name (`reward` is their sum, `reward_…` the parts), the losses and their
    divergence, shares of clipped tokens and of completions with a restored picture, and lengths in tokens.
    """

    step: int
    numbers: Mapping[str, float]


@dataclass(slots=True)
class _Completion:
    """A completion with its advantage, its trained step and its log-probabilities when it was sampled."""

    sequence: PackedSequence
    trained: TrainedStep | None
    advantage: float
    old: CompletionScores | None = None
    reference: CompletionScores | None = None


def count_rounds(profile: GrpoProfile, prompts: int, processes: int) -> int:
    """The number of rounds: that of the profile, or as many as its epochs have prompts for.

    Args:
        profile: The settings.
        prompts: The number of prompts.
        processes: The number of processes, each of which takes prompts of its own.

    Returns:
        The number of rounds.
    """
    own = profile.optimiser
    return own.steps or max(1, math.ceil(own.epochs * prompts / (profile.prompts * processes)))


class GrpoTraining(StepTraining[GrpoStep]):
    """A reinforcement learning in one folder, begun or resumed there.

    Every process holds a whole model.

    Args:
        engine: The model to start from, in float32, with its autoencoder.
        task: Prompts and rewards.
        profile: All settings.
        folder: The folder, and the processes.
    """

    kind = "clear-grpo"

    def __init__(self, engine: Engine, task: GrpoTask, profile: GrpoProfile, folder: TrainingFolder) -> None:
        self.profile, self.task = profile, task
        own = folder.accelerator
        place = StreamPlace(profile.seed, own.process_index, own.num_processes)
        self.prompts = PromptStream(task.prompts, place)
        steps = count_rounds(profile, len(task.prompts), own.num_processes)
        # Before the model is wrapped, and before a checkpoint changes its weights.
        frozen = copy.deepcopy(engine.model).requires_grad_(requires_grad=False) if profile.has_copy else None
        super().__init__(engine, profile, folder, steps, profile.iterations)
        self._reference = None if frozen is None else PackedModel(frozen).to(own.device)
        self.reader = PictureReader(PictureSizes(engine.sizes, engine.patch), self.autoencoder, 1.0)
        self._resume()

    @property
    def data(self) -> PromptStream:
        """The prompts of this process."""
        return self.prompts

    def update(self) -> GrpoStep:
        """One round: rollouts of some prompts, and the updates with them."""
        groups = [self._rolled() for _ in range(self.profile.prompts)]
        completions, numbers = self._rewarded(groups)
        for _ in range(self.profile.iterations):
            numbers |= self._trained(completions)
        self.step += 1
        return GrpoStep(self.step, self._means(numbers))

    def _rolled(self) -> tuple[int, RolloutGroup]:
        drawn = self.prompts.next_prompt()
        self._model.eval()
        with self.accelerator.autocast():
            return drawn[0], roll_out(self.engine, self.reader, self.task.system, drawn, self.profile)

    def _rewarded(
        self, groups: Sequence[tuple[int, RolloutGroup]]
    ) -> tuple[list[_Completion], dict[str, float]]:
        pairs = [(group.prompt, rollout) for _, group in groups for rollout in group.rollouts]
        with ThreadPoolExecutor(_WORKERS) as pool:
            found = list(pool.map(lambda pair: self.task.reward(*pair), pairs))
        totals, completions = iter([own["total"] for own in found]), []
        for number, group in groups:
            earned = [next(totals) for _ in group.rollouts]
            advantages = group_advantages(earned, self.profile.rewards.scale)
            for member, (rollout, advantage) in enumerate(zip(group.rollouts, advantages, strict=True)):
                chance = seeded("step", self.profile.seed, number, member)
                completions.append(self._completion(group, rollout, advantage, choose_step(rollout, chance)))
        return completions, _rollout_numbers([rollout for _, rollout in pairs], found)

    def _completion(
        self, group: RolloutGroup, rollout: Rollout, advantage: float, trained: TrainedStep | None
    ) -> _Completion:
        sequence = completion_sequence(group, rollout, trained, self._markers, self.reader)
        return _Completion(sequence.to(self.accelerator.device), trained, advantage)

    def _trained(self, completions: Sequence[_Completion]) -> dict[str, float]:
        self._model.train()
        self.state.optimiser.zero_grad()
        found = []
        for number, one in enumerate(completions):
            with self._gradients(last=number == len(completions) - 1):
                losses = self._losses(one)
                self.accelerator.backward(losses.total / len(completions))
            found.append(_loss_numbers(losses))
        norm, rate = self._apply()
        means = {name: fmean(own[name] for own in found) for name in found[0]}
        return {**means, "gradient_norm": norm, "learning_rate": rate}

    def _losses(self, one: _Completion) -> GrpoLosses:
        """The losses of a completion; old and reference scores are those of its first pass."""
        own = self.profile
        if self._reference is not None and one.reference is None:
            with torch.no_grad():
                one.reference = self._score(self._reference, one)
        new = self._score(self._model, one)
        if one.old is None:
            one.old = new.detached()
        reference = one.old if own.reference == "sampling" and own.loss.beta > 0 else one.reference
        text = PolicyScores(new.text, one.old.text, None if reference is None else reference.text)
        picture = None if new.picture is None else PolicyScores(new.picture, one.old.picture)
        return grpo_losses(text, picture, one.advantage, own.loss)

    def _score(self, model: Any, one: _Completion) -> CompletionScores:
        limit = self.engine.sizes.logits_limit
        with self.accelerator.autocast():
            return score_completion(model, one.sequence, one.trained, self.profile, limit)


def _loss_numbers(losses: GrpoLosses) -> dict[str, float]:
    return {
        "total": float(losses.total.detach()),
        "text": float(losses.text.detach()),
        "picture": float(losses.picture.detach()),
        "kl": float(losses.kl),
        "clipped_low": losses.clipped_low,
        "clipped_high": losses.clipped_high,
    }


def _rollout_numbers(rollouts: Sequence[Rollout], rewards: Sequence[Mapping[str, float]]) -> dict[str, float]:
    numbers: dict[str, Any] = {"reward": fmean(own["total"] for own in rewards)}
    for name in sorted({name for own in rewards for name in own} - {"total"}):
        values = [own.get(name, math.nan) for own in rewards]
        numbers[f"reward_{name}"] = fmean(0.0 if math.isnan(value) else value for value in values)
    numbers["restored"] = fmean(bool(rollout.paths) for rollout in rollouts)
    numbers["tokens"] = fmean(sum(map(len, rollout.ids)) for rollout in rollouts)
    numbers["cut"] = fmean(not all(rollout.ended) for rollout in rollouts)
    return numbers
