"""R-Bench's open tasks: short answers and captions, which a judge grades 0..1 in our own words.

The judge and the prompts of the published numbers are not known to us, so these prompts have ids of
their own, and their numbers are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from mmdbench.records import Index
from mmdbench.scoring.families.mmvet import grade_by_judge
from mmdbench.scoring.families.prompts import column_prompt
from mmdbench.scoring.family import Family, Grading, Metric
from mmdbench.scoring.judging.prompts import Head
from mmdbench.scoring.sheet import Sheet, Totals
from mmdbench.scoring.tables import mean, percent

__all__ = ["CAP_HEAD", "RBENCH_CAP", "RBENCH_VQA", "VQA_HEAD"]

_SCORE = Metric("judged score", "judged score")

_SCALE = (
    "The grade is one of 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0; reply with the grade of the "
    "last row and nothing else.\n\n"
)

VQA_HEAD = Head(
    "mmdbench-rbench-vqa/1",
    "You grade how far a short answer about a distorted picture means what the right one does.\n"
    f"{_SCALE}"
    "Question | Right | Answer | Grade\n--- | --- | --- | ---\n"
    "What stands on the table? | a blue vase | vase, blue | 1.0\n"
    "What stands on the table? | a blue vase | a vase | 0.6\n"
    "What stands on the table? | a blue vase | a lamp | 0.0\n",
    comparable=False,
)
"""The words in which a judge is asked about short answers."""

CAP_HEAD = Head(
    "mmdbench-rbench-cap/1",
    "You grade how well a caption of a distorted picture says what the reference says: its objects, their "
    "looks and what they do. What is wrong lowers the grade, what is missing too; wording does not.\n"
    f"{_SCALE}"
    "Request | Reference | Caption | Grade\n--- | --- | --- | ---\n"
    "Describe the picture. | Two children play football in a park. | Kids with a ball on grass | 0.8\n"
    "Describe the picture. | Two children play football in a park. | A park | 0.3\n"
    "Describe the picture. | Two children play football in a park. | A train at a station | 0.0\n",
    comparable=False,
)
"""The words in which a judge is asked about captions."""


def _total(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
    """100 × the mean grade."""
    score = percent(mean(hits[row.index] for row in sheet.rows))
    table = {"all": {"n": len(sheet.rows), "accuracy": score}}
    return Totals(score, _SCORE.key, {_SCORE.key: score}, [], table)


def _family(name: str, head: Head) -> Family:
    grading = Grading(partial(grade_by_judge, head=head), _total, judged=True)
    return Family(name, prompt=column_prompt("question"), metrics=(_SCORE,), grading=grading)


RBENCH_VQA = _family("rbench-vqa", VQA_HEAD)
"""Short answers."""

RBENCH_CAP = _family("rbench-cap", CAP_HEAD)
"""Captions."""
