"""Grading: of the arms of a run, and of replies from elsewhere, with or without a judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmdbench.records import BenchData, Cell, Grade, Index
from mmdbench.results.arms import Arm
from mmdbench.results.judging.ask import grade_with_judge
from mmdbench.results.judging.journal import JudgeJournal
from mmdbench.run.reply_records import any_no_op
from mmdbench.scoring import Judge, JudgeHeads, Rules, Score, load_heads, score
from mmdbench.scoring.tasks import TASKS

__all__ = ["GradedArm", "Judging", "grade_arm", "grade_replies", "grades_by_cell"]


@dataclass(frozen=True)
class Judging:
    """A judge, with the heads of its prompts (None: those that are installed), and how it is asked.

    `journal` keeps its calls; `workers` calls are made at once. `on_progress` gets the number of calls
    that were answered, and of how many.
    """

    judge: Judge
    heads: JudgeHeads | None = None
    journal: JudgeJournal | None = None
    workers: int = 8
    on_progress: Callable[[int, int], None] = lambda _done, _total: None


@dataclass(frozen=True, slots=True)
class GradedArm:
    """An arm with its score."""

    arm: Arm
    score: Score

    @property
    def bench(self) -> str:
        """The name of the arm's benchmark."""
        return self.arm.bench.name

    @property
    def level(self) -> str:
        """The level of the arm's pictures."""
        return self.arm.level

    @property
    def corruption(self) -> str | None:
        """The corruption that all questions of the arm met, None if they met several or none."""
        return self.arm.corruption

    @property
    def no_ops(self) -> int:
        """The number of replies to a picture that its corruption left unchanged."""
        return sum(any_no_op(reply.images) for reply in self.arm.replies.values())


def grade_arm(arm: Arm, rules: Rules, judging: Judging | None = None) -> GradedArm:
    """Grade one arm of a run.

    Args:
        arm: The arm, with its replies.
        rules: The rules; an arm of a task is graded by the task's own.
        judging: The judge of rows that no rule decides, if there is one.

    Returns:
        The arm with its score.

    Raises:
        ModelError: The judge answered no call.
    """
    task = TASKS.get(arm.bench.family)
    if task is not None:
        return GradedArm(arm, task.score(arm.bench, arm.replies, list(arm.cells.values()), arm.spec))
    return GradedArm(arm, grade_replies(arm.bench, arm.replies, rules, judging))


def grade_replies(
    bench: BenchData,
    replies: Mapping[Index, Any],
    rules: Rules,
    judging: Judging | None = None,
    *,
    partial: bool = False,
) -> Score:
    """Grade replies to a benchmark; a judge's calls are made several at once.

    Args:
        bench: The benchmark, whose questions all count.
        replies: Texts or replies by the index of their question.
        rules: The rules.
        judging: The judge of rows that no rule decides, if there is one.
        partial: Leave out questions without a reply.

    Returns:
        The score.

    Raises:
        ModelError: The judge answered no call.
    """
    if judging is None:
        return score(bench, replies, rules, partial=partial)
    heads = judging.heads or load_heads()
    return grade_with_judge(
        lambda judge: score(bench, replies, rules, judge=judge, heads=heads, partial=partial),
        judging.judge,
        judging.journal,
        workers=judging.workers,
        on_progress=judging.on_progress,
    )


def grades_by_cell(arms: Iterable[GradedArm]) -> dict[Cell, Grade]:
    """The grades of several arms."""
    return {arm.arm.cells[grade.index]: grade for arm in arms for grade in arm.score.grades}
