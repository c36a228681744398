"""The benchmark families by name, a file each; new ones need an import and an entry here."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mmdbench.errors import UnknownNameError
from mmdbench.records import Index, Question
from mmdbench.scoring.families.circular import CIRCULAR
from mmdbench.scoring.families.cvbench import CVBENCH
from mmdbench.scoring.families.mmvet import MMVET
from mmdbench.scoring.families.mmvp import MMVP
from mmdbench.scoring.families.perceive import PERCEIVE
from mmdbench.scoring.families.plain import PLAIN
from mmdbench.scoring.families.rbench import RBENCH_CAP, RBENCH_MCQ, RBENCH_VQA
from mmdbench.scoring.family import Family

__all__ = ["FAMILIES", "get_family", "infer_family", "selectable_families", "stored_family", "unit_of"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        PLAIN,
        CIRCULAR,
        MMVP,
        CVBENCH,
        MMVET,
        RBENCH_MCQ,
        RBENCH_VQA,
        RBENCH_CAP,
        PERCEIVE,
    )
}
"""Every family by the name that catalogues and stored runs use."""


def get_family(name: str) -> Family:
    """The family of that name. Raises UnknownNameError, with the nearest names."""
    if name not in FAMILIES:
        raise UnknownNameError("benchmark family", name, FAMILIES)
    return FAMILIES[name]


def selectable_families() -> tuple[str, ...]:
    """The names of the families that a catalogue or a user can give a file."""
    return tuple(name for name, family in FAMILIES.items() if family.selectable)


def stored_family(bench: str, name: str) -> str:
    """The family of a stored benchmark: in old runs R-Bench's multiple choice was plain."""
    return RBENCH_MCQ.name if (bench, name) == ("R-Bench-MCQ", PLAIN.name) else name


def unit_of(question: Question, family: str) -> Index:
    """The index of what counts as one question; see `Family.unit`."""
    return get_family(family).unit(question)


def infer_family(columns: Collection[str], indices: Sequence[Index]) -> tuple[str, str]:
    """The family that columns and indices look like, and the reason in words to print."""
    for family in FAMILIES.values():
        # Files of most families also look like plain multiple choice, so that is the last resort.
        if family is not PLAIN and (reason := family.recognise(columns, indices)):
            return family.name, reason
    return PLAIN.name, PLAIN.recognise(columns, indices) or "nothing points to another family"
