"""MM-Vet: open answers that a judge grades 0..1, by capability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdbench.records import Grade, Index, Verdict
from mmdbench.scoring.judging.session import JudgeSession
from mmdbench.scoring.rows import Row, Sheet, Totals
from mmdbench.scoring.tables import mean, percent

__all__ = ["CAPABILITIES", "grade_mmvet", "total_mmvet"]

CAPABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")


def grade_mmvet(sheet: Sheet, session: JudgeSession | None) -> dict[Index, Grade]:
    """Let the judge grade every answer, in the order of the file; without a judge nothing is graded."""
    return {row.index: _grade(sheet, row, session) for row in sheet.rows}


def _grade(sheet: Sheet, row: Row, session: JudgeSession | None) -> Grade:
    if row.status in ("error", "missing", "empty"):
        return Grade(sheet.bench, row.index, "unresolved", 0.0, None, row.status)
    if row.status == "refused":
        return Grade(sheet.bench, row.index, "wrong", 0.0, None, "refused")
    if session is None:
        return Grade(sheet.bench, row.index, "unresolved", 0.0, None, "no_judge")
    ruling = session.correctness(row)
    replies = [{"status": reply.status, "text": reply.text} for reply in ruling.attempts]
    hit = ruling.value or 0.0
    verdict: Verdict = "unresolved" if ruling.value is None else "correct" if hit == 1.0 else "wrong"
    return Grade(sheet.bench, row.index, verdict, hit, None, ruling.stage, {"judge": replies})


def total_mmvet(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
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
        "overall": overall,
        "capabilities": {record["Category"]: record["acc"] for record in flat[:-1]},
        "capabilities_fixed": {name: percent(mean(values)) for name, values in fixed.items()},
        "fine": [_record(name, counted) for name in (*order, "Overall")],
    }
    table = {
        "all": {"n": len(sheet.rows), "accuracy": overall},
        "capability": {n: {"n": len(v), "accuracy": percent(mean(v))} for n, v in fixed.items()},
    }
    return Totals(overall, "MM-Vet score", metrics, flat, table)


def _record(name: str, counted: Mapping[str, list[float]]) -> dict[str, Any]:
    values = counted.get(name, [])
    return {"Category": name, "tot": len(values), "acc": percent(mean(values))}
