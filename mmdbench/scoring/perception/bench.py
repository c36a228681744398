"""A benchmark's pictures under one other question: their degradation."""

from __future__ import annotations

from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UsageError
from mmdbench.records import BenchData, Index, Question
from mmdbench.scoring.families import unit_of
from mmdbench.scoring.perception.wording import perception_prompt

__all__ = ["perception_questions"]


def perception_questions(bench: BenchData, spec: Spec) -> tuple[Question, ...]:
    """The perception question, once for each unit of a benchmark.

    A unit keeps its index and its category, so that it meets the corruptions that the benchmark's
    own question meets under the same plan; the rotations of a circular group are one question.
    """
    prompt = perception_prompt(spec)
    questions: dict[Index, Question] = {}
    for row in bench.questions:
        unit = unit_of(row, bench.family)
        if row.images and (unit not in questions or row.index == unit):
            fields = {"question": prompt, "category": row.category}
            questions[unit] = Question(bench.name, unit, {k: v for k, v in fields.items() if v}, row.images)
    if not questions:
        raise UsageError(f"{bench.name} has no picture that could be asked about.")
    return tuple(questions.values())
