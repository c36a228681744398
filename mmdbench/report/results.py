"""From a run's folder to hits: every planned cell graded, one hit for each question it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdbench.design import parse_design, unit_of
from mmdbench.manifest import read_manifest
from mmdbench.records import CLEAN, RECODED, Cell, Index, Question, Reply, RunPlan
from mmdbench.requests import StoredBench, read_cells, read_questions
from mmdbench.scoring import Score, score
from mmdbench.store import read_replies

__all__ = ["Arm", "RunResults", "UnitHit", "load_results"]


@dataclass(frozen=True, slots=True)
class UnitHit:
    """What one question earned at one level under one corruption: `hit` in 0..1."""

    bench: str
    unit: Index
    level: str
    corruption: str | None
    category: str
    hit: float


@dataclass(frozen=True, slots=True)
class Arm:
    """One scored set of cells: a benchmark at a level, under all corruptions of the design or under one."""

    bench: str
    level: str
    corruption: str | None
    score: Score
    no_ops: int


@dataclass(frozen=True, slots=True)
class RunResults:
    """A run, graded: its manifest and plan, its arms, and the hits that every table is made of."""

    manifest: Mapping[str, Any]
    plan: RunPlan
    arms: tuple[Arm, ...]
    hits: tuple[UnitHit, ...]
    statuses: Mapping[str, int]

    @property
    def planned(self) -> int:
        """How many cells the run's plan holds."""
        return sum(self.statuses.values())

    @property
    def complete(self) -> bool:
        """Whether no more than the plan's `max_error_rate` of the cells lack an answer."""
        failed = self.statuses.get("missing", 0) + self.statuses.get("error", 0)
        return failed <= self.plan.max_error_rate * self.planned


def load_results(folder: Path, **changes: Any) -> RunResults:
    """Grade a run from its folder; `changes` replace fields of its plan (`protocol`, `extraction`)."""
    manifest = read_manifest(folder)
    plan = replace(RunPlan.from_dict(manifest["plan"]), **changes)
    replies = read_replies(folder)
    answers: dict[Cell, Reply] = {}
    statuses: Counter[str] = Counter()
    cells = read_cells(folder)
    for planned in cells:
        reply = replies.get(planned.key)
        statuses[reply.status if reply else "missing"] += 1
        if reply:
            answers[planned.cell] = reply
    benches = {bench.name: bench for bench in read_questions(folder)}
    arms: list[Arm] = []
    hits: list[UnitHit] = []
    for layer in _layers([planned.cell for planned in cells], plan):
        arm = _arm(layer, benches[layer[0].bench], answers, plan)
        arms.append(arm)
        hits.extend(_hits(arm, benches[arm.bench], layer))
    return RunResults(manifest, plan, tuple(arms), tuple(hits), dict(statuses))


def _layers(cells: Sequence[Cell], plan: RunPlan) -> Iterator[list[Cell]]:
    # A layer holds each question at most once, which is what a protocol can grade.
    apart = parse_design(plan.design)[0] != "mixed"
    layers: dict[tuple[str, str, str | None], list[Cell]] = {}
    for cell in cells:
        layers.setdefault((cell.bench, cell.level, cell.corruption if apart else None), []).append(cell)
    yield from layers.values()


def _arm(layer: Sequence[Cell], bench: StoredBench, answers: Mapping[Cell, Reply], plan: RunPlan) -> Arm:
    wanted = {cell.index for cell in layer}
    asked = replace(bench, questions=tuple(q for q in bench.questions if q.index in wanted))
    replies = {cell.index: answers[cell] for cell in layer if cell in answers}
    graded = score(asked, replies, protocol=plan.protocol, extraction=plan.extraction)
    no_ops = sum(any(image["no_op"] for image in reply.images) for reply in replies.values())
    corruptions = {cell.corruption for cell in layer}
    corruption = corruptions.pop() if len(corruptions) == 1 else None
    return Arm(bench.name, layer[0].level, corruption, graded, no_ops)


def _hits(arm: Arm, bench: StoredBench, layer: Sequence[Cell]) -> Iterator[UnitHit]:
    corruption_of = {cell.index: cell.corruption for cell in layer}
    units: dict[Index, Question] = {}
    for question in bench.questions:
        if question.index in corruption_of:
            units.setdefault(unit_of(question, bench.family), question)
    earned: Mapping[Index, float] = arm.score.group_hits or {
        grade.index: grade.hit for grade in arm.score.grades
    }
    for unit, hit in earned.items():
        question = units[unit]
        corruption = None if arm.level in (CLEAN, RECODED) else corruption_of[question.index]
        yield UnitHit(arm.bench, unit, arm.level, corruption, question.category, float(hit))
