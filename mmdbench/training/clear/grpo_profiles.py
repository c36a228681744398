"""Settings of CLEAR's reinforcement learning, Interleaved GRPO, by the paper and by its published code.

Frozen values only, nothing here imports torch. Every checkpoint records all of them by name.

Sources: CLEAR (arXiv 2604.04780), section 3.4 and tables 12 to 14; its code at 411d6bd. Where the paper is
silent, `GRPO_PAPER` has the code's values; the number of updates is that of the code at the paper's date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import RewardProfile
from mmdbench.training.clear.profiles import OptimiserSettings, Precision

__all__ = [
    "GRPO_PAPER",
    "GRPO_PROFILES",
    "GRPO_REPO",
    "REWARDS",
    "GrpoLossSettings",
    "GrpoProfile",
    "LogPForm",
    "RewardSettings",
    "RolloutSettings",
    "SdeSettings",
]

LogPForm = Literal["sum", "mean"]
"""The log-probability of a step: the sum over its values (paper), or their mean (published code)."""

Normalisation = Literal["per_completion", "dr_grpo"]
Reference = Literal["start", "sampling"]
REWARDS = ("accuracy", "format", "decision", "latent")
"""The rewards that can have a weight."""


def _require(setting: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UnknownNameError(f"value of {setting}:", value, known)


@dataclass(frozen=True, slots=True)
class SdeSettings:
    """Settings of the sampler: `steps` noise levels make `steps` − 1 steps; `sigma` is constant."""

    steps: int = 30
    shift: float = 3.0
    sigma: float = 0.3

    def __post_init__(self) -> None:
        if self.steps < 2 or self.shift <= 0 or self.sigma <= 0:
            raise UsageError(
                "The sampler needs at least 2 steps, and a shift and sigma above 0, got "
                f"{self.steps}, {self.shift} and {self.sigma}."
            )


@dataclass(frozen=True, slots=True)
class GrpoLossSettings:
    """Settings of the loss.

    `normalisation` divides the sum over tokens by the completion's labels (`per_completion`) or by
    `max_completion_length` (`dr_grpo`). `picture_weight` is the paper's λ; `beta` weighs the
    divergence from the reference. `temperature` is that of the rollouts too.
    """

    epsilon: float = 0.2
    beta: float = 0.04
    picture_weight: float = 0.3
    normalisation: Normalisation = "per_completion"
    max_completion_length: int = 16_384
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.normalisation not in ("per_completion", "dr_grpo"):
            raise UsageError(
                f"The normalisation must be per_completion or dr_grpo, got {self.normalisation!r}."
            )
        if self.temperature <= 0 or self.max_completion_length < 1:
            raise UsageError(
                "temperature must be above 0 and max_completion_length at least 1, got "
                f"{self.temperature} and {self.max_completion_length}."
            )


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """Settings of a group of completions.

    `group` completions of one prompt, each of at most `max_turns` texts of `max_new_tokens` tokens.
    A restored picture returns into the context by `feedback`: its latent tokens (`bridge`), or what
    the ViT sees in the decoded picture (`reencode`).
    """

    group: int = 4
    max_turns: int = 3
    max_new_tokens: int = 4096
    top_p: float = 1.0
    feedback: Literal["bridge", "reencode"] = "bridge"

    def __post_init__(self) -> None:
        _require("rollout.feedback", self.feedback, ("bridge", "reencode"))
        if self.group < 2 or self.max_turns < 1 or self.max_new_tokens < 2:
            raise UsageError(
                "group and max_new_tokens must be at least 2 and max_turns at least 1, got "
                f"{self.group}, {self.max_new_tokens} and {self.max_turns}."
            )


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """The rewards of a completion, and their weights.

    Accuracy is a judge's score (`judge`), or 1 for the very words of the right answer, but for case
    (`exact`). `profile` is the form of the judge's prompt and of the format reward. Advantages are divided by
    what `scale` names, as in `group_advantages`.
    """

    weights: Mapping[str, float] = field(
        default_factory=lambda: {"accuracy": 0.75, "format": 0.10, "decision": 0.15}
    )
    accuracy: Literal["judge", "exact"] = "judge"
    profile: RewardProfile = "paper"
    decision: Literal["paper", "code", "code-smooth"] = "paper"
    scale: Literal["population", "sample", "none"] = "sample"

    def __post_init__(self) -> None:
        for name in self.weights:
            _require("rewards.weights", name, REWARDS)
        _require("rewards.accuracy", self.accuracy, ("judge", "exact"))
        _require("rewards.profile", self.profile, ("paper", "code"))
        _require("rewards.decision", self.decision, ("paper", "code", "code-smooth"))
        _require("rewards.scale", self.scale, ("population", "sample", "none"))

    @property
    def needs_judge(self) -> bool:
        """True if a judge is asked: its score counts itself, or decides what a decision is worth."""
        counts = any(self.weights.get(name, 0.0) for name in ("accuracy", "decision"))
        return counts and self.accuracy == "judge"


@dataclass(frozen=True, slots=True)
class GrpoProfile:
    """All settings of the reinforcement learning.

    `optimiser.steps` counts rounds of rollouts, each trained on `iterations` times;
    `optimiser.accumulation` counts completions of one process in a round, a multiple of the group. There is
    no moving average. `log_p` is the form of a denoising step's log-probability. With a `beta` of the
    loss above 0, `reference` is a frozen copy of the weights at the `start`, or the weights at the time
    of `sampling`, of which no copy is kept.
    """

    name: str
    optimiser: OptimiserSettings
    loss: GrpoLossSettings = GrpoLossSettings()
    sampler: SdeSettings = SdeSettings()
    rollout: RolloutSettings = RolloutSettings()
    rewards: RewardSettings = RewardSettings()
    log_p: LogPForm = "sum"
    reference: Reference = "start"
    iterations: int = 1
    autocast: Precision = "bf16"
    saved_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    layer_checkpointing: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        _require("log_p", self.log_p, ("sum", "mean"))
        _require("reference", self.reference, ("start", "sampling"))
        if self.optimiser.accumulation % self.rollout.group or self.iterations < 1:
            raise UsageError(
                "optimiser.accumulation must be a multiple of rollout.group, and iterations at least 1, got "
                f"{self.optimiser.accumulation}, {self.rollout.group} and {self.iterations}."
            )

    @property
    def has_copy(self) -> bool:
        """True if a frozen copy of the first weights is kept."""
        return self.loss.beta > 0 and self.reference == "start"

    @property
    def prompts(self) -> int:
        """The number of prompts of one process in a round."""
        return self.optimiser.accumulation // self.rollout.group


GRPO_PAPER = GrpoProfile(
    name="paper",
    optimiser=OptimiserSettings(1e-6, min_learning_rate=0.0, steps=200, accumulation=16),
)
"""The numbers of the paper; the code's where it has none."""

GRPO_REPO = GrpoProfile(
    name="repo",
    optimiser=OptimiserSettings(5e-6, min_learning_rate=0.0, warmup_steps=0, steps=400, accumulation=32),
    loss=GrpoLossSettings(picture_weight=0.5, normalisation="dr_grpo"),
    sampler=SdeSettings(steps=20),
    rollout=RolloutSettings(group=8),
    rewards=RewardSettings({"accuracy": 0.75, "format": 0.10}, profile="code", decision="code", scale="none"),
    log_p="mean",
    reference="sampling",
)
"""The numbers of the published code, but for its attention mask."""

GRPO_PROFILES: Mapping[str, GrpoProfile] = {"paper": GRPO_PAPER, "repo": GRPO_REPO}
