"""R-Bench's published scores, as their papers print them: task by strength, and overall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmdbench.report.rbench_scores import CELLS
from mmdbench.report.tables.table import Column, Row, Table, Value

__all__ = ["published_rbench_table"]

_CAPTION = (
    "Shares of 1, digit for digit. The overall score of R-Bench's own rows is the mean over their 1,485 "
    "questions, that of Robust-R1's the plain mean of the nine cells, cut to four decimals. A relative score "
    "is the absolute one on the reference picture times the agreement with the model's own answer there."
)


def published_rbench_table(published: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    """The nine cells and the overall score of published results, absolute and relative.

    `published` holds the scores of each result by its label and their kind, as `PublishedRows.rbench` does.
    """
    body = [
        Row((label, kind), tuple(map(Value, scores)), section=kind)
        for kind in ("absolute", "relative")
        for label, kinds in published.items()
        if (scores := kinds.get(kind))
    ]
    names = [*(f"{task} {strength}" for task, strength in CELLS), "overall"]
    columns = tuple(Column(name, "share", 4, intervals=False) for name in names)
    return Table(
        "rbench-published",
        "R-Bench as published",
        ("Model", "Kind"),
        columns,
        tuple(body),
        _CAPTION,
        model_at=0,
    )
