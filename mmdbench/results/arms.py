"""A stored run and its arms: one benchmark at one level, read from the run's folder alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from mmdbench.corruptions.spec import Spec
from mmdbench.corruptions.spec_file import described_spec
from mmdbench.errors import ShapeError, StoreError, UsageError
from mmdbench.models.endpoints import without_address
from mmdbench.records import ANSWER, LEVEL_ORDER, Cell, Index, Reply, RunPlan, in_order
from mmdbench.run.file_records import require_files
from mmdbench.run.folder import CELLS_FILE, QUESTIONS_FILE
from mmdbench.run.manifest import read_manifest, require_run
from mmdbench.run.store import read_replies
from mmdbench.run.stored_plan import StoredBench, read_cells, read_questions
from mmdbench.scoring import OPENS_THOUGHT, prompt_opens_thought
from mmdbench.system.files import REPLY_FILES
from mmdbench.variants.design import meets_several

__all__ = ["Arm", "StoredRun", "read_plan", "read_run", "repeated"]


@dataclass(frozen=True, slots=True)
class Arm:
    """The questions that a run asks of one benchmark at one level, each once: they are scored together.

    `corruption` is set where all of them met the same one; `cells` and `replies` are by index. `spec` tells
    the categories of the run's corruptions; None for those of mmdbench. `repeat` is that of its cells.
    """

    bench: StoredBench
    level: str
    corruption: str | None
    cells: Mapping[Index, Cell]
    replies: Mapping[Index, Reply]
    spec: Spec | None = None
    repeat: int = 1


def repeated(arm: Arm) -> dict[str, int]:
    """The field of a record that tells the repeat of an arm; empty for the first."""
    return {"repeat": arm.repeat} if arm.repeat > 1 else {}


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The folder of a run as read: its manifest, its latest plan with all cells, and their replies."""

    folder: Path
    manifest: Mapping[str, Any]
    plan: RunPlan
    benches: Mapping[str, StoredBench]
    cells: tuple[Cell, ...]
    replies: Mapping[Cell, Reply]

    @property
    def arms(self) -> list[Arm]:
        """The arms in the order of the plan; of a question that meets several corruptions, one for each.

        Each repeat is an arm of its own.
        """
        apart, opened = meets_several(self.plan), self._opens_thought()
        groups: dict[tuple[str, str, str | None, int], list[Cell]] = {}
        for cell in self.cells:
            key = (cell.bench, cell.level, cell.corruption if apart else None, cell.repeat)
            groups.setdefault(key, []).append(cell)
        ordered = list(groups)
        if not apart:  # under `drawn` the first question may be at any level
            ordered.sort(key=lambda arm: (list(self.benches).index(arm[0]), LEVEL_ORDER.index(arm[1])))
        return [self._arm(groups[arm], opened=opened) for arm in ordered]

    def _opens_thought(self) -> bool:
        """True if the end of every prompt opened a thought: as the model card says, or most replies show."""
        option = (self.manifest.get("model") or {}).get("options", {}).get(OPENS_THOUGHT)
        if isinstance(option, bool):
            return option
        return prompt_opens_thought(reply.text for reply in self.replies.values() if reply.status == "ok")

    def _arm(self, cells: list[Cell], *, opened: bool) -> Arm:
        bench, level = self.benches[cells[0].bench], cells[0].level
        corruptions = {cell.corruption for cell in cells}
        asked = {cell.index: cell for cell in cells}
        return Arm(
            replace(bench, questions=tuple(q for q in bench.questions if q.index in asked)),
            level,
            corruptions.pop() if len(corruptions) == 1 else None,
            asked,
            {cell.index: _marked(self.replies[cell], opened) for cell in cells if cell in self.replies},
            described_spec(self.manifest),
            cells[0].repeat,
        )


def _marked(reply: Reply, opened: bool) -> Reply:
    return replace(reply, details={**reply.details, OPENS_THOUGHT: True}) if opened else reply


def read_plan(folder: Path) -> RunPlan:
    """The latest plan of a run that asks the benchmarks' own questions.

    Raises StoreError for a folder without a plan, such as that of a build, and UsageError for a run of
    another task.
    """
    plan = _plan(folder, read_manifest(folder))
    if plan.task != ANSWER:
        raise UsageError(
            f"{folder} holds a run of the task {plan.task!r}, which has one way of grading.",
            hint=f"See: mmdbench report {folder}",
        )
    return plan


def read_run(folder: Path) -> StoredRun:
    """Read a run of any task. Raises StoreError for a folder that holds none, such as that of a build."""
    manifest = read_manifest(folder)
    plan = _plan(folder, manifest)
    require_files(folder, manifest, CELLS_FILE, QUESTIONS_FILE, REPLY_FILES)
    planned = read_cells(folder, described_spec(manifest))
    stored = read_replies(folder, {p.key for p in planned})
    benches = {bench.name: bench for bench in read_questions(folder)}
    known = {(bench.name, question.index) for bench in benches.values() for question in bench.questions}
    lacking = next((p.cell for p in planned if (p.cell.bench, p.cell.index) not in known), None)
    if lacking or not planned:
        what = f"no question {lacking.index!r} of {lacking.bench}" if lacking else "no planned request"
        raise StoreError(
            f"The files of {folder} hold {what}.",
            hint="Run its mmdbench eval command again: it writes them anew and asks nothing twice.",
        )
    endpoint = str((manifest.get("model") or {}).get("endpoint", ""))
    return StoredRun(
        folder,
        manifest,
        plan,
        benches,
        tuple(_by_level(p.cell for p in planned)),
        {p.cell: _without_address(stored[p.key], endpoint) for p in planned if p.key in stored},
    )


def _without_address(reply: Reply, endpoint: str) -> Reply:
    # What a connection error says of the server stays in the run's folder.
    if not (reply.reason and endpoint):
        return reply
    return replace(reply, reason=without_address(reply.reason, endpoint))


def _by_level(cells: Iterable[Cell]) -> Iterator[Cell]:
    """The cells with those of each question in the order of levels, in whatever order they were asked."""
    for _, group in groupby(cells, lambda cell: (cell.bench, cell.index)):
        yield from sorted(group, key=lambda cell: LEVEL_ORDER.index(cell.level))


def _plan(folder: Path, manifest: Mapping[str, Any]) -> RunPlan:
    require_run(folder, manifest)
    plan = manifest.get("plan")
    if not isinstance(plan, Mapping):
        raise StoreError(f"{folder} holds no run.", hint="Name a folder that mmdbench eval made.")
    try:
        made = RunPlan.from_dict(plan)
    except ShapeError as error:
        raise StoreError(f"The plan in {folder} cannot be read: {error}.") from error
    unknown = set(made.levels) - set(LEVEL_ORDER)
    if unknown:
        raise StoreError(f"The plan in {folder} cannot be read: there is no level {min(unknown)!r}.")
    return replace(made, levels=in_order(made.levels))
