"""Circular evaluation: a question counts only if every rotation of its options is answered right."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from mmdbench.errors import DataError
from mmdbench.records import Grade, Index, Question
from mmdbench.scoring.families.plain import grade_by_rules, judge_row, may_be_judged
from mmdbench.scoring.families.prompts import CHOICES_SUMMARY, choices_prompt
from mmdbench.scoring.family import Family, Grading, Metric
from mmdbench.scoring.judging.session import JudgeSession
from mmdbench.scoring.sheet import Sheet, SheetRow, Totals
from mmdbench.scoring.tables import flat_table, mean, nested_table, percent

__all__ = ["CIRCULAR"]

# A rotation's index is its question's index plus a multiple of this.
_ROTATION_STEP = 1_000_000


def _unit(question: Question) -> Index:
    if "g_index" in question.fields:
        return int(question.fields["g_index"])
    return question.index % _ROTATION_STEP if isinstance(question.index, int) else question.index


def _groups(questions: Sequence[Question]) -> Iterator[Sequence[Question]]:
    groups: dict[Index, list[Question]] = {}
    for question in questions:
        groups.setdefault(_unit(question), []).append(question)
    yield from groups.values()


_ACCURACY = Metric("circular_accuracy", "circular accuracy", units=_groups)


def _main_index(sheet: Sheet, row: SheetRow) -> int:
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


def _main_rows(sheet: Sheet) -> list[SheetRow]:
    return [row for row in sheet.rows if row.index == _main_index(sheet, row)]


def _group_rows(sheet: Sheet) -> tuple[dict[int, list[SheetRow]], int]:
    """Groups by main index, and the number of groups without a main row, which are left out."""
    groups: dict[int, list[SheetRow]] = {}
    for row in sheet.by_index():
        groups.setdefault(_main_index(sheet, row), []).append(row)
    scored = {main: rows for main, rows in groups.items() if any(row.index == main for row in rows)}
    # Groups are in the order of their main rows, as judge calls are.
    return {main: scored[main] for main in sorted(scored)}, len(groups) - len(scored)


def _grade(sheet: Sheet, session: JudgeSession | None) -> dict[Index, Grade]:
    """Grade all rotations by the rules; ask the judge only where a group can still be right.

    A group with a wrong rotation is wrong, and judging one ends at its first wrong rotation.
    """
    grades = {row.index: grade_by_rules(sheet, row) for row in sheet.by_index()}
    if session is None:
        return grades
    for rows in _group_rows(sheet)[0].values():
        open_rows = [row for row in rows if not grades[row.index].hit]
        if not all(may_be_judged(row, grades[row.index]) for row in open_rows):
            continue
        for row in open_rows:
            grades[row.index] = judge_row(session, row, grades[row.index])
            if not grades[row.index].hit:
                break
    return grades


def _total(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
    """Share of groups with every rotation right; tables are made of the main rows."""
    groups, dropped = _group_rows(sheet)
    group_hits: dict[Index, int] = {
        main: int(all(hits[r.index] for r in rows)) for main, rows in groups.items()
    }
    mains = [row for main, rows in groups.items() for row in rows if row.index == main]
    accuracy = percent(mean(group_hits.values()))
    warnings = (f"{dropped} groups have no main row and are not scored.",) if dropped else ()
    return Totals(
        headline=accuracy,
        metric=_ACCURACY.key,
        metrics={
            _ACCURACY.key: accuracy,
            "groups": len(groups),
            "groups_dropped": dropped,
            "row_accuracy": percent(mean(hits[row.index] for row in sheet.rows)),
        },
        flat=flat_table(mains, group_hits, sheet.columns),
        table=nested_table(mains, group_hits),
        group_hits=group_hits,
        warnings=warnings,
    )


def _recognise(columns: Collection[str], indices: Sequence[Index]) -> str:
    if "g_index" in columns:
        return "it has a column 'g_index'"
    known = set(indices)
    for index in indices:
        if isinstance(index, int) and index >= _ROTATION_STEP and index % _ROTATION_STEP in known:
            return f"index {index} is a rotation of index {index % _ROTATION_STEP}"
    return ""


CIRCULAR = Family(
    "circular",
    prompt=choices_prompt,
    metrics=(_ACCURACY,),
    # VLMEvalKit opens a circular benchmark's file, makes its index integers, and saves it again.
    grading=Grading(_grade, _total, spreadsheet_trips=2, table_rows=_main_rows),
    prompt_summary=CHOICES_SUMMARY,
    grading_summary="the option that a reply names; a question counts if all of its rotations are right",
    unit=_unit,
    recognise=_recognise,
    selectable=True,
)
