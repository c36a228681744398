"""Accuracy against the measured quality of pictures, as curves for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmdbench.results.graded_run import RunResults
from mmdbench.results.quality.measure import BETTER, QualityBin, accuracy_by_quality, read_quality

__all__ = ["QualityCurve", "quality_curves"]


@dataclass(frozen=True, slots=True)
class QualityCurve:
    """The curve of one run and one metric; `better` is the better end: lower, higher, or empty if unknown."""

    run: str
    metric: str
    better: str
    bins: tuple[QualityBin, ...]


def quality_curves(runs: Sequence[RunResults]) -> list[QualityCurve]:
    """A curve for each metric of each run that has a `quality.json`."""
    found = []
    for run in runs:
        record = read_quality(run.folder)
        for metric in record.get("metrics", ()):
            rows = _rows(run, record, metric)
            if rows:
                found.append(
                    QualityCurve(run.name, metric, BETTER.get(metric, ""), accuracy_by_quality(rows))
                )
    return found


def _rows(run: RunResults, record: Mapping[str, Any], metric: str) -> list[tuple[Any, float, float]]:
    known = {
        i["pixels"]: float(i[metric])
        for i in record.get("images", ())
        if i.get(metric) is not None and "pixels" in i
    }
    rows = []
    for cell, grade in run.grades.items():
        reply = run.replies.get(cell)
        values = [known.get(image.get("pixels", "")) for image in reply.images] if reply is not None else []
        numbers = [value for value in values if value is not None]
        if numbers and len(numbers) == len(values):
            rows.append(((cell.bench, cell.index), sum(numbers) / len(numbers), grade.hit))
    return rows
