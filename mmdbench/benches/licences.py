"""Licences of benchmarks: what their names forbid."""

from __future__ import annotations

import re

__all__ = ["CHANGED_COPIES", "forbidden_by", "hub_licence"]

CHANGED_COPIES = "sharing changed copies"
"""The use that a licence without derivatives forbids, such as CC BY-ND."""

_RULES = (
    (
        re.compile(r"(?<![a-z])(?:by(?:-nc)?-nd|nd|no[- ]?derivatives?)(?![a-z])", re.IGNORECASE),
        CHANGED_COPIES,
    ),
    (re.compile(r"(?<![a-z])(?:by-)?nc(?![a-z])|non-?commercial", re.IGNORECASE), "commercial use"),
)
_ON_HUB = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def forbidden_by(licence: str) -> tuple[str, ...]:
    """The uses that a licence forbids by its name; none does not mean that all is allowed.

    >>> forbidden_by("CC BY-NC-ND 4.0"), forbidden_by("cc-by-4.0")
    (('sharing changed copies', 'commercial use'), ())
    """
    return tuple(what for pattern, what in _RULES if pattern.search(licence))


def hub_licence(licence: str) -> str:
    """The licence as the card of a dataset names it; `other` if it has no short name there.

    >>> hub_licence("cc-by-4.0"), hub_licence("see source"), hub_licence("unknown")
    ('cc-by-4.0', 'other', 'unknown')
    """
    return licence if _ON_HUB.fullmatch(licence) else "other"
