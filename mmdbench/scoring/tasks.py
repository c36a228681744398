"""Tasks: questions about a benchmark's pictures other than the benchmark's own.

A plan's `task` is `answer`, or one of these: a task turns a benchmark into one with other
questions, and grades the replies. Planning, keys, running and storing do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UnknownNameError
from mmdbench.records import ANSWER, BenchData, Cell, Index, Question, Reply, RunPlan
from mmdbench.scoring import Score, perception

B = TypeVar("B", bound=BenchData)

__all__ = ["TASKS", "Task", "find_task"]


@dataclass(frozen=True, slots=True)
class Task:
    """One task: the rules it is graded by, the plans it accepts, its questions and its grades.

    Its name is also that of the family of the benchmarks that it asks.
    """

    name: str
    meaning: str
    protocol: str
    check: Callable[[RunPlan], None]
    questions: Callable[[BenchData, Spec, RunPlan], tuple[Question, ...]]
    score: Callable[[BenchData, Mapping[Index, Reply], Sequence[Cell], Spec | None], Score]

    def ask(self, bench: B, spec: Spec, plan: RunPlan) -> B:
        """Replace a benchmark's questions by the task's.

        Args:
            bench: The benchmark.
            spec: Names the corruptions.
            plan: The run.

        Returns:
            The benchmark with the task's questions and family.
        """
        questions = self.questions(bench, spec, plan)
        made: B = replace(bench, family=self.name, questions=questions)  # type: ignore[type-var]
        return made


TASKS = {
    perception.TASK: Task(
        perception.TASK,
        "the corruption and its strength are named, from the picture alone",
        perception.PROTOCOL,
        perception.check_perception,
        perception.perception_questions,
        perception.score_perception,
    )
}
"""Every task but `answer`, by name."""


def find_task(name: str) -> Task | None:
    """The task of that name; None for `answer`. Raises UnknownNameError for any other."""
    if name == ANSWER:
        return None
    if name not in TASKS:
        raise UnknownNameError("task", name, (ANSWER, *TASKS))
    return TASKS[name]
