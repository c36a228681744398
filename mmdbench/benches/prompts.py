"""The text that goes with the images: the same for every protocol."""

from __future__ import annotations

from mmdbench.records import Question
from mmdbench.scoring.families import get_family

__all__ = ["build_prompt"]


def build_prompt(question: Question, family: str) -> str:
    """The text part of a model's prompt, as the benchmark's family makes it; the images come before it.

    Nothing is stripped. Raises UnknownNameError for another family, DataError if a column that the
    family asks word for word is empty.
    """
    return get_family(family).prompt(question)
