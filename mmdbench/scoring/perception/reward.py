"""r_deg: Robust-R1's reward of a description of a picture's degradations (arXiv 2512.17532)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mmdbench.errors import UnknownNameError
from mmdbench.records import RewardProfile

__all__ = ["Degradations", "degradation_reward"]

Degradations = Mapping[str, float] | Sequence[tuple[str, float]]
"""Strengths (0..1) by type, or (type, strength) pairs, which may name a type twice."""


def degradation_reward(
    truth: Degradations,
    claimed: Sequence[tuple[str, float | None]],
    profile: RewardProfile = "paper",
) -> float:
    """The degradation reward of a claim.

    `paper` (equation 6, taken literally): over all pairs of a claim and a true degradation, the sum of
    1 - |claimed - true strength| where the types are the same, and of -1 where they are not. `code`: for
    each claim 1.5 - |claimed - true strength| if its type is true, else -1; and -1 for each true type that
    is not claimed. In both a type that is claimed twice counts twice, and names are compared as they are.

    Args:
        truth: The degradations of the picture; for `code` the last strength of a repeated type counts.
        claimed: (type, strength) pairs in the order of the claim. A strength that is None, which neither
            source has, is at the largest distance, 1.
        profile: `paper` or `code`.

    Returns:
        The reward, without bounds.

    Raises:
        UnknownNameError: There is no such profile.

    >>> degradation_reward({"lens_blur": 0.9}, [("lens_blur", 0.45)])
    0.55
    >>> degradation_reward({"lens_blur": 0.9}, [("lens_blur", 0.45)], "code")
    1.05
    """
    pairs = list(truth.items() if isinstance(truth, Mapping) else truth)
    if profile == "paper":
        terms = [
            1 - _distance(strength, true) if name == other else -1.0
            for name, strength in claimed
            for other, true in pairs
        ]
    elif profile == "code":
        known = dict(pairs)
        terms = [1.5 - _distance(s, known[name]) if name in known else -1.0 for name, s in claimed]
        terms += [-1.0] * len(known.keys() - {name for name, _ in claimed})
    else:
        raise UnknownNameError("profile of rewards", profile, ("paper", "code"))
    return round(math.fsum(terms), 12)


def _distance(claimed: float | None, true: float) -> float:
    return 1.0 if claimed is None else abs(claimed - true)
