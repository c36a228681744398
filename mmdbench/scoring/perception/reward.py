"""r_deg: the reward of a description of a picture's degradations, after Robust-R1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["degradation_reward"]


def degradation_reward(
    truth: Mapping[str, float],
    claimed: Sequence[tuple[str, float | None]],
    *,
    missed: float = 1.0,
    extra: float = 1.0,
) -> float:
    """The degradation reward of a claim: 1 − |claimed − true intensity| for each type that is right.

    A type that is named again counts as another one; a right type without an intensity is worth 0.
    It is the reward of Robust-R1 (arXiv 2512.17532) as far as its description goes, whose two
    penalties are parameters here.

    Args:
        truth: Intensities (0..1) by type; empty for an untouched picture.
        claimed: (type, intensity) pairs in the order of the claim; an intensity may be None.
        missed: Penalty for each true type that is not named.
        extra: Penalty for each claim of another type.

    Returns:
        The reward: at most the number of true types, without a lower bound.

    >>> degradation_reward({"lens_blur": 0.9}, [("lens_blur", 0.7)])
    0.8
    >>> degradation_reward({"lens_blur": 0.9}, [("motion_blur", 0.9)])
    -2.0
    """
    matched: dict[str, float] = {}
    others = 0
    for name, intensity in claimed:
        if name not in truth or name in matched:
            others += 1
        else:
            matched[name] = 0.0 if intensity is None else 1 - min(1.0, abs(intensity - truth[name]))
    reward = sum(matched.values()) - missed * (len(truth) - len(matched)) - extra * others
    return round(reward, 12)
