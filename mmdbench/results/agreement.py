"""Arms of R-Bench's relative robustness: answers about distorted pictures, judged by the model's own.

The right answer of a question is there the one that the model gave about the undistorted picture. R-Bench's
relative score of a row is the score of that answer times this agreement, so rows whose answer about the
undistorted picture scored 0 are in no arm: their relative score is 0.
Source: R-Bench, arXiv 2410.05474, and its repository.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from msgspec import structs

from mmdbench.benches.catalog import is_degraded, undistorted_of
from mmdbench.records import UNALTERED, Grade, Index, Question
from mmdbench.results.arms import Arm
from mmdbench.results.graded_arms import GradedArm
from mmdbench.run.stored_plan import StoredBench
from mmdbench.scoring import extract_answer
from mmdbench.scoring.families.rbench import RBENCH_CAP
from mmdbench.scoring.families.rbench_votes import VOTES

__all__ = ["AGREEMENT", "agreement_arms", "is_agreement"]

AGREEMENT = "-Agreement"
"""The end of the name of such an arm's benchmark."""


def is_agreement(bench: str) -> bool:
    """True for the name of such an arm's benchmark."""
    return bench.endswith(AGREEMENT) and is_degraded(bench)


def agreement_arms(graded: Iterable[GradedArm], extraction: str) -> list[Arm]:
    """An arm for each task of R-Bench that was asked about distorted and about undistorted pictures.

    Args:
        graded: The graded arms of a run; those about undistorted pictures give the answers.
        extraction: The way to extract an answer from a reply.

    Returns:
        The arms, without those that would hold no question.
    """
    arms = {arm.bench: arm for arm in graded if arm.level == UNALTERED}
    pairs = [(arms.get(undistorted_of(name)), reference) for name, reference in arms.items()]
    made = [_arm(distorted.arm, reference, extraction) for distorted, reference in pairs if distorted]
    return [arm for arm in made if arm.bench.questions]


def _arm(distorted: Arm, reference: GradedArm, extraction: str) -> Arm:
    if reference.score.headline is None:
        return replace(distorted, bench=replace(distorted.bench, questions=()))
    name = f"{distorted.bench.name}{AGREEMENT}"
    answers: dict[Index, str] = {}
    for grade in reference.score.grades:
        reply = reference.arm.replies.get(grade.index)
        if grade.hit and reply is not None:
            text = extract_answer(reply.text, mode=extraction)
            answers[grade.index] = _answer(grade, text, distorted.bench.family)
    questions = tuple(
        Question(name, q.index, {**q.fields, "answer": answers[q.index]})
        for q in distorted.bench.questions
        if q.index in answers
    )
    kept = {q.index for q in questions}
    return Arm(
        StoredBench(name, distorted.bench.family, questions),
        distorted.level,
        None,
        {i: structs.replace(cell, bench=name) for i, cell in distorted.cells.items() if i in kept},
        {i: reply for i, reply in distorted.replies.items() if i in kept},
    )


def _answer(grade: Grade, text: str, family: str) -> str:
    """The answer as the task's grader takes it: an option's label, a text, or a list of captions."""
    if family == RBENCH_CAP.name:
        return repr([text] * VOTES)  # a call for each: five, as R-Bench makes
    return grade.label or text
