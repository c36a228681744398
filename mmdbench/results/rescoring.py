"""Grading a stored run again, or a file of predictions, by any rules; no model under test is asked.

`regrade` reads a run's folder and returns its scores arm by arm, with every row that changed;
`write_regraded` keeps them beside the replies as `grades-<rules>.jsonl` and `score-<rules>.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from mmdbench.errors import DataError, ShapeError, UsageError
from mmdbench.records import BenchData, Cell, Grade, Index, Verdict
from mmdbench.results.agreement import agreement_arms
from mmdbench.results.arms import StoredRun, read_plan, read_run, repeated
from mmdbench.results.graded_arms import GradedArm, Judging, grade_arm, grade_replies, grades_by_cell
from mmdbench.results.graded_run import RunResults, make_results
from mmdbench.results.judging.asked import name_in_run
from mmdbench.results.judging.open import JudgeOptions, open_judging
from mmdbench.results.judging.remembered import record_scoring
from mmdbench.run.folder import JUDGE_JOURNAL
from mmdbench.run.json_lines import read_lines, write_lines
from mmdbench.run.manifest import read_manifest
from mmdbench.scoring import (
    JudgeHeads,
    Rules,
    Score,
    extraction_version,
    get_protocol,
    load_heads,
    read_predictions,
)
from mmdbench.system.digest import value_digest
from mmdbench.system.environment import versions
from mmdbench.system.files import write_atomic
from mmdbench.system.json_text import parse_json
from mmdbench.system.locks import file_lock, folder_lock
from mmdbench.system.shapes import check_shape

__all__ = [
    "Regraded",
    "RowChange",
    "read_grades",
    "record_judge",
    "regrade",
    "regrade_and_save",
    "score_predictions",
    "write_regraded",
]

_Earlier = Mapping[Cell, Grade]
_OWN_RULES = Rules(protocol="", extraction="")


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row whose grade changed: another verdict, label or share of a hit."""

    cell: Cell
    before: Grade
    after: Grade


@dataclass(frozen=True, slots=True)
class Regraded:
    """A run graded again: its scores, and the rows whose grade differs from `against`.

    `run` is the run as stored; `against` names the rules, or the file, of the grades that it is compared
    with; `heads` are the beginnings of a judge's prompts.
    """

    run: StoredRun
    rules: Rules
    arms: tuple[GradedArm, ...]
    against: str
    changes: tuple[RowChange, ...]
    heads: JudgeHeads | None = None

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.run.folder

    @property
    def results(self) -> RunResults:
        """The graded run, as a report takes it."""
        plan = replace(self.run.plan, protocol=self.rules.protocol, extraction=self.rules.extraction)
        return make_results(self.run, plan, self.arms, judge=self.judged_by)

    @property
    def judged_by(self) -> str:
        """The name of its judge among the judges of the run; empty without one."""
        return name_in_run(self.folder, self.rules.judge, self.heads) if self.rules.judge else ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of all scores, each once."""
        return tuple(dict.fromkeys(w for arm in self.arms for w in arm.score.warnings))

    @property
    def comparable(self) -> bool:
        """True if every judge prompt was the one that published numbers were made with."""
        return all(arm.score.judge_record.get("comparable", True) for arm in self.arms)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: rules, scores with their counts, and every row that changed."""
        return {
            "kind": "mmdbench score",
            "rules": asdict(self.rules),
            "comparable": self.comparable,
            "arms": [_arm_dict(arm) for arm in self.arms],
            "against": self.against,
            "changed": [_change_dict(change) for change in self.changes],
            "warnings": list(self.warnings),
            "versions": versions() | {"extraction": extraction_version(self.rules.extraction)},
        }


def regrade(
    folder: Path, rules: Rules = _OWN_RULES, *, judging: Judging | None = None, against: Path | None = None
) -> Regraded:
    """Grade a run again from its folder; nothing is written but the judge's calls to its journal.

    Args:
        folder: The run's folder.
        rules: The rules; an empty protocol or extraction stands for the run's own. The judge's id is set.
        judging: The judge of rows that no rule decides, if there is one.
        against: The grades file that changes are told against; by default they are told against the
            run's own rules (literal, no judge).

    Returns:
        The scores, and the rows that changed.

    Raises:
        StoreError: The folder holds no run.
        UsageError: The run is one of a task with a grading of its own.
        UnknownNameError: There are no such rules.
        ModelError: The judge answered no call.
    """
    plan = read_plan(folder)
    own = Rules(get_protocol(plan.protocol).name, plan.extraction)
    rules = replace(
        rules,
        protocol=get_protocol(rules.protocol or plan.protocol).name,
        extraction=rules.extraction or plan.extraction,
        judge=judging.judge.id if judging else None,
    )
    run = read_run(folder)
    arms = run.arms
    earlier = read_grades(against) if against else None  # a wrong name is an error before a judge is asked
    if judging:
        judging = replace(judging, heads=judging.heads or load_heads())
    graded = tuple(grade_arm(arm, rules, judging) for arm in arms)
    agreement = agreement_arms(graded, rules.extraction)
    graded += tuple(grade_arm(arm, rules, judging) for arm in agreement)
    if earlier is None:
        earlier = grades_by_cell(graded if rules == own else (grade_arm(arm, own) for arm in arms))
    name = against.name if against else own.name
    heads = judging.heads if judging else None
    return Regraded(run, rules, graded, name, tuple(_changes(graded, earlier)), heads)


def regrade_and_save(
    folder: Path,
    rules: Rules,
    judge: JudgeOptions | None = None,
    *,
    against: Path | None = None,
    default: bool = False,
) -> tuple[Regraded, tuple[Path, Path]]:
    """Grade a run again, note its judge in the manifest, and write the grades into its folder.

    Args:
        folder: The run's folder, locked while a judge is asked.
        rules: The rules; an empty protocol or extraction stands for the run's own.
        judge: The judge of rows that no rule decides.
        against: The grades file that changes are told against; by default the run's own rules.
        default: Let reports show this judge, or none, from now on.

    Returns:
        The scores and changes, and the files of grades and scores.

    Raises:
        StoreError: The folder holds no run.
        UsageError: Rules other than the run's own are to be the default.
        ModelError: The judge answered no call.
    """
    # A folder without a run must fail before it gets a lock file, wrong rules before a judge is paid.
    if not _is_own(folder, rules) and default:
        raise UsageError(
            "Only a judge can be made the default of a run, under the run's own rules.",
            hint="Leave out --protocol, --extraction, --io and --on-unresolved.",
        )
    lock = folder_lock(folder, "running a model or asking a judge") if judge or default else nullcontext()
    with lock, open_judging(judge, folder / JUDGE_JOURNAL, folder) as judging:
        made = regrade(folder, rules, judging=judging, against=against)
        record_judge(made, default=default)
    if judge:  # its calls are in the manifest now, and the notes on the run name the model that answered
        made = replace(made, run=replace(made.run, manifest=read_manifest(folder)))
    return made, write_regraded(made)


def score_predictions(
    path: Path, bench: BenchData, rules: Rules, judge: JudgeOptions | None = None, *, partial: bool = False
) -> Score:
    """Score a file of predictions: .xlsx, .tsv or .json as VLMEvalKit writes them, or .jsonl.

    Args:
        path: The file.
        bench: The benchmark of the predictions.
        rules: The rules; an empty protocol stands for clear/1, an empty extraction for sane.
        judge: The judge of rows that no rule decides; its calls are kept in a file beside `path`.
        partial: Leave out questions without a prediction, which are misses otherwise.

    Returns:
        The score.

    Raises:
        DataError: The file cannot be read, or is a pickle.
        LockedError: Another process asks a judge about it.
    """
    predictions = read_predictions(path)
    # A file of some rows may hold nothing but digits where the benchmark's indices are texts.
    known = {str(question.index): question.index for question in bench.questions}
    replies = {known.get(str(index), index): text for index, text in predictions.items()}
    usual = Rules()
    rules = replace(
        rules, protocol=rules.protocol or usual.protocol, extraction=rules.extraction or usual.extraction
    )
    journal = path.with_name(f"{path.name}.judge.jsonl")
    # Two processes would give their lines the same numbers.
    lock = file_lock(journal.with_name(f".{journal.name}.lock"), wait_s=0.0) if judge else nullcontext()
    with lock, open_judging(judge, journal) as judging:
        return grade_replies(bench, replies, rules, judging, partial=partial)


def read_grades(path: Path) -> dict[Cell, Grade]:
    """The grades of a file that `write_regraded` or a report wrote, by cell."""
    found: dict[Cell, Grade] = {}
    for number, row in read_lines(path):
        try:
            check_shape(row, _GradeRecord)
        except ShapeError as error:
            raise DataError(
                f"{path}, line {number} is not a grade: {error}.", hint="Name a grades-*.jsonl file."
            ) from error
        cell = Cell(row["bench"], row["index"], row["level"], row["corruption"], row.get("repeat", 1))
        # Earlier versions called a part of a hit wrong.
        is_part = row["verdict"] == "wrong" and 0 < row["hit"] < 1
        verdict: Verdict = "partial" if is_part else row["verdict"]
        found[cell] = Grade(row["bench"], row["index"], verdict, row["hit"], row["label"], row["stage"])
    return found


class _GradeFields(TypedDict):
    bench: str
    index: Index
    level: str
    corruption: str | None
    verdict: Verdict
    hit: float
    label: str | None
    stage: str


class _GradeRecord(_GradeFields, total=False):
    repeat: int


def write_regraded(regraded: Regraded) -> tuple[Path, Path]:
    """Write `grades-<rules>.jsonl` and `score-<rules>.json` into the run's folder; returns their paths."""
    name = regraded.rules.name
    prompts = _prompts(regraded)
    if _stored_prompts(regraded.folder / f"score-{name}.json") not in (None, prompts):
        # The same judge, asked in other words: both scorings are kept.
        name += f"_{value_digest(prompts)[:8]}"
    grades = regraded.folder / f"grades-{name}.jsonl"
    scores = regraded.folder / f"score-{name}.json"
    write_lines(grades, _grade_texts(regraded))
    write_atomic(scores, json.dumps(regraded.as_dict(), indent=1, ensure_ascii=True) + "\n")
    return grades, scores


def record_judge(regraded: Regraded, *, default: bool = False) -> None:
    """Note the judge of a scoring in the run's folder, with prompts, rules and counts.

    A report then finds the rulings in the journal, whatever is installed on its machine. Does nothing
    without a judge, unless that is to be the default. Call it under the run's lock: a run in progress
    writes to the same files.
    """
    if regraded.rules.judge is None and not default:
        return
    records = [arm.score.judge_record for arm in regraded.arms]
    prompts = {prompt["id"]: dict(prompt) for record in records for prompt in record.get("prompts", ())}
    sampling = {(tuple(record["temperatures"]), record["max_tokens"]): None for record in records if record}
    note = {
        "id": regraded.rules.judge or "",
        "prompts": [prompts[name] for name in sorted(prompts)],
        "comparable": regraded.comparable,
        "sampling": [{"temperatures": list(t), "max_tokens": most} for t, most in sampling],
        **_not_taken(records),
        "rules": {k: v for k, v in asdict(regraded.rules).items() if k != "judge"},
        "judged": sum(arm.score.counts["judged"] for arm in regraded.arms),
        "judge_failed": sum(arm.score.counts["judge_failed"] for arm in regraded.arms),
    }
    own = _is_own(regraded.folder, regraded.rules)
    record_scoring(regraded.folder, note, regraded.heads, own_rules=own, default=default)


def _not_taken(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of a protocol that its judge does not take, and what it was sent instead."""
    found: dict[str, Any] = {}
    for record in records:
        if "not_taken" in record:
            found["not_taken"] = sorted({*found.get("not_taken", ()), *record["not_taken"]})
        if "sent" in record:
            found["sent"] = {**found.get("sent", {}), **record["sent"]}
    return found


def _is_own(folder: Path, rules: Rules) -> bool:
    """True if the rules are those of the run itself, with a judge or without."""
    plan = read_plan(folder)
    own = Rules(get_protocol(plan.protocol).name, plan.extraction)
    protocol = get_protocol(rules.protocol or plan.protocol).name
    return own == Rules(protocol, rules.extraction or plan.extraction, rules.io, rules.on_unresolved)


def _prompts(regraded: Regraded) -> list[Any]:
    records = [arm.score.judge_record for arm in regraded.arms]
    found = {head["id"]: head["sha256"] for record in records for head in record.get("prompts", ())}
    return [list(item) for item in sorted(found.items())]


def _stored_prompts(path: Path) -> list[Any] | None:
    """The prompts of a file of scores; None if there is no such file or it holds no judge's scores."""
    try:
        scores = parse_json(path.read_bytes())
        check_shape(scores, _ScoresRecord)
    except (OSError, ValueError):
        return None
    heads = [head for arm in scores["arms"] for head in arm["judge_record"].get("prompts", ())]
    return [list(item) for item in sorted({head["id"]: head["sha256"] for head in heads}.items())] or None


class _PromptRecord(TypedDict):
    id: str
    sha256: str


class _JudgeRecord(TypedDict, total=False):
    prompts: list[_PromptRecord]


class _ArmRecord(TypedDict):
    judge_record: _JudgeRecord


class _ScoresRecord(TypedDict):
    arms: list[_ArmRecord]


def _changes(arms: Iterable[GradedArm], earlier: _Earlier) -> Iterator[RowChange]:
    for cell, after in grades_by_cell(arms).items():
        before = earlier.get(cell)
        if before is not None and _decided(before) != _decided(after):
            yield RowChange(cell, before, after)


def _decided(grade: Grade) -> tuple[str, float, str | None]:
    return grade.verdict, grade.hit, grade.label


def _arm_dict(scored: GradedArm) -> dict[str, Any]:
    record = scored.score.as_dict()
    del record["grades"], record["group_hits"]
    return {"level": scored.arm.level, "corruption": scored.arm.corruption, **repeated(scored.arm), **record}


def _change_dict(change: RowChange) -> dict[str, Any]:
    return {**change.cell.as_dict(), "before": _ruling(change.before), "after": _ruling(change.after)}


def _ruling(grade: Grade) -> dict[str, Any]:
    return {"verdict": grade.verdict, "hit": grade.hit, "label": grade.label, "stage": grade.stage}


def _grade_texts(regraded: Regraded) -> Iterator[str]:
    for scored in regraded.arms:
        for grade in scored.score.grades:
            cell = scored.arm.cells[grade.index].as_dict()
            row = {**cell, **_ruling(grade), "details": dict(grade.details)}
            yield json.dumps(row, ensure_ascii=True)
