"""Sizes of the model, and settings of the dialogue and of a restoration.

Frozen values only; nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "FAST",
    "FEEDBACKS",
    "LATENT_SOURCES",
    "MODES",
    "PLAIN",
    "PRESETS",
    "RENORMS",
    "Architecture",
    "DenoisingSettings",
    "DialogueSettings",
    "LanguageSizes",
    "Sizes",
    "Speed",
    "Transform",
    "VaeSizes",
    "VisionSizes",
]

Mode = Literal["text", "think", "interleave"]
Feedback = Literal["bridge", "reencode", "both", "none"]
LatentSource = Literal["generated", "degraded"]
Renorm = Literal["global", "channel", "text_channel"]

MODES = ("text", "think", "interleave")
FEEDBACKS = ("bridge", "reencode", "both", "none")
LATENT_SOURCES = ("generated", "degraded")
RENORMS = ("global", "channel", "text_channel")


@dataclass(frozen=True, slots=True)
class Transform:
    """The rule for resizing a picture: limits in pixels; both sides become multiples of `stride`."""

    max_side: int
    min_side: int
    stride: int
    max_pixels: int = 14 * 14 * 9 * 1024


@dataclass(frozen=True, slots=True)
class VaeSizes:
    """The picture autoencoder; the defaults are FLUX's (84 M parameters)."""

    channels: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    latent_channels: int = 16
    scale: float = 0.3611
    shift: float = 0.1159

    @property
    def downsample(self) -> int:
        """Pixels per latent cell, on each side."""
        return int(2 ** (len(self.multipliers) - 1))


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes and special tokens of the model that its two JSON files leave out."""

    vae_transform: Transform = Transform(1024, 512, 16)
    vit_transform: Transform = Transform(518, 224, 14)
    vit_side: int = 70
    latent_side: int = 64
    latent_patch: int = 2
    vae: VaeSizes = field(default_factory=VaeSizes)
    logits_limit: int = 151665
    bos: str = "<|im_start|>"
    eos: str = "<|im_end|>"
    image_start: str = "<|vision_start|>"
    image_end: str = "<|vision_end|>"

    @property
    def token_values(self) -> int:
        """Numbers per latent token."""
        return self.latent_patch**2 * self.vae.latent_channels

    @property
    def token_pixels(self) -> int:
        """Pixels per latent token, on each side."""
        return self.latent_patch * self.vae.downsample

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Sizes:
        """Sizes from a JSON object with the published code's keys; missing keys keep their default."""
        vae, names, own = record.get("vae", {}), record.get("special_tokens", {}), cls()
        return cls(
            vae_transform=_transform(record.get("vae_transform"), own.vae_transform),
            vit_transform=_transform(record.get("vit_transform"), own.vit_transform),
            vit_side=record.get("vit_max_num_patch_per_side", own.vit_side),
            latent_side=record.get("max_latent_size", own.latent_side),
            latent_patch=record.get("latent_patch_size", own.latent_patch),
            vae=VaeSizes(
                channels=vae.get("ch", own.vae.channels),
                multipliers=tuple(vae.get("ch_mult", own.vae.multipliers)),
                blocks=vae.get("num_res_blocks", own.vae.blocks),
                latent_channels=vae.get("z_channels", own.vae.latent_channels),
                scale=vae.get("scale_factor", own.vae.scale),
                shift=vae.get("shift_factor", own.vae.shift),
            ),
            logits_limit=record.get("logits_limit", own.logits_limit),
            **{name: names[name] for name in ("bos", "eos", "image_start", "image_end") if name in names},
        )


def _transform(record: Mapping[str, Any] | None, default: Transform) -> Transform:
    if record is None:
        return default
    pixels = record.get("max_pixels", default.max_pixels)
    return Transform(record["max_size"], record["min_size"], record["stride"], pixels)


@dataclass(frozen=True, slots=True)
class LanguageSizes:
    """Sizes of the decoder: `width` numbers per row, `head_width` per head; from llm_config.json."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    mlp_width: int
    vocabulary: int
    rope_theta: float
    eps: float


@dataclass(frozen=True, slots=True)
class VisionSizes:
    """Sizes of the vision transformer without its unused last layer; from vit_config.json."""

    width: int
    layers: int
    heads: int
    mlp_width: int
    patch: int
    channels: int
    eps: float


@dataclass(frozen=True, slots=True)
class Architecture:
    """All sizes of one model."""

    language: LanguageSizes
    vision: VisionSizes
    sizes: Sizes


@dataclass(frozen=True, slots=True)
class DenoisingSettings:
    """Settings of a restoration.

    `steps` schedule points make `steps − 1` evaluations; guidance applies where
    `interval[0] < t <= interval[1]`, and not at all at a text guidance of 1 or less.
    """

    steps: int = 30
    shift: float = 3.0
    interval: tuple[float, float] = (0.4, 1.0)
    text_guidance: float = 4.0
    image_guidance: float = 2.0
    renorm: Renorm = "global"
    renorm_min: float = 0.0


PRESETS: Mapping[str, DenoisingSettings] = {
    "paper": DenoisingSettings(),
    "repo-eval": DenoisingSettings(steps=50, text_guidance=3.0, image_guidance=1.5, renorm="text_channel"),
}
"""`paper`: the paper's 30 steps with the guidance of the repository's loop; `repo-eval`: what its
evaluation passes."""


@dataclass(frozen=True, slots=True)
class DialogueSettings:
    """Settings of a dialogue.

    `max_turns` is the most texts, one more than the most restorations; `max_new_tokens` counts
    steps, of which the last one's token is dropped; temperature 0 is greedy. With `consider_think`
    off, the context without the request for a restoration still includes the thought.
    """

    mode: Mode = "interleave"
    feedback: Feedback = "bridge"
    latent_source: LatentSource = "generated"
    denoising: DenoisingSettings = DenoisingSettings()
    max_turns: int = 3
    max_new_tokens: int = 8192
    temperature: float = 0.0
    top_p: float = 1.0
    consider_think: bool = True


@dataclass(frozen=True, slots=True)
class Speed:
    """Shortcuts for speed; none of them changes a text or a picture beyond rounding.

    `compiler` is the backend of torch.compile for decoding and restorations, or a function in its
    place, empty for none; with `inductor` the steps run as CUDA graphs on a GPU. It includes
    `batch_guidance`.
    """

    batch_guidance: bool = True
    reuse_decoded: bool = True
    share_prefix: bool = True
    skip_pictures: bool = True
    compiler: str | Callable[..., Any] = ""


FAST = Speed()
"""All shortcuts."""

PLAIN = Speed(batch_guidance=False, reuse_decoded=False, share_prefix=False, skip_pictures=False)
"""No shortcuts: every step as specified, one after the other; the reference for the fast path."""
