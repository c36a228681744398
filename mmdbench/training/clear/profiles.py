"""Settings of CLEAR's supervised training, by the paper and by its published code.

Frozen values only, nothing here imports torch. Every checkpoint records all of them by name.

Sources: CLEAR (arXiv 2604.04780); its code at 411d6bd. Where the paper is silent, `PAPER` has the values of
the code at the paper's date: AdamW without decay, clipping, EMA, warm-up and the schedule's floor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmdbench.errors import UsageError

__all__ = [
    "PAPER",
    "REPO",
    "SFT_PROFILES",
    "DistillationSettings",
    "DropSettings",
    "OptimiserSettings",
    "PackingSettings",
    "SftProfile",
]

DistillationMode = Literal["per_layer_kl", "final_mse"]
Precision = Literal["no", "bf16"]


@dataclass(frozen=True, slots=True)
class DistillationSettings:
    """The loss that draws the latent tokens of the clean picture to its ViT tokens.

    `per_layer_kl` compares them after the decoder layers whose number is a multiple of `stride`, and
    after the last; `final_mse` compares the means of their final states.
    """

    mode: DistillationMode = "per_layer_kl"
    weight: float = 0.1
    stride: int = 1

    def __post_init__(self) -> None:
        if self.mode not in ("per_layer_kl", "final_mse"):
            raise UsageError(f"The distillation must be per_layer_kl or final_mse, got {self.mode!r}.")
        if self.stride < 1:
            raise UsageError(f"The stride of the distillation must be at least 1, got {self.stride}.")


@dataclass(frozen=True, slots=True)
class DropSettings:
    """Probabilities, 0..1, that a segment is left out of its sample; the noised picture never is.

    `text` counts for system prompts, questions and answers alike: a dropped answer is not learnt.
    """

    text: float = 0.1
    vit: float = 0.4
    vae: float = 0.0

    def __post_init__(self) -> None:
        for name in ("text", "vit", "vae"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(
                    f"The probability to drop a {name} segment must be between 0 and 1, "
                    f"got {getattr(self, name)}."
                )


@dataclass(frozen=True, slots=True)
class PackingSettings:
    """Sizes of packs, in rows of the decoder.

    A pack is complete at `expected_rows`. A sample that would make it longer than `max_rows` waits in a
    buffer of `waiting` samples, which are taken first while a pack is below `prefer_waiting_below`; with
    a full buffer the pack is complete as well. `weights` are the chances of the groups of samples
    without a restoration (`direct`) and with one (`generate`).
    """

    expected_rows: int = 30_000
    max_rows: int = 32_768
    waiting: int = 50
    prefer_waiting_below: int = 16_384
    weights: Mapping[str, float] = field(default_factory=lambda: {"direct": 0.5, "generate": 0.5})

    def __post_init__(self) -> None:
        if not 0 < self.expected_rows <= self.max_rows:
            raise UsageError(
                f"expected_rows must be between 1 and max_rows, got {self.expected_rows} and {self.max_rows}."
            )
        if not self.weights or any(weight <= 0 for weight in self.weights.values()):
            raise UsageError(f"Each group of samples needs a weight above 0, got {dict(self.weights)}.")


@dataclass(frozen=True, slots=True)
class OptimiserSettings:
    """AdamW, its schedule, clipping and the moving average of the weights.

    The learning rate rises linearly for `warmup_steps`, then falls as a cosine to
    `min_learning_rate` at the last step. `steps` counts updates; None takes as many as `epochs`
    passes over the data have packs. Each update adds up `accumulation` packs for each process.
    """

    learning_rate: float
    min_learning_rate: float = 1e-7
    warmup_steps: int = 50
    steps: int | None = None
    epochs: float = 3.0
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-15
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.995
    accumulation: int = 1

    def __post_init__(self) -> None:
        if self.accumulation < 1 or self.warmup_steps < 0 or (self.steps is not None and self.steps < 1):
            raise UsageError(
                "steps and accumulation must be at least 1 and warmup_steps at least 0, got "
                f"{self.steps}, {self.accumulation} and {self.warmup_steps}."
            )
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"ema_decay must be at least 0 and below 1, got {self.ema_decay}.")


@dataclass(frozen=True, slots=True)
class SftProfile:
    """All settings of a supervised training.

    `mse_weight` weighs the loss of the velocities, `timestep_shift` their noise levels. `saved_dtype` is
    that of the published weight files, and `autocast` the precision of the forward pass; weights,
    optimiser and moving average are kept in float32.
    """

    name: str
    optimiser: OptimiserSettings
    ce_weight: float = 1.0
    mse_weight: float = 1.0
    distillation: DistillationSettings = DistillationSettings()
    drops: DropSettings = DropSettings()
    packing: PackingSettings = PackingSettings()
    timestep_shift: float = 1.0
    autocast: Precision = "bf16"
    saved_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    layer_checkpointing: bool = True
    seed: int = 0


PAPER = SftProfile(
    name="paper",
    optimiser=OptimiserSettings(learning_rate=2e-5),
    mse_weight=0.5,
    distillation=DistillationSettings("per_layer_kl", weight=0.1),
)
"""The numbers of the paper; the code's where it has none."""

REPO = SftProfile(
    name="repo",
    optimiser=OptimiserSettings(learning_rate=1e-5, warmup_steps=500, steps=8_000, weight_decay=0.01),
    distillation=DistillationSettings("per_layer_kl", weight=0.4),
)
"""The numbers of the published code."""

SFT_PROFILES: Mapping[str, SftProfile] = {"paper": PAPER, "repo": REPO}
