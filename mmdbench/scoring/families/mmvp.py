"""MMVP: plain accuracy, and the share of image pairs with both questions right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mmdbench.records import Index
from mmdbench.scoring.families.plain import total_plain
from mmdbench.scoring.rows import Row, Sheet, Totals
from mmdbench.scoring.tables import mean, percent

__all__ = ["total_mmvp"]


def total_mmvp(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
    """Both numbers, whichever heads the table; the pair metric is None where rows form no pairs."""
    plain = total_plain(sheet, hits)
    rows = sheet.by_index()
    pairs = list(zip(rows[::2], rows[1::2], strict=False))
    reason = _why_no_pairs(rows, pairs)
    both = None if reason else mean(int(hits[a.index] > 0 and hits[b.index] > 0) for a, b in pairs)
    metrics = {**plain.metrics, "pair_accuracy": percent(both), "pairs": 0 if reason else len(pairs)}
    warnings = (f"The pair metric of MMVP is null: {reason}.",) if reason else ()
    if not sheet.rules.pair_headline:
        return replace(plain, metrics=metrics, warnings=warnings)
    average = mean(hits[row.index] for row in rows)
    return replace(
        plain,
        headline=percent(both),
        metric="pair accuracy",
        metrics=metrics,
        flat=[{"Average": average, "Overall": both}],
        warnings=warnings,
    )


def _why_no_pairs(rows: list[Row], pairs: list[tuple[Row, Row]]) -> str:
    if not rows:
        return "there are no rows"
    if len(rows) % 2:
        return f"{len(rows)} rows is an odd number"
    for first, second in pairs:
        if first.question != second.question:
            return f"the rows with index {first.index!r} and {second.index!r} ask different questions"
    return ""
