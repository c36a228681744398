"""R-Bench's three tasks: multiple choice, short answers and captions.

Under `rbench/official` a judge votes on every answer (see `rbench_votes`). Under any other protocol, and so
under `rbench/ours`, choices are graded by rules as plain multiple choice, and a judge grades short answers
and captions from 0 to 1, captions by each of their references. All prompts are in our own words, under ids
of their own, and numbers made with them are not comparable with published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from msgspec import structs

from mmdbench.records import Index
from mmdbench.scoring.families.mmvet import Rule, grade_by_judge
from mmdbench.scoring.families.plain import ACCURACY, grade_plain, total_plain
from mmdbench.scoring.families.prompts import CHOICES_SUMMARY, choices_prompt, column_prompt
from mmdbench.scoring.families.rbench_votes import (
    ask_choice,
    ask_short_answer,
    references,
    vote_on_caption,
    vote_on_choice,
    vote_on_short_answer,
)
from mmdbench.scoring.family import Family, Grading, Metric
from mmdbench.scoring.judging.prompts import Head
from mmdbench.scoring.judging.session import JudgeSession, Ruling
from mmdbench.scoring.protocols import RBENCH_OFFICIAL
from mmdbench.scoring.sheet import Sheet, SheetRow, Totals
from mmdbench.scoring.tables import mean, percent

__all__ = ["CAP_HEAD", "RBENCH_CAP", "RBENCH_MCQ", "RBENCH_VQA", "VQA_HEAD"]

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


def _grade_short_answer(session: JudgeSession, row: SheetRow) -> Ruling[float]:
    return session.correctness(row, VQA_HEAD)


def _grade_caption(session: JudgeSession, row: SheetRow) -> Ruling[float]:
    """The mean grade over the row's references, each asked about once."""
    captions = dict.fromkeys(references(row.answer))
    rulings = [session.correctness(structs.replace(row, answer=caption), CAP_HEAD) for caption in captions]
    replies = tuple(reply for ruling in rulings for reply in ruling.attempts)
    values = [ruling.value for ruling in rulings if ruling.value is not None]
    unsettled = next((ruling.stage for ruling in rulings if ruling.value is None), None)
    return Ruling(None, unsettled, replies) if unsettled else Ruling(mean(values), "judge", replies)


def _total(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
    """100 × the mean grade."""
    score = percent(mean(hits[row.index] for row in sheet.rows))
    table = {"all": {"n": len(sheet.rows), "accuracy": score}}
    return Totals(score, _SCORE.key, {_SCORE.key: score}, [], table)


def _judged(rule: Rule) -> Grading:
    return Grading(partial(grade_by_judge, rule=rule), _total, judged=True)


def _with_votes(family: Family, official: Family) -> Family:
    return replace(family, by_protocol={RBENCH_OFFICIAL: official})


_MCQ = Family(
    "rbench-mcq",
    prompt=choices_prompt,
    metrics=(ACCURACY,),
    grading=Grading(grade_plain, total_plain),
    prompt_summary=CHOICES_SUMMARY,
    grading_summary="the option that a reply names; per cent of the questions",
)
_VQA = Family(
    "rbench-vqa",
    prompt=column_prompt("question"),
    metrics=(_SCORE,),
    grading=_judged(_grade_short_answer),
)
_CAP = Family(
    "rbench-cap",
    prompt=column_prompt("question"),
    metrics=(_SCORE,),
    grading=_judged(_grade_caption),
)

RBENCH_MCQ = _with_votes(
    _MCQ,
    replace(
        _MCQ,
        prompt=ask_choice,
        grading=Grading(partial(grade_by_judge, rule=vote_on_choice), total_plain, judged=True),
    ),
)
"""Multiple choice."""

RBENCH_VQA = _with_votes(_VQA, replace(_VQA, prompt=ask_short_answer, grading=_judged(vote_on_short_answer)))
"""Short answers."""

RBENCH_CAP = _with_votes(_CAP, replace(_CAP, grading=_judged(vote_on_caption)))
"""Captions."""
