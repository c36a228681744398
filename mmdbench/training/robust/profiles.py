"""Settings of Robust-R1's two trainings, by the paper and by its published code.

Frozen values only, nothing here imports torch. Every checkpoint records all of them by name.

Sources: Robust-R1 (arXiv 2512.17532); its code at 02f2c9d. Neither has the settings of the supervised
training, whose numbers are ours: the usual ones of a full fine-tuning of this size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import RewardProfile
from mmdbench.training.robust_r1 import BLOCKS

__all__ = [
    "GRPO_CODE",
    "GRPO_PAPER",
    "GRPO_PROFILES",
    "SFT_PAPER",
    "SFT_PROFILES",
    "VISION",
    "ChainGrpoProfile",
    "ChainSftProfile",
    "TargetSettings",
    "TrainerSettings",
]

Precision = Literal["no", "bf16"]
VISION = "visual"
"""The part of a tensor's name that tells the vision tower and its projector, which are not trained."""

REWARDS = ("accuracy", "format", "degradation", "length")


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """The chain that is learnt, and the instruction that follows every question.

    `blocks` are the blocks of a chain that are kept, in order; the instruction is always the whole one.
    """

    blocks: tuple[str, ...] = BLOCKS
    instruction: str = "robust-r1"

    def __post_init__(self) -> None:
        for name in self.blocks:
            if name not in BLOCKS:
                raise UnknownNameError("block of a chain", name, BLOCKS)


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """AdamW, its schedule and the batches; `batch` counts samples of one process, pictures included.

    `steps` counts updates; None makes `epochs` passes over the data. `optimiser` decay is 0 as in
    transformers.
    """

    learning_rate: float
    batch: int
    accumulation: int
    steps: int | None = None
    epochs: float = 1.0
    warmup_steps: int = 0
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if min(self.batch, self.accumulation) < 1 or (self.steps is not None and self.steps < 1):
            raise UsageError(
                "batch, accumulation and steps must be at least 1, got "
                f"{self.batch}, {self.accumulation} and {self.steps}."
            )


@dataclass(frozen=True, slots=True)
class ChainSftProfile:
    """All settings of the supervised training: the loss is that of the next token, over the chain alone."""

    name: str
    optimiser: TrainerSettings
    targets: TargetSettings = TargetSettings()
    max_rows: int | None = None
    autocast: Precision = "bf16"
    layer_checkpointing: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ChainGrpoProfile:
    """All settings of the reinforcement learning.

    `rewards` has the weight of each reward that counts. `degradation` chooses the form of r_deg;
    `wrapped_length` counts the tags `<answer> … </answer>` that the published data loader puts around
    every solution. `group` is the number of completions of a prompt; advantages are divided by the
    sample deviation plus 0.0001, as TRL does.
    """

    name: str
    optimiser: TrainerSettings
    rewards: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(REWARDS, 1.0))
    degradation: RewardProfile = "code"
    wrapped_length: bool = True
    targets: TargetSettings = TargetSettings()
    group: int = 8
    max_completion: int = 2048
    temperature: float = 0.9
    top_k: int = 50
    top_p: float = 1.0
    beta: float = 0.04
    epsilon: float = 0.2
    iterations: int = 1
    autocast: Precision = "bf16"
    layer_checkpointing: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.rewards:
            raise UsageError("rewards must name at least one reward with its weight.")
        for name in self.rewards:
            if name not in REWARDS:
                raise UnknownNameError("reward", name, REWARDS)
        if self.group < 2 or self.optimiser.batch * self.optimiser.accumulation % self.group:
            raise UsageError(
                "batch × accumulation must be a multiple of group, which must be at least 2, got "
                f"{self.optimiser.batch} × {self.optimiser.accumulation} and {self.group}."
            )


SFT_PAPER = ChainSftProfile(
    name="paper",
    optimiser=TrainerSettings(1e-5, batch=1, accumulation=2, epochs=3.0, warmup_steps=20, schedule="cosine"),
)
"""The published procedure (LLM in full, vision parts frozen) with our numbers; the sources have none."""

GRPO_CODE = ChainGrpoProfile(name="repo", optimiser=TrainerSettings(1e-6, batch=8, accumulation=2))
"""The numbers of the published code, which trained the released weights."""

GRPO_PAPER = ChainGrpoProfile(
    name="paper",
    optimiser=GRPO_CODE.optimiser,
    rewards={"degradation": 1.0, "length": 1.0},
    degradation="paper",
    wrapped_length=False,
)
"""The reward of the paper, r_deg + r_len (equation 9); the code's numbers where it has none."""

SFT_PROFILES: Mapping[str, ChainSftProfile] = {"paper": SFT_PAPER}
GRPO_PROFILES: Mapping[str, ChainGrpoProfile] = {"paper": GRPO_PAPER, "repo": GRPO_CODE}
