"""Corruption errors against a reference run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmdbench.corruptions.spec import Spec
from mmdbench.report.scores import Breakdown, LevelRow, degraded_levels, why_no_difference
from mmdbench.report.tables.table import Column, Row, Table, Value

__all__ = ["mce_table"]


def mce_table(part: Breakdown, runs: Sequence[str], spec: Spec) -> Table | None:
    """Corruption errors (CE): errors by corruption as a share of the reference's, and their mean.

    CE = Σ errors over levels / Σ the reference's; relative CE takes drops in the place of errors.
    Source: D. Hendrycks and T. Dietterich, arXiv 1903.12261, section 4.

    Args:
        part: The rows of the corruptions.
        runs: The labels of runs and published results, the reference first.
        spec: The corruptions and their categories.

    Returns:
        The table, in percent; None without a second run, or if the reference has no corruption.
    """
    rows = {(row.run, row.id): row for row in part.rows}
    body = []
    reasons: dict[str, None] = {}
    for name in spec.corruptions:
        base = rows.get((runs[0], name))
        if base is not None:
            values: list[Value | None] = []
            for run in runs[1:]:
                row = rows.get((run, name))
                why = _why_not(row, base) if row else ""
                reasons.update({why: None} if why else {})
                values += [None, None] if row is None or why else _ratios(row, base)
            body.append(Row((name,), tuple(values), section=spec.corruptions[name].category))
    if len(runs) < 2 or not body:
        return None
    means = []
    for place in range(2 * len(runs) - 2):
        known = [row.values[place] for row in body]
        numbers = [v.value for v in known if v is not None and not isinstance(v.value, str)]
        means.append(Value(math.fsum(numbers) / len(numbers)) if len(numbers) == len(known) else None)
    body.append(Row(("mean (mCE)",), tuple(means), summary=True))
    columns = tuple(
        Column(f"{name} {run}", "%", difference=True, rests_on=(run, runs[0]))
        for run in runs[1:]
        for name in ("CE", "relative CE")
    )
    levels = dict.fromkeys(level for row in part.rows if row.run == runs[0] for level in row.scores)
    summed = degraded_levels(levels)
    caption = (
        f"Reference: {runs[0]}. Errors are summed over {', '.join(summed)}; below 100 % is better than it."
    ) + "".join(f" It is – where {why}." for why in reasons)
    return Table(
        "mce", "Corruption error against a reference", ("Corruption",), columns, tuple(body), caption
    )


def _why_not(row: LevelRow, base: LevelRow) -> str:
    reasons = (why_no_difference(row, base, level) for level in degraded_levels(base.scores))
    return next(filter(None, reasons), "")


def _ratios(row: LevelRow, base: LevelRow) -> list[Value | None]:
    levels = degraded_levels(base.scores)
    errors = [math.fsum(100 - r.scores[lv].value for lv in levels) for r in (row, base)]
    found: list[Value | None] = [Value(100 * errors[0] / errors[1]) if levels and errors[1] else None]
    if not all(lv in r.drops for r in (row, base) for lv in levels):
        return [*found, None]
    drops = [math.fsum(r.drops[lv].value for lv in levels) for r in (row, base)]
    return [*found, Value(100 * drops[0] / drops[1]) if drops[1] > 0 else None]
