"""Draws of one corruption at one level for each picture, as training data are made.

`uniform`    every corruption and every level is equally likely (CLEAR, appendix C and table 8).
`published`  the weights of CLEAR's published code: 100 of 400 for each category, unequal within it,
             and levels with the probabilities 0.2, 0.3 and 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmdbench.records import LEVELS
from mmdbench.system.digest import derive_seed

__all__ = ["DRAWS", "Draw", "pick"]

_PUBLISHED = {
    "lens_blur": 30, "lens_flare": 15, "motion_blur": 30, "dirty_lens": 15, "hsv_saturation": 10,
    "jpeg_compression": 15, "block_exchange": 40, "mean_shift": 15, "scan_lines": 30,
    "dark_illumination": 40, "atmospheric_turbulence": 30, "gaussian_noise": 15, "color_diffusion": 15,
    "sharpness_change": 10, "graffiti": 45, "watermark_damage": 45,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draw:
    """Weights of a draw, those of corruptions, where unequal, and those of the levels; and its meaning."""

    meaning: str
    corruptions: Mapping[str, float]
    levels: Mapping[str, float]

    def corruption_weights(self, names: Sequence[str]) -> dict[str, float]:
        """The weight of each of these corruptions."""
        return {name: self.corruptions.get(name, 1.0) for name in names}

    def level_weights(self, names: Sequence[str]) -> dict[str, float]:
        """The weight of each of these levels."""
        return {name: self.levels[name] for name in names}


DRAWS: Mapping[str, Draw] = {
    "uniform": Draw(
        "as drawn; every corruption and every level is equally likely", {}, dict.fromkeys(LEVELS, 1.0)
    ),
    "published": Draw(
        "as drawn, with the weights of CLEAR's code: categories alike, corruptions not, hard most often",
        _PUBLISHED,
        dict(zip(LEVELS, (0.2, 0.3, 0.5), strict=True)),
    ),
}
"""The draws by name; the design of a run that uses one is `drawn:<name>`."""


def pick(weights: Mapping[str, float], *key: object) -> str:
    """One name, drawn with its weight; the draw follows from the key alone, whose parts are JSON-able."""
    point = derive_seed(*key) / 2**32 * sum(weights.values())
    for name, weight in weights.items():
        point -= weight
        if point < 0:
            return name
    return name
