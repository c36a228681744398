"""From a run's folder to hits: every planned cell graded, one hit for each question it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from mmdbench.benches.catalog import find_bench
from mmdbench.errors import ModelError, UsageError
from mmdbench.records import CLEAN, RECODED, Cell, Index, Question, Reply, RunPlan
from mmdbench.results.remembered_judge import RememberedJudge, remembered_judge
from mmdbench.run.manifest import read_manifest
from mmdbench.run.plan import StoredBench, read_cells, read_questions
from mmdbench.run.store import read_replies
from mmdbench.scoring import Score, score
from mmdbench.scoring.families import get_family, unit_of
from mmdbench.scoring.judging.journal import JudgeJournal
from mmdbench.scoring.judging.session import Judge
from mmdbench.scoring.tasks import find_task
from mmdbench.variants.design import meets_several

__all__ = ["Arm", "RunResults", "UnitHit", "load_results"]


@dataclass(frozen=True, slots=True)
class UnitHit:
    """What one question earned at one level under one corruption: `hit` in 0..1.

    A question is what its benchmark's headline counts: a row, a circular group or a pair, which
    goes by the index of its first row. `stratum` is the part (CV-Bench's source) whose mean the
    headline takes first; `corruption` is None when clean, and for a pair of two corruptions.
    """

    bench: str
    unit: Index
    level: str
    corruption: str | None
    category: str
    hit: float
    stratum: str = ""


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
    """A run, graded: its manifest and plan, its arms, and the hits that every table is made of.

    `cells` are what was planned and `replies` what came back for them; `chance` is the score of a
    guess by benchmark, 0..1; `label` is what tables call the run, `titles` what they call benchmarks.
    """

    manifest: Mapping[str, Any]
    plan: RunPlan
    arms: tuple[Arm, ...]
    hits: tuple[UnitHit, ...]
    statuses: Mapping[str, int]
    label: str = ""
    folder: Path | None = None
    cells: tuple[Cell, ...] = ()
    replies: Mapping[Cell, Reply] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)

    def title(self, bench: str) -> str:
        """What tables call a benchmark: its title, unless two files of the run share it."""
        return self.titles.get(bench, bench)

    @property
    def name(self) -> str:
        """What tables call the run."""
        return self.label or self.plan.model

    @property
    def apart(self) -> bool:
        """Whether a question meets several corruptions at a level, each an arm of its own."""
        return meets_several(self.plan)

    @property
    def benches(self) -> tuple[str, ...]:
        """The benchmarks of the run, scored or not, in its order."""
        return tuple(dict.fromkeys([arm.bench for arm in self.arms] + [hit.bench for hit in self.hits]))

    @property
    def planned(self) -> int:
        """How many cells the run's plan holds."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """How many cells have no answer: missing, or failed."""
        return self.statuses.get("missing", 0) + self.statuses.get("error", 0)

    @property
    def complete(self) -> bool:
        """Whether no more than the plan's `max_error_rate` of the cells lack an answer."""
        return self.failed <= self.plan.max_error_rate * self.planned


def load_results(
    folder: Path,
    *,
    protocol: str = "",
    extraction: str = "",
    judge: Judge | None = None,
    journal: JudgeJournal | None = None,
) -> RunResults:
    """Grade a run from its folder; `protocol` and `extraction` stand in for those of its plan.

    Without a `judge`, the rulings of one that was asked before are found in the run's journal.
    """
    judge = judge or remembered_judge(folder)
    manifest = read_manifest(folder)
    plan = RunPlan.from_dict(manifest["plan"])
    plan = replace(plan, protocol=protocol or plan.protocol, extraction=extraction or plan.extraction)
    task = find_task(plan.task)
    if task and (protocol or extraction):
        raise UsageError(f"A run of the task {task.name!r} is graded by {task.protocol} alone.")
    stored = read_replies(folder)
    planned = read_cells(folder)
    replies = {p.cell: stored[p.key] for p in planned if p.key in stored}
    statuses = Counter(stored[p.key].status if p.key in stored else "missing" for p in planned)
    benches = {bench.name: bench for bench in read_questions(folder)}
    results = RunResults(
        manifest, plan, (), (), dict(statuses), "", folder, tuple(p.cell for p in planned), replies
    )
    arms: list[Arm] = []
    hits: list[UnitHit] = []
    for layer in _layers(results.cells, apart=results.apart):
        bench = benches[layer[0].bench]
        wanted = {cell.index for cell in layer}
        asked = replace(bench, questions=tuple(q for q in bench.questions if q.index in wanted))
        answers = {cell.index: replies[cell] for cell in layer if cell in replies}
        graded = task.score(asked, answers, layer) if task else _score(asked, answers, plan, judge, journal)
        arm = _arm(layer, graded, answers)
        arms.append(arm)
        hits.extend(_hits(arm, asked, layer))
    chance = {name: _chance(bench, arms) for name, bench in benches.items()}
    return replace(results, arms=tuple(arms), hits=tuple(hits), chance=chance, titles=_titles(benches))


def _titles(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = find_bench(name).title
        except UsageError:
            found[name] = name
    counts = Counter(found.values())
    return {name: title if counts[title] == 1 else name for name, title in found.items()}


def _score(
    bench: StoredBench,
    answers: Mapping[Index, Reply],
    plan: RunPlan,
    judge: Judge | None,
    journal: JudgeJournal | None,
) -> Score:
    graded = partial(score, bench, answers, protocol=plan.protocol, extraction=plan.extraction)
    if not isinstance(judge, RememberedJudge):
        return graded(judge=judge, journal=journal)
    try:
        return graded(judge=judge, journal=judge, heads=judge.heads)
    except ModelError:  # nothing of this benchmark was judged, or by other prompts: as if nobody had been
        return graded()


def _layers(cells: Sequence[Cell], *, apart: bool) -> Iterator[list[Cell]]:
    # A layer holds each question at most once, which is what a protocol can grade.
    layers: dict[tuple[str, str, str | None], list[Cell]] = {}
    for cell in cells:
        layers.setdefault((cell.bench, cell.level, cell.corruption if apart else None), []).append(cell)
    yield from layers.values()


def _arm(layer: Sequence[Cell], graded: Score, answers: Mapping[Index, Reply]) -> Arm:
    no_ops = sum(any(image.get("no_op") for image in reply.images) for reply in answers.values())
    corruptions = {cell.corruption for cell in layer}
    corruption = corruptions.pop() if len(corruptions) == 1 else None
    return Arm(layer[0].bench, layer[0].level, corruption, graded, no_ops)


def _hits(arm: Arm, bench: StoredBench, layer: Sequence[Cell]) -> Iterator[UnitHit]:
    if arm.score.headline is None:  # not scored (no judge, no pairs): no hit, rather than a miss
        return
    met = {cell.index: cell.corruption for cell in layer}
    earned = {grade.index: grade.hit for grade in arm.score.grades}
    metric = get_family(bench.family).metric(arm.score.metric_key)
    groups = arm.score.group_hits
    for rows in metric.units(bench.questions):
        first = rows[0]
        unit = unit_of(first, bench.family)
        if groups and unit not in groups:
            continue  # a group without its main row, which the protocol leaves out
        hit = groups[unit] if groups else _all(earned, rows)
        corruptions = {met[row.index] for row in rows}
        one = corruptions.pop() if len(corruptions) == 1 and arm.level not in (CLEAN, RECODED) else None
        yield UnitHit(arm.bench, unit, arm.level, one, first.category, float(hit), metric.stratum(first))


def _all(earned: Mapping[Index, float], rows: Sequence[Question]) -> float:
    if len(rows) == 1:
        return earned[rows[0].index]
    return float(all(earned[row.index] for row in rows))


def _chance(bench: StoredBench, arms: Sequence[Arm]) -> float:
    keys = [arm.score.metric_key for arm in arms if arm.bench == bench.name]
    if not keys:
        return 0.0
    metric = get_family(bench.family).metric(keys[0])
    guesses: dict[str, list[float]] = {}
    for rows in metric.units(bench.questions):
        guess = 1.0
        for row in rows:
            guess *= 1 / len(row.options) if row.options else 0.0
        guesses.setdefault(metric.stratum(rows[0]), []).append(guess)
    means = [sum(values) / len(values) for values in guesses.values()]
    return sum(means) / len(means) if means else 0.0
