"""The rewards of a completion, by the settings of the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from mmdbench.errors import ModelError, UsageError
from mmdbench.results.judging.journal import JudgeJournal
from mmdbench.scoring import Judge, JudgeCall, JudgeReply
from mmdbench.training.clear.grpo_profiles import REWARDS, RewardSettings
from mmdbench.training.clear.grpo_prompts import GrpoPrompt
from mmdbench.training.clear.grpo_rollouts import Rollout
from mmdbench.training.rewards import (
    Rewards,
    RewardWeights,
    Solution,
    accuracy_reward,
    decision_reward,
    format_reward,
    is_correct,
    is_restored,
    judged_text,
    latent_quality,
    weighted_sum,
)

__all__ = ["CompletionReward", "RewardFunction", "RewardJudge"]

RewardFunction = Callable[[GrpoPrompt, Rollout], Mapping[str, float]]
"""The rewards of a completion by name, from several threads; `total` is what it earns."""


@dataclass(frozen=True, slots=True)
class RewardJudge:
    """The judge of answers, and the journal that keeps its replies."""

    judge: Judge
    journal: JudgeJournal | None = None


class CompletionReward:
    """The weighted sum of CLEAR's rewards.

    Args:
        settings: Weights and forms.
        judge: The judge of answers; None if none is needed.
        clean: The latent tokens of a prompt's clean picture, None if it has none; for the latent quality.

    Raises:
        UsageError: A judge is needed, and there is none.
    """

    def __init__(
        self,
        settings: RewardSettings,
        judge: RewardJudge | None = None,
        clean: Callable[[GrpoPrompt], Tensor | None] = lambda _prompt: None,
    ) -> None:
        if settings.needs_judge and judge is None:
            raise UsageError(
                "Answers are graded by a judge, and there is none.",
                hint="Name a model card, judge: gpt-4.1, or set rewards: {accuracy: exact}.",
            )
        self._settings, self._judge, self._clean = settings, judge, clean
        self._weights = RewardWeights(**{name: settings.weights.get(name, 0.0) for name in REWARDS})

    def __call__(self, prompt: GrpoPrompt, rollout: Rollout) -> dict[str, float]:
        """The rewards of a completion by name, and their weighted sum `total`."""
        pieces, own = rollout.pieces, self._settings
        accuracy = self._accuracy(prompt, rollout)
        found = Rewards(
            accuracy=math.nan if accuracy is None else accuracy,
            format=format_reward(pieces, own.profile),
            decision=decision_reward(is_restored(pieces), is_correct(accuracy), own.decision),
            latent=self._latent(prompt, rollout),
        )
        named = {name: getattr(found, name) for name in REWARDS}
        return {**named, "total": weighted_sum(found, self._weights)}

    def _accuracy(self, prompt: GrpoPrompt, rollout: Rollout) -> float | None:
        if self._judge is None or not self._settings.needs_judge:
            return float(judged_text(rollout.pieces).casefold() == prompt.truth.casefold())
        watched = _WatchedJudge(self._judge.judge)
        solution = Solution(prompt.truth, prompt.question, index=prompt.id)
        score = accuracy_reward(
            watched,
            rollout.pieces,
            solution,
            profile=self._settings.profile,
            journal=self._judge.journal,
        )
        if watched.failure:
            raise ModelError(
                f"The judge {watched.id} did not answer: {watched.failure}.",
                hint="Replies so far are kept. Run the same command again to resume.",
            )
        return score

    def _latent(self, prompt: GrpoPrompt, rollout: Rollout) -> float:
        if not self._weights.latent or not rollout.paths:
            return math.nan
        clean = self._clean(prompt)
        return math.nan if clean is None else latent_quality(rollout.paths[-1].x[-1].cpu(), clean)


class _WatchedJudge:
    """A judge whose last reply is remembered if it failed."""

    def __init__(self, judge: Judge) -> None:
        self.id, self.failure, self._judge = judge.id, "", judge

    def ask(self, call: JudgeCall) -> JudgeReply:
        reply = self._judge.ask(call)
        self.failure = "" if reply.status == "ok" else reply.text or "no reply"
        return reply
