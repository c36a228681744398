"""Circular evaluation: a question counts only if every rotation of its options is answered right."""

from __future__ import annotations

from collections.abc import Mapping

from mmdbench.errors import DataError
from mmdbench.records import Grade, Index
from mmdbench.scoring.families.plain import grade_by_rules, judge_row, may_be_judged
from mmdbench.scoring.judging.session import JudgeSession
from mmdbench.scoring.rows import Row, Sheet, Totals
from mmdbench.scoring.tables import flat_table, mean, nested_table, percent

__all__ = ["grade_circular", "group_rows", "main_index", "total_circular"]

_ROTATION_STEP = 1_000_000


def main_index(sheet: Sheet, row: Row) -> int:
    """The index of the row that a rotation belongs to. Raises DataError if there is none."""
    try:
        if "g_index" in sheet.columns:
            return int(float(row.cells["g_index"]))
        return int(row.index) % _ROTATION_STEP
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{sheet.bench}, index {row.index!r}: circular evaluation needs integer indices"
            + (" and a g_index in every row." if "g_index" in sheet.columns else "."),
            hint="Is this a circular benchmark (MMBench)?",
        ) from error


def group_rows(sheet: Sheet) -> tuple[dict[int, list[Row]], int]:
    """Groups by main index, in the order of the index, and how many had no main row and are left out."""
    groups: dict[int, list[Row]] = {}
    for row in sheet.by_index():
        groups.setdefault(main_index(sheet, row), []).append(row)
    scored = {main: rows for main, rows in groups.items() if any(row.index == main for row in rows)}
    # Groups stand in the order of their main rows, as judge calls do.
    return {main: scored[main] for main in sorted(scored)}, len(groups) - len(scored)


def grade_circular(sheet: Sheet, session: JudgeSession | None) -> dict[Index, Grade]:
    """Grade all rotations by the rules; ask the judge only where a group can still be won.

    A group with a wrong rotation is lost at once, and judging one stops at its first wrong rotation.
    """
    grades = {row.index: grade_by_rules(sheet, row) for row in sheet.by_index()}
    if session is None:
        return grades
    for rows in group_rows(sheet)[0].values():
        open_rows = [row for row in rows if not grades[row.index].hit]
        if not all(may_be_judged(row, grades[row.index]) for row in open_rows):
            continue
        for row in open_rows:
            grades[row.index] = judge_row(session, row, grades[row.index])
            if not grades[row.index].hit:
                break
    return grades


def total_circular(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
    """Share of groups with every rotation right; tables go by the main rows."""
    groups, dropped = group_rows(sheet)
    group_hits: dict[Index, int] = {
        main: int(all(hits[r.index] for r in rows)) for main, rows in groups.items()
    }
    mains = [row for main, rows in groups.items() for row in rows if row.index == main]
    accuracy = percent(mean(group_hits.values()))
    warnings = (f"{dropped} groups have no main row and are not scored.",) if dropped else ()
    return Totals(
        headline=accuracy,
        metric="circular accuracy",
        metrics={
            "circular_accuracy": accuracy,
            "groups": len(groups),
            "groups_dropped": dropped,
            "row_accuracy": percent(mean(hits[row.index] for row in sheet.rows)),
        },
        flat=flat_table(mains, group_hits, sheet.columns),
        table=nested_table(mains, group_hits),
        group_hits=group_hits,
        warnings=warnings,
    )
