"""A graded run: its scores by arm, and a hit for every question that a headline counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import fsum
from pathlib import Path
from typing import Any

from msgspec import structs

from mmdbench.benches.catalog import find_bench, is_outside
from mmdbench.errors import ModelError, UsageError
from mmdbench.models.endpoints import SERVED_BY, public_name, short_name
from mmdbench.records import UNALTERED, UNDEGRADED, Cell, Grade, Index, Question, Reply, RunPlan
from mmdbench.results.agreement import agreement_arms, is_agreement
from mmdbench.results.arms import Arm, StoredRun, read_run
from mmdbench.results.graded_arms import GradedArm, Judging, grade_arm, grades_by_cell
from mmdbench.results.hit_columns import HitColumns, UnitHit, in_columns
from mmdbench.results.judging.journal import JudgeJournal
from mmdbench.results.judging.remembered import RememberedJudge, remembered_judge
from mmdbench.run.replies import is_image_error
from mmdbench.run.reply_records import restored_seconds
from mmdbench.run.stored_plan import StoredBench
from mmdbench.scoring import Judge, Rules
from mmdbench.scoring.families import get_family, unit_of
from mmdbench.scoring.family import Metric
from mmdbench.scoring.tasks import find_task
from mmdbench.system.collection import uncollected
from mmdbench.variants.design import meets_several

__all__ = ["RunResults", "UnitHit", "catalogue_names", "load_results", "make_results", "mean_hits"]


@dataclass(frozen=True)
class RunResults:
    """A graded run: its manifest and plan, its arms, and the hits that every table is made of.

    `cells` are all planned cells, `replies` the replies to them; `chance` is the score of guessing by
    benchmark, 0..1. Tables use `label` for the run and `titles` for its benchmark files; `benchmarks`
    are those that the files are of. `judge` names the judge whose rulings count, empty for none.
    `outside` are the files that do not count in the mean over benchmarks; `beside` holds the hits by further
    metrics that have a row of their own, by its id and name. `agreement` are the arms of R-Bench in which
    answers about distorted pictures are graded against the model's own about undistorted ones. Where a run
    asked repeatedly, `repeats` holds the hits of each repeat, and `hits` are their means.
    """

    manifest: Mapping[str, Any]
    plan: RunPlan
    arms: tuple[GradedArm, ...]
    hits: HitColumns | Sequence[UnitHit]
    statuses: Mapping[str, int]
    label: str = ""
    folder: Path | None = None
    cells: tuple[Cell, ...] = ()
    replies: Mapping[Cell, Reply] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)
    benchmarks: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    judge: str = ""
    outside: frozenset[str] = frozenset()
    beside: Mapping[tuple[str, str], tuple[UnitHit, ...]] = field(default_factory=dict)
    agreement: tuple[GradedArm, ...] = ()
    repeats: tuple[tuple[UnitHit, ...], ...] = ()

    def benchmark(self, bench: str) -> str:
        """The benchmark that a file is of; the file's own name if two files of the run are of one."""
        return self.benchmarks.get(bench, bench)

    def title(self, bench: str) -> str:
        """A benchmark's name in tables: its title, unless two files of the run share it."""
        return self.titles.get(bench, bench)

    @property
    def name(self) -> str:
        """The run's name in tables."""
        return self.label or self.manifest.get("label") or short_name(self.plan.model)

    @property
    def model(self) -> str:
        """The name of the model, without a private address in it."""
        served_by = self.manifest.get("model", {}).get("options", {}).get(SERVED_BY, "")
        return public_name(self.plan.model, served_by)

    @property
    def apart(self) -> bool:
        """True if a question meets several corruptions at a level, each an arm of its own."""
        return meets_several(self.plan)

    @cached_property
    def columns(self) -> HitColumns:
        """The hits in columns."""
        return in_columns(self.hits)

    @cached_property
    def detailed(self) -> Mapping[Cell, Reply]:
        """The replies with more than a text: details of the model or its server, or restored pictures."""
        return {
            cell: reply
            for cell, reply in self.replies.items()
            if reply.details or restored_seconds(reply.images)
        }

    @property
    def benches(self) -> tuple[str, ...]:
        """The benchmarks of the run, scored or not, in its order."""
        return tuple(dict.fromkeys([arm.bench for arm in self.arms] + self.columns.bench.distinct))

    @property
    def unaltered(self) -> frozenset[str]:
        """The benchmarks whose published pictures are degraded already, and were asked as they are."""
        found = {arm.bench for arm in self.arms if arm.level == UNALTERED}
        return frozenset(found.union(self.columns.at(UNALTERED).bench.distinct))

    @property
    def counted(self) -> tuple[str, ...]:
        """The benchmarks that count in a mean over benchmarks."""
        return tuple(self.benchmark(bench) for bench in self.benches if bench not in self.outside)

    @property
    def grades(self) -> dict[Cell, Grade]:
        """The grade of each cell."""
        return grades_by_cell(self.arms)

    @property
    def planned(self) -> int:
        """The number of cells in the run's plan."""
        return sum(self.statuses.values())

    @property
    def unanswered(self) -> int:
        """The number of cells without an answer: missing, or failed."""
        return self.statuses.get("missing", 0) + self.statuses.get("error", 0)

    @property
    def without_picture(self) -> int:
        """The number of cells that failed because their picture is missing, broken or too large."""
        return sum(is_image_error(reply) for reply in self.replies.values())

    @property
    def complete(self) -> bool:
        """True if no more than the plan's `max_error_rate` of the cells lack an answer."""
        return self.unanswered <= self.plan.max_error_rate * self.planned

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Arms whose replies the run's judge was not asked about, although it was about others."""
        if not self.judge:
            return ()
        places = (_place(self, arm) for arm in self.arms if arm.score.judge is None)
        return tuple(dict.fromkeys(places))

    @property
    def settled(self) -> bool:
        """True if the run is complete, and its judge settled what it was asked about."""
        return self.complete and not self._judge_problem

    @property
    def _judge_problem(self) -> str:
        for arm in (*self.arms, *self.agreement):
            problem = getattr(arm.score, "judge_problem", "")
            if problem:
                return f"{_place(self, arm)}: {problem}."
        return f"{self.judge} was not asked about {', '.join(self.unjudged)}." if self.unjudged else ""

    @property
    def problem(self) -> str:
        """The reason why no verdict may rest on the scores; empty if there is none."""
        if not self.complete:
            return f"{self.unanswered} of {self.planned} planned answers are missing or failed."
        if self._judge_problem:
            return self._judge_problem
        for bench in self.benches:
            scored = [
                arm
                for arm in self.arms
                if arm.bench == bench and getattr(arm.score, "headline", None) is not None
            ]
            verdicts = {grade.verdict for arm in scored for grade in arm.score.grades}
            if verdicts == {"unresolved"}:
                return f"No reply to {self.title(bench)} can be read, at any level."
        return ""


def _place(run: RunResults, arm: GradedArm) -> str:
    return " ".join(part for part in (run.title(arm.bench), arm.level, arm.corruption) if part)


@uncollected()
def load_results(
    folder: Path,
    *,
    protocol: str = "",
    extraction: str = "",
    judge: Judge | None = None,
    journal: JudgeJournal | None = None,
    judged_by: str = "",
) -> RunResults:
    """Grade a run from its folder.

    Args:
        folder: The run's folder.
        protocol: The scoring rules; by default those of the run's plan.
        extraction: The way to extract answers; by default that of the run's plan.
        judge: The judge of rows that no rule decides. Without one, the rulings of a judge that was asked
            before are found in the run's journal.
        journal: The journal of the judge's calls.
        judged_by: The judge of the run whose rulings count, `none` for none; by default the run's own.

    Returns:
        The graded run.

    Raises:
        StoreError: The folder holds no run.
        UsageError: Other rules are named for a run of a task, which has its own, or a judge that was not
            asked under these rules.
        UnknownNameError: That judge was not asked about the run.
    """
    run = read_run(folder)
    task = find_task(run.plan.task)
    if task and (protocol or extraction):
        raise UsageError(f"A run of the task {run.plan.task!r} is graded by {task.protocol} alone.")
    graded_by = task.protocol if task else protocol or run.plan.protocol
    plan = replace(run.plan, protocol=graded_by, extraction=extraction or run.plan.extraction)
    rules = Rules(plan.protocol, plan.extraction)
    asked = None if judge else remembered_judge(folder, judged_by)
    if judge:
        grade = partial(grade_arm, rules=rules, judging=Judging(judge, journal=journal, workers=1))
    else:
        grade = partial(_grade_by_rulings, rules=rules, judge=asked)
    arms = tuple(map(grade, run.arms))
    if judged_by:
        _require_rulings(arms, asked, rules)
    arms += tuple(map(grade, agreement_arms(arms, plan.extraction)))
    return make_results(run, plan, arms, judge=asked.name if asked and _judge_of(arms) else "")


def make_results(
    run: StoredRun, plan: RunPlan, arms: tuple[GradedArm, ...], *, judge: str = ""
) -> RunResults:
    """The graded run of arms that were graded by the rules of a plan.

    Args:
        run: The run as stored.
        plan: Its plan, with the protocol and the extraction of the grades.
        arms: All its arms, with those of its agreement.
        judge: The name of the judge of the arms among those of the run; by default its id.

    Returns:
        The graded run.
    """
    agreement = tuple(arm for arm in arms if is_agreement(arm.bench))
    arms = tuple(arm for arm in arms if not is_agreement(arm.bench))
    repeats = _repeats(arms, plan.repeat)
    return RunResults(
        manifest=run.manifest,
        plan=plan,
        arms=arms,
        hits=in_columns(mean_hits(repeats)),
        statuses=_statuses(run),
        folder=run.folder,
        cells=run.cells,
        replies=run.replies,
        chance={name: _chance(bench, arms) for name, bench in run.benches.items()},
        judge=judge or _judge_of(arms),
        beside=_beside(arms, _unless_shared(run.benches, "title")),
        agreement=agreement,
        repeats=repeats if len(repeats) > 1 else (),
        **catalogue_names(run.benches),
    )


def _repeats(arms: Sequence[GradedArm], count: int) -> tuple[tuple[UnitHit, ...], ...]:
    """The hits of each repeat."""
    return tuple(
        tuple(hit for arm in arms if arm.arm.repeat == repeat for hit in _hits(arm))
        for repeat in range(1, count + 1)
    )


def mean_hits(repeats: Sequence[Sequence[UnitHit]]) -> tuple[UnitHit, ...]:
    """The hits of the first repeat, each with the mean of its values over the repeats."""
    if len(repeats) == 1:
        return tuple(repeats[0])
    found: dict[tuple[object, ...], list[UnitHit]] = {}
    for hits in repeats:
        seen: Counter[tuple[object, ...]] = Counter()
        for hit in hits:
            place = (hit.bench, hit.unit, hit.level, hit.corruption)
            seen[place] += 1  # a metric beside the headline may count a unit's rows one by one
            found.setdefault((*place, seen[place]), []).append(hit)
    return tuple(
        structs.replace(same[0], hit=fsum(hit.hit for hit in same) / len(same)) if len(same) > 1 else same[0]
        for same in found.values()
    )


def _judge_of(arms: Iterable[GradedArm]) -> str:
    return next((arm.score.judge for arm in arms if arm.score.judge), "")


def _require_rulings(arms: Iterable[GradedArm], judge: RememberedJudge | None, rules: Rules) -> None:
    """Raise UsageError if a judge was named and no score of its is in the run's journal."""
    if judge and not _judge_of(arms):
        raise UsageError(
            f"The judge {judge.name} was not asked about the run under {rules.protocol} ({rules.extraction})."
            + (f" It was under {', '.join(judge.protocols)}." if judge.protocols else ""),
            hint="Ask it: mmdbench score RUN --judge NAME, with the same --protocol and --extraction.",
        )


def _grade_by_rulings(arm: Arm, rules: Rules, judge: RememberedJudge | None) -> GradedArm:
    if judge is None:
        return grade_arm(arm, rules)
    try:
        return grade_arm(arm, rules, Judging(judge, judge.heads, workers=1))
    except ModelError:  # nothing of this benchmark was judged, or by other prompts: as if there were no judge
        return grade_arm(arm, rules)


def _statuses(run: StoredRun) -> dict[str, int]:
    found = Counter[str](reply.status for reply in run.replies.values())
    missing = len(run.cells) - len(run.replies)
    return {**found, "missing": missing} if missing else dict(found)


def catalogue_names(names: Iterable[str]) -> dict[str, Any]:
    """The fields of a graded run that the catalogue gives for its benchmark files."""
    files = tuple(names)
    return {
        "benchmarks": _unless_shared(files, "benchmark"),
        "titles": _unless_shared(files, "title"),
        "outside": frozenset(filter(is_outside, files)),
    }


def _unless_shared(names: Iterable[str], field_name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        found[name] = _known(name, field_name) or name
    counts = Counter(found.values())
    return {name: value if counts[value] == 1 else name for name, value in found.items()}


def _known(name: str, field_name: str) -> str:
    """A field of the benchmark's entry in the catalogue; empty if it has none."""
    try:
        return str(getattr(find_bench(name), field_name))
    except UsageError:
        return ""


def _beside(
    arms: Sequence[GradedArm], titles: Mapping[str, str]
) -> dict[tuple[str, str], tuple[UnitHit, ...]]:
    found: dict[tuple[str, str], dict[int, list[UnitHit]]] = {}
    for arm in arms:
        for metric in get_family(arm.arm.bench.family).metrics:
            if metric.beside and metric.key != arm.score.metric_key and not is_outside(arm.bench):
                key = (f"{arm.bench}/{metric.key}", f"{titles[arm.bench]} ({metric.label})")
                found.setdefault(key, {}).setdefault(arm.arm.repeat, []).extend(_hits(arm, metric))
    means = {key: mean_hits(list(repeats.values())) for key, repeats in found.items()}
    return {key: hits for key, hits in means.items() if hits}


def _hits(arm: GradedArm, metric: Metric | None = None) -> Iterator[UnitHit]:
    """The hits of an arm by a metric, the headline's if none is given."""
    if arm.score.headline is None:
        return  # without a judge, or without pairs: no hit is not a miss
    bench, met = arm.arm.bench, arm.arm.cells
    earned = {grade.index: grade.hit for grade in arm.score.grades}
    metric = metric or get_family(bench.family).metric(arm.score.metric_key)
    groups = arm.score.group_hits
    for rows in metric.units(bench.questions):
        first = rows[0]
        unit = unit_of(first, bench.family)
        if groups and unit not in groups:
            continue  # a group without its main row, which the protocol leaves out
        hit = groups[unit] if groups else _all(earned, rows)
        corruptions = {met[row.index].corruption for row in rows}
        one = corruptions.pop() if len(corruptions) == 1 and arm.level not in UNDEGRADED else None
        yield UnitHit(arm.bench, unit, arm.level, one, first.category, float(hit), metric.stratum(first))


def _all(earned: Mapping[Index, float], rows: Sequence[Question]) -> float:
    if len(rows) == 1:
        return earned[rows[0].index]
    return float(all(earned[row.index] for row in rows))


def _chance(bench: StoredBench, arms: Sequence[GradedArm]) -> float:
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
