"""What of a run is scored together, read from its folder alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mmdbench.errors import StoreError, UsageError
from mmdbench.records import ANSWER, Cell, Index, Reply, RunPlan
from mmdbench.run.manifest import read_manifest
from mmdbench.run.plan import StoredBench, read_cells, read_questions
from mmdbench.run.store import read_replies
from mmdbench.variants.design import meets_several

__all__ = ["RunArm", "read_arms", "read_plan"]


@dataclass(frozen=True, slots=True)
class RunArm:
    """What is scored together: the questions that a run asks of one benchmark at one level.

    `corruption` is set where all of them met the same one; `cells` says which each met, and
    `replies` what came back, both by index.
    """

    bench: StoredBench
    level: str
    corruption: str | None
    cells: Mapping[Index, Cell]
    replies: Mapping[Index, Reply]


def read_plan(folder: Path) -> RunPlan:
    """The latest plan of a run; StoreError for a folder that holds none, such as that of a build."""
    plan = read_manifest(folder).get("plan")
    if not isinstance(plan, Mapping):
        raise StoreError(f"{folder} holds no run.", hint="Name a folder that mmdbench eval made.")
    try:
        found = RunPlan.from_dict(plan)
    except (KeyError, TypeError) as error:
        raise StoreError(f"The plan in {folder} cannot be read: {error}.") from error
    if found.task != ANSWER:
        raise UsageError(
            f"{folder} holds a run of the task {found.task!r}, which has one way of grading.",
            hint=f"See: mmdbench report {folder}",
        )
    return found


def read_arms(folder: Path) -> list[RunArm]:
    """The arms of a run's latest plan, in its order, with the replies that its folder holds."""
    plan = read_plan(folder)
    apart = meets_several(plan)  # a protocol grades each question once
    planned = read_cells(folder)
    replies = read_replies(folder, {p.key for p in planned})
    layers: dict[tuple[str, str, str | None], dict[Index, tuple[Cell, Reply | None]]] = {}
    for p in planned:
        layer = layers.setdefault((p.cell.bench, p.cell.level, p.cell.corruption if apart else None), {})
        layer[p.cell.index] = (p.cell, replies.get(p.key))
    benches = {bench.name: bench for bench in read_questions(folder)}
    return [_run_arm(benches[name], level, layer) for (name, level, _), layer in layers.items()]


def _run_arm(bench: StoredBench, level: str, layer: Mapping[Index, tuple[Cell, Reply | None]]) -> RunArm:
    corruptions = {cell.corruption for cell, _ in layer.values()}
    asked = (question for question in bench.questions if question.index in layer)
    return RunArm(
        replace(bench, questions=tuple(asked)),
        level,
        corruptions.pop() if len(corruptions) == 1 else None,
        {index: cell for index, (cell, _) in layer.items()},
        {index: reply for index, (_, reply) in layer.items() if reply is not None},
    )
