"""Draws and filters of CLEAR's published recipe: which rows are used, and for which training."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mmdbench.records import Index
from mmdbench.system.bounds import require_between
from mmdbench.system.digest import derive_seed

__all__ = ["RowDraw", "has_cjk", "unfit_size"]

_CJK = re.compile(
    "[\u1100-\u11ff\u2e80-\u30ff\u3100-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_LEAST_SIDE = 64
_MOST_ASPECT = 5


@dataclass(frozen=True, slots=True)
class RowDraw:
    """Probabilities by which a row is drawn for supervised training, or else for reinforcement learning."""

    p_sft: float = 0.05
    p_rl: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        require_between("--p-sft", self.p_sft, 0, 1)
        require_between("--p-rl", self.p_rl, 0, 1 - self.p_sft)

    def split_of(self, source: str, index: Index) -> str:
        """`sft`, `rl`, or empty for a row that is not drawn; it follows from the row and the seed alone."""
        lot = derive_seed("split", source, index, self.seed) / 2**32
        return "sft" if lot < self.p_sft else "rl" if lot < self.p_sft + self.p_rl else ""


def has_cjk(texts: Iterable[str]) -> bool:
    """True if one of the texts has a Chinese, Japanese or Korean character."""
    return any(_CJK.search(text) for text in texts)


def unfit_size(size: tuple[int, int]) -> str:
    """The reason to leave out a picture of a width and height in px, empty if there is none.

    >>> unfit_size((64, 320)), unfit_size((64, 321))
    ('', 'picture too narrow')
    """
    short, long = sorted(size)
    if short < _LEAST_SIDE:
        return "picture too small"
    return "picture too narrow" if long > _MOST_ASPECT * short else ""
