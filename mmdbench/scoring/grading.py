"""Scoring: from replies to one `Score`, with the grade of every row and the stage that decided it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from msgspec import structs

from mmdbench.errors import ModelError, UnknownNameError
from mmdbench.records import BenchData, Grade, Index
from mmdbench.scoring.extraction import EXTRACTIONS
from mmdbench.scoring.families import FAMILIES, get_family
from mmdbench.scoring.families.plain import UNFINISHED_THOUGHT
from mmdbench.scoring.family import Family, Grading
from mmdbench.scoring.inference import FAIL_MARKER, REFUSED
from mmdbench.scoring.judging.calls import Judge
from mmdbench.scoring.judging.heads import load_heads
from mmdbench.scoring.judging.prompts import JudgeHeads
from mmdbench.scoring.judging.session import MCQ_SAMPLING, OPEN_ANSWER_TEMPERATURES, JudgeSession
from mmdbench.scoring.protocols import Rules, get_protocol
from mmdbench.scoring.sheet import ANSWERED, Sheet, SheetRow, build_sheet

__all__ = ["Score", "score"]

_ASKED = ("judge", "judge_failed", "judge_error", "judge_random")
_WARN_UNRESOLVED = 0.02
_MOST_JUDGE_FAILURES = 0.05


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one benchmark's replies, and the rules by which they were graded.

    `headline`, `metrics`, `table` and `upper_bound` are 0..100; `vlmevalkit_table` holds VLMEvalKit's
    own flat records in its own units (0..1, MM-Vet 0..100). `metric` is the label of the headline,
    `metric_key` its name in `metrics`. `headline` is None where the metric does not exist (MMVP without
    pairs, MM-Vet without a judge) or a judge settled no row; `warnings` give the reason.
    `judge` is the judge's id, `judge_record` its prompts and sampling. `group_hits` is per circular group,
    by main index.

    `counts`: planned, answered; before the judge resolved, refused, unresolved; then judged and
    judge_failed; truncated, empty, missing, error and inference_failed. They may overlap.
    `upper_bound` is the headline if every row left unresolved, with a reply, were right.
    """

    bench: str
    family: str
    protocol: str
    judge: str | None
    judge_record: Mapping[str, Any]
    headline: float | None
    metric: str
    metric_key: str
    metrics: Mapping[str, Any]
    vlmevalkit_table: list[dict[str, Any]]
    table: Mapping[str, Any]
    grades: tuple[Grade, ...]
    group_hits: Mapping[Index, int]
    counts: Mapping[str, int]
    upper_bound: float | None
    warnings: tuple[str, ...]
    io: str = "literal"
    extraction: str = "sane"
    partial: bool = False
    on_unresolved: str = "miss"

    @property
    def judge_problem(self) -> str:
        """The reason why its judge makes the score unreliable; empty if there is none."""
        return _judge_problem(self.judge, self.counts, settled=self.headline is not None)

    def as_dict(self) -> dict[str, Any]:
        """The score as a JSON-able dict; `group_hits` becomes a list of pairs."""
        record = asdict(self)
        del record["metric_key"]  # score files are older than it
        record["grades"] = [structs.asdict(grade) for grade in self.grades]
        record["group_hits"] = [list(item) for item in self.group_hits.items()]
        return record


def score(
    bench: BenchData,
    replies: Mapping[Index, Any],
    rules: Rules = Rules(),  # noqa: B008 - a frozen value
    *,
    judge: Judge | None = None,
    heads: JudgeHeads | None = None,
    partial: bool = False,
) -> Score:
    """Grade replies by the rules of a protocol; the model under test is never called.

    Args:
        bench: The benchmark. Every question counts: one without a reply, or whose call failed, is a miss.
        replies: Texts, or anything with `.text` and `.status`, by the index of their question.
        rules: Protocol, answer extraction, io mode, and what becomes of rows that a judge cannot resolve.
        judge: A model that is asked about unresolved rows and open answers.
        heads: The beginnings of the judge's prompts; by default those that `load_heads()` finds.
        partial: Score only rows with a reply, as VLMEvalKit does.

    Returns:
        The score, with a grade for each row.

    Raises:
        UnknownNameError: There is no such protocol, family, extraction, io mode or way with unresolved rows.
        DataError: A reply belongs to no question, or an index occurs twice.
        UsageError: A reply has neither text nor status.
        MissingExtraError: The io mode `compat` needs packages that are not installed.
        ModelError: The judge could not be reached even once.
    """
    protocol = get_protocol(rules.protocol)
    family = get_family(bench.family).under(protocol.name)
    grading = _grading_of(family)
    _check("answer extraction", rules.extraction, EXTRACTIONS)
    _check("io mode", rules.io, ("literal", "compat"))
    _check("way with unresolved rows", rules.on_unresolved, ("miss", "random"))
    sheet = build_sheet(bench, replies, protocol, rules.extraction, partial=partial)
    if rules.io == "compat":
        from mmdbench.scoring.compat import compat_sheet

        sheet = compat_sheet(bench, sheet, grading)
    session = None
    if judge is not None:
        session = JudgeSession(
            judge, heads or load_heads(), protocol, bench.name, rules.on_unresolved, rules.seed
        )
    grades = grading.grade(sheet, session)
    if session and session.failed and not session.answered:
        raise ModelError(
            f"{bench.name}: the judge {session.judge.id} answered none of {session.failed} rows"
            f"{': ' if session.last_error else ''}{session.last_error.removesuffix('.')}.",
            hint="Check its address and key, or score without a judge.",
        )
    return replace(
        _sum_up(family, sheet, grades, session),
        io=rules.io,
        extraction=rules.extraction,
        partial=partial,
        on_unresolved=rules.on_unresolved,
    )


def _grading_of(family: Family) -> Grading:
    if family.grading is None:
        graded = [name for name, known in FAMILIES.items() if known.grading]
        raise UnknownNameError("benchmark family with a grader", family.name, graded)
    return family.grading


def _sum_up(
    family: Family, sheet: Sheet, grades: Mapping[Index, Grade], session: JudgeSession | None
) -> Score:
    grading = _grading_of(family)
    hits, best = {index: grade.hit for index, grade in grades.items()}, _best_case(sheet, grades)
    totals = grading.total(sheet, hits)
    counts = _count(sheet, grades, grading)
    scored = _is_settled(grades.values(), grading, session)
    judge = session.judge.id if session else None
    unfinished = sum(grade.stage == UNFINISHED_THOUGHT for grade in grades.values())
    readable = {**counts, "unresolved": counts["unresolved"] - unfinished}  # no judge settles a thought
    return Score(
        bench=sheet.bench,
        family=family.name,
        protocol=sheet.rules.name,
        judge=judge,
        judge_record=_judge_record(session, grading) if session else {},
        headline=totals.headline if scored else None,
        metric=family.metric(totals.metric).label,
        metric_key=totals.metric,
        metrics=totals.metrics if scored else {},
        vlmevalkit_table=totals.flat if scored else [],
        table=totals.table if scored else {},
        grades=tuple(grades[row.index] for row in sheet.rows),
        group_hits=totals.group_hits,
        counts=counts,
        upper_bound=totals.headline if best == hits else grading.total(sheet, best).headline,
        warnings=totals.warnings
        + _truth_warnings(sheet, grading)
        + _warnings(sheet.bench, readable, session, scored=scored),
    )


def _is_settled(grades: Collection[Grade], grading: Grading, session: JudgeSession | None) -> bool:
    """True unless a judge is needed and missing, or was asked and no row is settled by it or by the rules."""
    if session is None:
        return not grading.judged
    # Rows without an answer are settled by nothing; a refusal settles its row unless all need a judge.
    failed = any(grade.stage in ("judge_failed", "judge_error") for grade in grades)
    by_rules = not grading.judged and any(grade.verdict != "unresolved" for grade in grades)
    return not failed or by_rules or any(grade.stage == "judge" for grade in grades)


def _judge_problem(judge: str | None, counts: Mapping[str, int], *, settled: bool) -> str:
    failed, planned = counts.get("judge_failed", 0), counts["planned"]
    if not failed or (settled and failed <= _MOST_JUDGE_FAILURES * planned):
        return ""
    if not counts["judged"]:
        return f"the judge {judge} settled none of the {failed} rows that it was asked about"
    return (
        f"the judge {judge} could not settle {failed} of {planned} rows, more than {_MOST_JUDGE_FAILURES:.0%}"
    )


def _check(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UnknownNameError(kind, name, known)


def _best_case(sheet: Sheet, grades: Mapping[Index, Grade]) -> dict[Index, float]:
    return {
        row.index: 1.0 if _left_open(row, grades[row.index]) else grades[row.index].hit for row in sheet.rows
    }


def _left_open(row: SheetRow, grade: Grade) -> bool:
    # A random pick decides nothing, so its row is as open as before.
    return row.status in ANSWERED and (grade.verdict == "unresolved" or grade.stage == "judge_random")


def _count(sheet: Sheet, grades: Mapping[Index, Grade], grading: Grading) -> dict[str, int]:
    pairs = [(row, grades[row.index]) for row in sheet.rows]
    asked = [grade for _, grade in pairs if grade.stage in _ASKED]
    by_rules = [grade for row, grade in pairs if row.status in ANSWERED and grade.stage not in _ASKED]
    # Only rules can leave a row unresolved before the judge, and a judged family has none.
    open_before_judge = 0 if grading.judged else len(asked)
    return {
        "planned": len(pairs),
        "answered": sum(row.status in ANSWERED for row, _ in pairs),
        "resolved": sum(grade.label not in (None, REFUSED) for grade in by_rules),
        "refused": sum(grade.label == REFUSED or grade.stage == "refused" for grade in by_rules),
        "unresolved": open_before_judge + sum(grade.verdict == "unresolved" for grade in by_rules),
        "judged": sum(grade.stage == "judge" for grade in asked),
        "judge_failed": sum(grade.stage != "judge" for grade in asked),
        "truncated": sum(row.truncated for row, _ in pairs),
        "missing": sum(row.status == "missing" for row, _ in pairs),
        "error": sum(row.status == "error" for row, _ in pairs),
        "empty": sum(
            row.status == "empty" or (row.status == "ok" and not row.prediction.strip()) for row, _ in pairs
        ),
        "inference_failed": sum(FAIL_MARKER in row.prediction for row, _ in pairs),
    }


def _judge_record(session: JudgeSession, grading: Grading) -> dict[str, Any]:
    unasked = (OPEN_ANSWER_TEMPERATURES, session.rules.mmvet_max_tokens) if grading.judged else MCQ_SAMPLING
    sampling = session.sampling or unasked
    return {
        "id": session.judge.id,
        "prompts": [head.as_dict() for _, head in sorted(session.used_heads.items())],
        "temperatures": list(sampling[0]),
        "max_tokens": sampling[1],
        **({"not_taken": sorted(session.not_taken)} if session.not_taken else {}),
        **({"sent": dict(sorted(session.sent.items()))} if session.sent else {}),
        "comparable": all(head.comparable for head in session.used_heads.values()),
    }


def _truth_warnings(sheet: Sheet, grading: Grading) -> tuple[str, ...]:
    """Warnings about right answers that no reply can name."""
    if grading.judged:
        return ()
    count = sum(bool(row.options) and row.answer not in row.options for row in sheet.rows)
    what = (
        f"{sheet.bench}: the right answer of {count} rows is no option of theirs; any reply to them is wrong."
    )
    return (what,) if count else ()


def _warnings(
    bench: str, counts: Mapping[str, int], session: JudgeSession | None, *, scored: bool
) -> tuple[str, ...]:
    found = []
    if not scored and session is None:
        found.append(f"{bench} is graded by a judge and none was given: it is not scored.")
    elif session is None and counts["unresolved"] > _WARN_UNRESOLVED * counts["planned"]:
        found.append(
            f"{bench}: {counts['unresolved']} of {counts['planned']} replies name no option that "
            "the rules can read; the letter rules, not the model, may drive this number. "
            "A judge would settle them."
        )
    if session is not None:
        own = [head.id for head in session.used_heads.values() if not head.comparable]
        if own:
            found.append(
                f"{bench}: the judge was asked in our own words ({', '.join(sorted(own))}); "
                "these numbers are not comparable with published ones."
            )
        problem = _judge_problem(session.judge.id, counts, settled=scored)
        if problem:
            outcome = "they count as misses, and marked drops rest on them" if scored else "there is no score"
            found.append(f"{bench}: INCOMPLETE JUDGING: {problem}; {outcome}.")
        elif counts["judge_failed"]:
            found.append(f"{bench}: the judge could not settle {counts['judge_failed']} rows.")
    return tuple(found)
