"""A benchmark's pictures under one other question: how were they degraded?"""

from __future__ import annotations

from dataclasses import replace

from mmdbench.benches import Bench
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UsageError
from mmdbench.records import Index, Question
from mmdbench.scoring.perception.wording import perception_prompt
from mmdbench.variants.design import unit_of

__all__ = ["FAMILY", "perception_bench"]

FAMILY = "perceive"
"""The family of a benchmark that is asked about its pictures' degradation."""


def perception_bench(bench: Bench, spec: Spec) -> Bench:
    """The benchmark with one question for each of its units: which corruption, and how strong?

    A unit keeps its index and its category, so that it meets the corruptions which the benchmark's
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
        raise UsageError(f"{bench.name} has no picture to be asked about.")
    return replace(bench, family=FAMILY, questions=tuple(questions.values()))
