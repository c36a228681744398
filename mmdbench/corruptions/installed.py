"""The corruptions and sets of corruptions that installed packages register, which are not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata

from mmdbench.records import PAPER_SET

__all__ = ["ENTRY_POINTS", "SET_ENTRY_POINTS", "installed_corruptions", "places_of_sets", "set_names"]

ENTRY_POINTS = "mmdbench.corruptions"
SET_ENTRY_POINTS = "mmdbench.corruptions.sets"

_SHIPPED_SETS = {"everyday": "mmdbench.corruptions.everyday"}


def installed_corruptions() -> Mapping[str, metadata.EntryPoint]:
    """The entry points of the corruptions of installed packages, by their names in order."""
    found = {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
    return dict(sorted(found.items()))


def places_of_sets() -> Mapping[str, str]:
    """The module of each set beside the paper's, by name: those of mmdbench, then those of packages."""
    found = {point.name: point.value for point in metadata.entry_points(group=SET_ENTRY_POINTS)}
    return {**_SHIPPED_SETS, **dict(sorted(found.items())), **_SHIPPED_SETS}


def set_names() -> tuple[str, ...]:
    """The names of all sets, the paper's first."""
    return (PAPER_SET, *places_of_sets())
