"""How a file that is not in the catalogue is prompted and graded, guessed from its name and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdbench.benches.catalog import BenchInfo, find_bench, get_bench_names

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mmdbench.records import Index

__all__ = ["GRADERS", "PROMPTS", "clean_bench", "infer_family"]

_CHOICES = "hint, question and options, a line each, and a request to choose"

PROMPTS = {
    "plain": _CHOICES,
    "circular": _CHOICES,
    "mmvp": _CHOICES,
    "cvbench": "the column 'prompt' as it stands",
    "mmvet": "the question as it stands",
}
"""What a model is asked in each family, after the pictures; see `build_prompt`."""

GRADERS = {
    "plain": "the option that a reply names; per cent of the questions",
    "circular": "the option that a reply names; a question counts if all of its rotations are right",
    "mmvp": "the option that a reply names; per cent of the questions (clear) or of the pairs (vlmevalkit)",
    "cvbench": "the option that a reply names; per cent of all questions (clear) or the mean over their "
    "sources (vlmevalkit)",
    "mmvet": "a judge compares with the answer, 0 to 1 for each reply; without a judge it is not scored",
}
"""How each family is graded, in words; the rules are in `mmdbench.scoring`."""

CIRCLE = 1_000_000
"""In circular benchmarks, a rotation's index is its question's index plus a multiple of this."""


def clean_bench(stem: str) -> BenchInfo | None:
    """The benchmark of the catalogue that a file name is, or is a degraded copy of; None if neither.

    >>> clean_bench("MMVP_LOW_LEVEL_HIGH").name
    'MMVP'
    """
    for name in sorted(get_bench_names(), key=len, reverse=True):
        if stem.lower() == name.lower() or stem.lower().startswith(name.lower() + "_"):
            return find_bench(name)
    return None


def infer_family(columns: Collection[str], indices: Sequence[Index]) -> tuple[str, str]:
    """The family that columns and indices look like, and the reason in words to print.

    A guess at circular needs rotations, or a column `g_index`; mmvp is never guessed, for its
    pairs differ from plain questions only in what is reported.
    """
    if "g_index" in columns:
        return "circular", "it has a column 'g_index'"
    known = set(indices)
    rotated = [i for i in indices if isinstance(i, int) and i >= CIRCLE and i % CIRCLE in known]
    if rotated:
        return "circular", f"index {rotated[0]} is a rotation of index {rotated[0] % CIRCLE}"
    options = [c for c in columns if len(c) == 1 and "A" <= c <= "Z"]
    if "prompt" in columns and "source" in columns:
        return "cvbench", "it has the columns 'prompt' and 'source'"
    if not options and "answer" in columns and "category" in columns:
        return "mmvet", "it has answers and categories but no options"
    if options:
        return "plain", f"it has the options {options[0]} to {options[-1]}"
    return "plain", "nothing points to another family"
