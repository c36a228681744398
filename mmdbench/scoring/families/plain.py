"""Plain multiple choice: each row counts by itself, graded by rules and, where they fail, by a judge."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmdbench.records import Grade, Index, Verdict
from mmdbench.scoring.families.prompts import CHOICES_SUMMARY, choices_prompt
from mmdbench.scoring.family import Family, Grading, Metric
from mmdbench.scoring.inference import REFUSED, infer_option_staged
from mmdbench.scoring.judging.session import JudgeSession
from mmdbench.scoring.letters import begins_with_option, word_after
from mmdbench.scoring.sheet import Sheet, SheetRow, Totals
from mmdbench.scoring.tables import flat_table, mean, nested_table, percent

__all__ = [
    "ACCURACY",
    "CUT_OFF",
    "PLAIN",
    "UNFINISHED_THOUGHT",
    "grade_by_rules",
    "grade_plain",
    "judge_row",
    "may_be_judged",
    "total_plain",
]

UNFINISHED_THOUGHT = "unfinished_thought"
"""The stage of a reply that ends inside its thought: no answer, whatever it holds."""

CUT_OFF = "cut_off"
"""The stage of a reply that met its token limit, and whose option the rules read from unfinished text."""

ACCURACY = Metric("accuracy", "accuracy")

_NO_DETAILS: Mapping[str, Any] = {}  # of half a million grades, in one copy


def grade_plain(sheet: Sheet, session: JudgeSession | None) -> dict[Index, Grade]:
    """Grade every row by the rules and, where they fail, by the judge, in the order of the index."""
    grades: dict[Index, Grade] = {}
    for row in sheet.by_index():
        grade = grade_by_rules(sheet, row)
        if session and may_be_judged(row, grade):
            grade = judge_row(session, row, grade)
        grades[row.index] = grade
    return grades


def total_plain(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
    """Accuracy over all rows."""
    accuracy = percent(mean(hits[row.index] for row in sheet.rows))
    return Totals(
        headline=accuracy,
        metric=ACCURACY.key,
        metrics={ACCURACY.key: accuracy},
        flat=flat_table(sheet.rows, hits, sheet.columns),
        table=nested_table(sheet.rows, hits),
    )


def grade_by_rules(sheet: Sheet, row: SheetRow) -> Grade:
    """Grade a row without a judge; the status of a reply without a text decides before any rule."""
    if row.status in ("error", "missing", "empty"):
        return Grade(sheet.bench, row.index, "unresolved", 0.0, None, row.status)
    if row.status == "refused":
        return Grade(sheet.bench, row.index, "wrong", 0.0, REFUSED, "refused")
    label, stage = infer_option_staged(row.prediction, row.options, protocol=sheet.rules)
    option = row.options.get(label or "", "")
    unfinished = _unfinished(row, label, option)
    if unfinished:
        details = {"letters": label} if label else _NO_DETAILS
        return Grade(sheet.bench, row.index, "unresolved", 0.0, None, unfinished, details)
    word = word_after(row.prediction, label, option) if label and stage == "letter" else ""
    details = {"word": f"{label} {word}"} if word else _NO_DETAILS
    return Grade(sheet.bench, row.index, *_verdict(row, label), label, stage, details)


def _unfinished(row: SheetRow, label: str | None, option: str) -> str:
    if row.ending == "thought":
        return UNFINISHED_THOUGHT
    if row.ending == "cut" and label and label in row.options and label != REFUSED:
        return "" if begins_with_option(row.prediction, label, option) else CUT_OFF
    return ""


def may_be_judged(row: SheetRow, grade: Grade) -> bool:
    """True if there is a text that the rules left unresolved, and it is more than an unfinished thought."""
    unresolved = grade.verdict == "unresolved" and row.status in ("ok", "truncated")
    return unresolved and grade.stage != UNFINISHED_THOUGHT


def judge_row(session: JudgeSession, row: SheetRow, grade: Grade) -> Grade:
    """Let the judge decide a row that the rules left unresolved.

    Args:
        session: The judge at work on the benchmark.
        row: The row.
        grade: The row's grade by the rules.

    Returns:
        The judge's grade; its `details` hold the rules' stage and the judge's replies.
    """
    ruling = session.choose(row)
    replies = [{"status": reply.status, "text": reply.text} for reply in ruling.attempts]
    verdict, hit = _verdict(row, ruling.value)
    details = {"rules": grade.stage, "judge": replies}
    return Grade(grade.bench, row.index, verdict, hit, ruling.value, ruling.stage, details)


def _verdict(row: SheetRow, label: str | None) -> tuple[Verdict, float]:
    if label is None:
        return "unresolved", 0.0
    # A refusal stays one even where an option happens to be labelled Z.
    right = label == row.answer and label != REFUSED
    return ("correct", 1.0) if right else ("wrong", 0.0)


def _recognise(columns: Collection[str], indices: Sequence[Index]) -> str:
    del indices
    options = [c for c in columns if len(c) == 1 and "A" <= c <= "Z"]
    return f"it has the options {options[0]} to {options[-1]}" if options else ""


PLAIN = Family(
    "plain",
    prompt=choices_prompt,
    metrics=(ACCURACY,),
    grading=Grading(grade_plain, total_plain),
    prompt_summary=CHOICES_SUMMARY,
    grading_summary="the option that a reply names; per cent of the questions",
    recognise=_recognise,
    selectable=True,
)
