"""The corruptions that installed packages register, which are not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata

__all__ = ["ENTRY_POINTS", "installed_corruptions"]

ENTRY_POINTS = "mmdbench.corruptions"


def installed_corruptions() -> Mapping[str, metadata.EntryPoint]:
    """The entry points of the corruptions of installed packages, by their names in order."""
    found = {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
    return dict(sorted(found.items()))
