"""What a model is asked of a benchmark's pictures other than the benchmark's own questions.

A plan's `task` is `answer`, or one of these: a task turns a benchmark into one with other
questions, and grades the replies. Planning, keys, running and storing do not know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mmdbench.benches import Bench
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UnknownNameError
from mmdbench.records import ANSWER, BenchData, Cell, Index, Reply, RunPlan
from mmdbench.scoring import Score, perception

__all__ = ["TASKS", "Task", "find_task"]


@dataclass(frozen=True, slots=True)
class Task:
    """One task: the rules it is graded by, what plans it takes, its questions and its grades."""

    name: str
    protocol: str
    check: Callable[[RunPlan], None]
    ask: Callable[[Bench, Spec], Bench]
    score: Callable[[BenchData, Mapping[Index, Reply], Sequence[Cell]], Score]


TASKS = {
    perception.TASK: Task(
        perception.TASK,
        perception.PROTOCOL,
        perception.check_perception,
        perception.perception_bench,
        perception.score_perception,
    )
}
"""Every task but `answer`, by name."""


def find_task(name: str) -> Task | None:
    """The task of that name; None for `answer`. Raises UnknownNameError."""
    if name == ANSWER:
        return None
    if name not in TASKS:
        raise UnknownNameError("task", name, (ANSWER, *TASKS))
    return TASKS[name]
