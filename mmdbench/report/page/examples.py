"""Examples of a page: a question under one corruption, with the replies of every run at every level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdbench.records import LEVEL_ORDER, UNDEGRADED, Cell, Grade, Question, Reply
from mmdbench.results.graded_run import RunResults
from mmdbench.run.stored_plan import read_questions

__all__ = ["Example", "GradedReply", "choose", "gather"]


@dataclass(frozen=True, slots=True)
class GradedReply:
    """The reply of one run to one cell, and its grade; None where there is none."""

    reply: Reply | None
    grade: Grade | None

    @property
    def right(self) -> bool:
        """True if the grade is at least half a hit."""
        return self.grade is not None and self.grade.hit >= 0.5


@dataclass(frozen=True, slots=True)
class Example:
    """A question under one corruption (None for a question that was only asked clean).

    `answers` maps each level of `cells` to one graded reply per run. Examples are shown in ascending
    order of `rank`: first those that are right when clean and wrong at the hardest level.
    """

    question: Question
    corruption: str | None
    cells: tuple[Cell, ...]
    answers: Mapping[str, tuple[GradedReply, ...]]
    rank: tuple[int, int] = field(default=(9, 0))


def gather(runs: Sequence[RunResults]) -> list[Example]:
    """All examples of graded runs, in the order of the first run's plan."""
    questions: dict[tuple[str, Any], Question] = {}
    for run in runs:
        if run.folder is not None:
            for stored in read_questions(run.folder):
                questions |= {(q.bench, q.index): q for q in stored.questions}
    grades = [run.grades for run in runs]
    found = []
    for (bench, index, corruption), cells in _groups(runs).items():
        question = questions.get((bench, index))
        if question is None:
            continue
        ordered = tuple(sorted(cells, key=lambda cell: LEVEL_ORDER.index(cell.level)))
        answers = {
            cell.level: tuple(
                GradedReply(run.replies.get(cell), of_run.get(cell))
                for run, of_run in zip(runs, grades, strict=True)
            )
            for cell in ordered
        }
        found.append(Example(question, corruption, ordered, answers, _rank(answers, len(runs))))
    return found


def choose(examples: Sequence[Example], most: int) -> list[Example]:
    """At most `most` examples: by turns from each benchmark and corruption, the lowest rank of each first."""
    groups: dict[tuple[str, str | None], list[Example]] = {}
    for example in examples:
        groups.setdefault((example.question.bench, example.corruption), []).append(example)
    for group in groups.values():
        group.sort(key=lambda e: e.rank)
    kept: list[Example] = []
    turn = 0
    while len(kept) < most and any(turn < len(group) for group in groups.values()):
        kept += [group[turn] for group in groups.values() if turn < len(group)]
        turn += 1
    return sorted(kept[:most], key=lambda e: e.rank)


def _groups(runs: Sequence[RunResults]) -> dict[tuple[str, Any, str | None], list[Cell]]:
    groups: dict[tuple[str, Any, str | None], list[Cell]] = {}
    base: dict[tuple[str, Any], list[Cell]] = {}
    # Of repeated requests the page shows the first; its numbers are of all.
    for cell in dict.fromkeys(cell for run in runs for cell in run.cells if cell.repeat == 1):
        if cell.level in UNDEGRADED:
            base.setdefault((cell.bench, cell.index), []).append(cell)
        else:
            groups.setdefault((cell.bench, cell.index, cell.corruption), []).append(cell)
    degraded = {key[:2] for key in groups}
    found = {key: [*base.get(key[:2], ()), *cells] for key, cells in groups.items()}
    return found | {(*key, None): cells for key, cells in base.items() if key not in degraded}


def _rank(answers: Mapping[str, tuple[GradedReply, ...]], runs: int) -> tuple[int, int]:
    return min(
        (_rank_of([(level, a[r]) for level, a in answers.items()]) for r in range(runs)), default=(9, 0)
    )


def _rank_of(answers: Sequence[tuple[str, GradedReply]]) -> tuple[int, int]:
    known = [(level, a) for level, a in answers if a.grade is not None]
    clean = [a.right for level, a in known if level in UNDEGRADED]
    rest = [a.right for level, a in known if level not in UNDEGRADED]
    kept = sum(rest)
    if not rest:
        return (2 if not all(clean) else 4, 0)
    if clean and clean[0]:
        return (0, kept) if not rest[-1] else (1, kept) if kept < len(rest) else (4, 0)
    return (3, 0) if rest[-1] else (2, kept)
