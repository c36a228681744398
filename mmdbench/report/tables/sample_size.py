"""Tables about the number of questions: the drops it can show, and estimates of whole benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmdbench.records import CLEAN, Index
from mmdbench.report.question_series import Series
from mmdbench.report.scores import run_series
from mmdbench.report.tables.headline import Rows
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.graded_run import RunResults
from mmdbench.stats import detectable_given, paired_difference, proportion, stratify

__all__ = ["detectable_table", "whole_table"]


def detectable_table(rows: Rows, levels: Sequence[str]) -> Table:
    """Precision of each drop, and the smallest drop that this many questions would show."""
    body = []
    for label, of_run in rows.items():
        for row in of_run:
            for level in (lv for lv in levels if lv in row.drops):
                drop = row.drops[level]
                found = detectable_given(drop, whole=100)
                reached = found < math.inf
                needed = Value(math.ceil(drop.n * found**2)) if reached and not row.is_average else None
                shown = Value(found) if reached else None
                values = (Value(drop.n), Value((drop.high - drop.low) / 2), shown, needed)
                body.append(Row((label, row.name, level), values, row.is_average, label))
    columns = (
        Column("n", "count", 0),
        Column("± drop", difference=True),
        Column("found", digits=1),
        Column("n to find 1 point", "count", 0),
    )
    caption = (
        "Half the 95 % interval of the drop from clean; the drop that a one-sided test at 5 % finds in 80 of "
        "100 such runs, with the flips of this one (Connor 1987); and how many questions 1 point would take."
    )
    labels = ("Model", "Benchmark", "Level")
    return Table(
        "detectable", "What this many questions can show", labels, columns, tuple(body), caption, model_at=0
    )


def whole_table(runs: Sequence[RunResults]) -> Table:
    """Estimated scores of whole benchmarks, from the strata of a sampled run.

    The intervals of other tables are for questions like these. The intervals here are for exactly the
    benchmark's questions, of which a part was asked, so they are narrower, and of width 0 if all were.
    """
    body = []
    for run in (run for run in runs if run.plan.sample):
        sizes = {record["name"]: record.get("questions", 0) for record in run.manifest.get("benches", ())}
        asked: dict[str, set[Index]] = {}
        for cell in run.cells:
            asked.setdefault(cell.bench, set()).add(cell.index)
        series = run_series(run)
        for (bench, level), after in series.items():
            rows = sizes.get(bench, 0)
            if not rows or len(asked[bench]) >= rows:
                continue
            total = round(len(after.questions) * rows / len(asked[bench]))
            before = series.get((bench, CLEAN)) if level != CLEAN else None
            before = before and before.only(after)
            values = (Value(len(after.questions)), Value(total), *_whole(before, after, total))
            body.append(Row((run.name, run.title(bench), level), values))
    columns = (
        Column("asked", "count", 0),
        Column("of", "count", 0),
        Column("score"),
        Column("drop", difference=True),
    )
    caption = "Finite population, stratified by category: the score had the whole benchmark been asked."
    labels = ("Model", "Benchmark", "Level")
    return Table(
        "whole", "Estimates of the whole benchmark", labels, columns, tuple(body), caption, model_at=0
    )


def _whole(before: Series | None, after: Series, total: int) -> tuple[Value | None, Value | None]:
    """Score and drop of a benchmark of `total` questions, of which those of the series were asked."""
    categories = dict(zip(after.hits.question.codes.tolist(), after.hits.category.values, strict=True))
    strata = [categories[question] for question in after.questions.tolist()]
    parts = stratify(after.at.residuals, strata, total)
    score = proportion(after.at.values, residuals=parts.residuals, fraction=parts.fraction)
    drop = None
    if before is not None and np.array_equal(before.questions, after.questions):
        gap = stratify(before.at.residuals - after.at.residuals, strata, total)
        drop = paired_difference(
            before.at.values, after.at.values, residuals=gap.residuals, fraction=gap.fraction
        )
    return value_of(score and score.scaled(100)), value_of(drop and drop.scaled(100))
