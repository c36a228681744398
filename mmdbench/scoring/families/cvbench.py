"""CV-Bench: micro accuracy, accuracy per source, and for the 2D part the mean of its sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mmdbench.records import Index
from mmdbench.scoring.families.plain import total_plain
from mmdbench.scoring.rows import Row, Sheet, Totals
from mmdbench.scoring.tables import mean, percent

__all__ = ["total_cvbench"]


def total_cvbench(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
    """All three aggregates; the mean of the sources can only head a table of nothing but `2D` rows."""
    plain = total_plain(sheet, hits)
    members: dict[str, list[Row]] = {}
    for row in sheet.rows:
        if "source" in row.cells:
            members.setdefault(row.cells["source"], []).append(row)
    sources = {name: sum(hits[r.index] for r in rows) / len(rows) for name, rows in sorted(members.items())}
    overall = mean(sources.values())
    metrics = {
        "micro_accuracy": plain.headline,
        "per_source": {name: percent(share) for name, share in sources.items()},
        "mean_of_sources": percent(overall),
    }
    all_2d = bool(sheet.rows) and all(row.cells.get("split") == "2D" for row in sheet.rows)
    if not (sheet.rules.source_headline and all_2d):
        return replace(plain, metric="micro accuracy", metrics=metrics)
    return replace(
        plain,
        headline=percent(overall),
        metric="mean of sources",
        metrics=metrics,
        flat=[{"split": "2D", **sources, "Overall": overall}],
    )
