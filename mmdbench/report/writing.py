"""A run's report as files in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path

from mmdbench.files import write_atomic
from mmdbench.report.markdown import markdown
from mmdbench.report.results import RunResults
from mmdbench.report.tables import Tables

__all__ = ["write_report"]


def write_report(folder: Path, results: RunResults, tables: Tables) -> tuple[Path, ...]:
    """Write `report.md`, `tables.json` and `grades.jsonl`; returns their paths.

    They follow from the replies alone: an interrupted run that was finished later writes the
    same bytes as one that was not.
    """
    files = {
        "report.md": markdown(tables),
        "tables.json": json.dumps(tables.as_dict(), indent=1, ensure_ascii=False) + "\n",
        "grades.jsonl": "".join(_grade_lines(results)),
    }
    for name, text in files.items():
        write_atomic(folder / name, text)
    return tuple(folder / name for name in files)


def _grade_lines(results: RunResults) -> list[str]:
    lines = []
    for arm in results.arms:
        for grade in arm.score.grades:
            row = {
                "bench": grade.bench,
                "index": grade.index,
                "level": arm.level,
                "corruption": arm.corruption,
                "verdict": grade.verdict,
                "hit": grade.hit,
                "label": grade.label,
                "stage": grade.stage,
            }
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return lines
