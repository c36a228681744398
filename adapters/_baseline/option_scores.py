"""Picks the option with the best score."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Options", "best"]

Options = Mapping[str, str]


def best(scores: Mapping[str, float | None], least: float, lead: float) -> str | None:
    """The label with the highest score, if it is at least `least`, and at least `lead` above the next."""
    ranked = sorted(((s, label) for label, s in scores.items() if s is not None), key=lambda p: (-p[0], p[1]))
    if not ranked or ranked[0][0] < least:
        return None
    return None if len(ranked) > 1 and ranked[0][0] - ranked[1][0] < lead else ranked[0][1]
