"""MM-Vet: open answers that a judge grades 0..1, by capability."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from mmdbench.records import Grade, Index, Verdict
from mmdbench.scoring.families.plain import UNFINISHED_THOUGHT
from mmdbench.scoring.families.prompts import column_prompt
from mmdbench.scoring.family import Family, Grading, Metric
from mmdbench.scoring.judging.session import JudgeSession, Ruling
from mmdbench.scoring.sheet import Sheet, SheetRow, Totals
from mmdbench.scoring.tables import mean, percent

__all__ = ["CAPABILITIES", "MMVET", "Rule", "grade_by_judge"]

CAPABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")

_OVERALL = Metric("overall", "MM-Vet score")


Rule = Callable[[JudgeSession, SheetRow], Ruling[float]]
"""The calls of a judge about one answer, and the decision that follows from them."""


def grade_by_judge(
    sheet: Sheet, session: JudgeSession | None, rule: Rule = JudgeSession.correctness
) -> dict[Index, Grade]:
    """Let the judge grade every answer, in the order of the file.

    Args:
        sheet: The rows.
        session: The judge at work on the benchmark; without one all rows stay unresolved.
        rule: The calls about one answer and what follows from them; by default those of MM-Vet.

    Returns:
        The grades by index.
    """
    return {row.index: _grade(sheet, row, session, rule) for row in sheet.rows}


def _grade(sheet: Sheet, row: SheetRow, session: JudgeSession | None, rule: Rule) -> Grade:
    if row.status in ("error", "missing", "empty"):
        return Grade(sheet.bench, row.index, "unresolved", 0.0, None, row.status)
    if row.status == "refused":
        return Grade(sheet.bench, row.index, "wrong", 0.0, None, "refused")
    if row.ending == "thought":
        return Grade(sheet.bench, row.index, "unresolved", 0.0, None, UNFINISHED_THOUGHT)
    if session is None:
        return Grade(sheet.bench, row.index, "unresolved", 0.0, None, "no_judge")
    ruling = rule(session, row)
    replies = [{"status": reply.status, "text": reply.text} for reply in ruling.attempts]
    hit = ruling.value or 0.0
    return Grade(sheet.bench, row.index, _verdict(ruling.value), hit, None, ruling.stage, {"judge": replies})


def _verdict(value: float | None) -> Verdict:
    if value is None:
        return "unresolved"
    return "correct" if value == 1.0 else "partial" if value else "wrong"


def _total(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
    """Overall (100 × mean), capabilities as VLMEvalKit counts them, and `capabilities_fixed`.

    VLMEvalKit counts a sample whose category is exactly one capability twice in that capability.
    """
    counted: dict[str, list[float]] = {}
    fixed: dict[str, list[float]] = {name: [] for name in CAPABILITIES}
    order: dict[str, None] = {}
    for row in sheet.rows:
        category, hit = row.cells.get("category", ""), hits[row.index]
        fine = category.replace(",", "_")
        order[fine] = None
        for name in (name for name in CAPABILITIES if name in category):
            fixed[name].append(hit)
            counted.setdefault(name, []).append(hit)
        counted.setdefault(fine, []).append(hit)
    counted["Overall"] = [hits[row.index] for row in sheet.rows]
    flat = [_record(name, counted) for name in (*CAPABILITIES, "Overall")]
    overall = percent(mean(counted["Overall"]))
    metrics: dict[str, Any] = {
        _OVERALL.key: overall,
        "capabilities": {record["Category"]: record["acc"] for record in flat[:-1]},
        "capabilities_fixed": {name: percent(mean(values)) for name, values in fixed.items()},
        "fine": [_record(name, counted) for name in (*order, "Overall")],
    }
    table = {
        "all": {"n": len(sheet.rows), "accuracy": overall},
        "capability": {n: {"n": len(v), "accuracy": percent(mean(v))} for n, v in fixed.items()},
    }
    return Totals(overall, _OVERALL.key, metrics, flat, table)


def _record(name: str, counted: Mapping[str, list[float]]) -> dict[str, Any]:
    values = counted.get(name, [])
    return {"Category": name, "tot": len(values), "acc": percent(mean(values))}


def _recognise(columns: Collection[str], indices: Sequence[Index]) -> str:
    del indices
    options = any(len(c) == 1 and "A" <= c <= "Z" for c in columns)
    answers = "answer" in columns and "category" in columns
    return "it has answers and categories but no options" if answers and not options else ""


MMVET = Family(
    "mmvet",
    prompt=column_prompt("question"),
    metrics=(_OVERALL,),
    # VLMEvalKit takes the right letters from the TSV file, yet MM-Vet's ground truth from the spreadsheet.
    grading=Grading(grade_by_judge, _total, judged=True, truth_from_spreadsheet=True),
    prompt_summary="the question, unchanged",
    grading_summary="a judge compares with the answer, 0 to 1 for each reply; "
    "without a judge it is not scored",
    recognise=_recognise,
    selectable=True,
)
