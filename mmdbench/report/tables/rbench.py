"""R-Bench by task and strength, with its overall score."""

from __future__ import annotations

from collections.abc import Sequence

from mmdbench.benches.rbench import STRENGTHS, TASKS, strength_of
from mmdbench.records import UNALTERED, Index
from mmdbench.report.question_series import make_series
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.graded_run import RunResults, UnitHit
from mmdbench.run.plan import read_questions
from mmdbench.stats import Estimate, mean_score, proportion

__all__ = ["rbench_table"]

_CAPTION = (
    "Shares of 1 with 95 % intervals. A task is the unweighted mean over its strengths (over "
    "rows that tell none only if no row tells), overall that over "
    "the three tasks; it is missing unless all three are scored. VQA and CAP are judged in our own words: "
    "NOT COMPARABLE with published scores, and so is overall."
)


def rbench_table(runs: Sequence[RunResults]) -> Table:
    """Scores of tasks × strengths, for the runs that asked R-Bench."""
    body = [row for run in runs for row in _rows(run)]
    columns = (
        Column("n", "count", 0),
        *(Column(name, "share", 4) for name in (*STRENGTHS, "not told", "mean")),
    )
    return Table("rbench", "R-Bench", ("Model", "Task"), columns, tuple(body), _CAPTION, model_at=0)


def _rows(run: RunResults) -> list[Row]:
    names = {f"R-Bench-{task.upper()}" for task in TASKS}
    hits = [hit for hit in run.hits if hit.bench in names and hit.level == UNALTERED]
    if not hits or run.folder is None:
        return []
    strengths = _strengths(run)
    body, means, asked = [], [], 0
    for task in TASKS:
        name = f"R-Bench-{task.upper()}"
        mine = [hit for hit in hits if hit.bench == name]
        if not mine:
            continue
        parts = {
            key: _share([h for h in mine if strengths.get((h.bench, h.unit), "") == key])
            for key in (*STRENGTHS, "")
        }
        told = [estimate for key in STRENGTHS if (estimate := parts[key]) is not None]
        mean = mean_score(told or [estimate for estimate in parts.values() if estimate is not None])
        assert mean is not None
        means.append(mean)
        asked += len(mine)
        values = tuple(value_of(parts[key]) for key in (*STRENGTHS, ""))
        body.append(
            Row((run.name, task.upper()), (Value(len(mine)), *values, value_of(mean)), section=run.name)
        )
    overall = mean_score(means) if len(means) == len(TASKS) else None
    row = (Value(asked), None, None, None, None, value_of(overall))
    return [*body, Row((run.name, "overall"), row, summary=True, section=run.name)]


def _strengths(run: RunResults) -> dict[tuple[str, Index], str]:
    assert run.folder is not None
    return {
        (bench.name, question.index): strength_of(question)
        for bench in read_questions(run.folder)
        for question in bench.questions
    }


def _share(hits: Sequence[UnitHit]) -> Estimate | None:
    if not hits:
        return None
    series = make_series(hits, apart=False)
    return proportion(series.at.values, residuals=series.at.residuals)
