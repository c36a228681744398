"""Files of a report in the run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mmdbench.report.render.csv_parquet import as_csv
from mmdbench.report.render.latex import latex
from mmdbench.report.render.markdown import markdown
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import chosen
from mmdbench.results.arms import repeated
from mmdbench.results.graded_run import RunResults
from mmdbench.run.json_lines import write_lines
from mmdbench.system.files import write_atomic
from mmdbench.system.printable import json_text

__all__ = ["as_json", "write_report"]

_GRADES = "grades.jsonl"


def as_json(tables: Tables, keys: Sequence[str] = ()) -> str:
    """The tables of the given keys (see `chosen`) as JSON, unrounded."""
    kept = replace(tables, tables=tuple(chosen(tables.tables, keys)))
    return json_text(kept.as_dict(), indent=1) + "\n"


def write_report(folder: Path, results: RunResults, tables: Tables) -> tuple[Path, ...]:
    """Write `report.md`, `tables.json`, `tables.csv`, `tables.tex` and `grades.jsonl`.

    They depend on the replies alone: an interrupted and resumed run writes the same bytes as one that
    was not interrupted, except for the times of its replies.

    Args:
        folder: The folder to write to.
        results: The graded run.
        tables: Its tables.

    Returns:
        The paths of the files.
    """
    files = {
        "report.md": markdown(tables),
        "tables.json": as_json(tables),
        "tables.csv": as_csv(tables),
        "tables.tex": latex(tables),
    }
    for name, text in files.items():
        write_atomic(folder / name, text)
    write_lines(folder / _GRADES, _grade_texts(results))
    return tuple(folder / name for name in (*files, _GRADES))


def _grade_texts(results: RunResults) -> Iterator[str]:
    grades: dict[tuple[object, ...], str] = {}  # half a million rows have a few hundred of them
    for arm in results.arms:
        begin = json_text({"bench": arm.bench})[:-1]
        place = json_text({"level": arm.level, "corruption": arm.corruption, **repeated(arm.arm)})[1:-1]
        for grade in arm.score.grades:
            made = (grade.verdict, grade.hit, grade.label, grade.stage)
            end = grades.get(made)
            if end is None:
                names = ("verdict", "hit", "label", "stage")
                end = grades[made] = json_text(dict(zip(names, made, strict=True)))[1:]
            index = json_text(grade.index) if isinstance(grade.index, str) else grade.index
            yield f'{begin}, "index": {index}, {place}, {end}'
