"""CV-Bench: micro accuracy, accuracy per source, and for the 2D part the mean of its sources."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from mmdbench.records import Index
from mmdbench.scoring.families.plain import grade_plain, total_plain
from mmdbench.scoring.families.prompts import column_prompt
from mmdbench.scoring.family import Family, Grading, Metric
from mmdbench.scoring.sheet import Sheet, SheetRow, Totals
from mmdbench.scoring.tables import mean, percent

__all__ = ["CVBENCH"]

_MICRO_ACCURACY = Metric("micro_accuracy", "micro accuracy", beside=True)
_MEAN_OF_SOURCES = Metric("mean_of_sources", "mean of sources", stratum_column="source", beside=True)


def _total(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
    """All three aggregates; the mean of the sources can only head a table of nothing but `2D` rows."""
    plain = total_plain(sheet, hits)
    members: dict[str, list[SheetRow]] = {}
    for row in sheet.rows:
        if "source" in row.cells:
            members.setdefault(row.cells["source"], []).append(row)
    sources = {name: sum(hits[r.index] for r in rows) / len(rows) for name, rows in sorted(members.items())}
    overall = mean(sources.values())
    metrics = {
        _MICRO_ACCURACY.key: plain.headline,
        "per_source": {name: percent(share) for name, share in sources.items()},
        _MEAN_OF_SOURCES.key: percent(overall),
    }
    all_2d = bool(sheet.rows) and all(row.cells.get("split") == "2D" for row in sheet.rows)
    if not (sheet.rules.source_headline and all_2d):
        return replace(plain, metric=_MICRO_ACCURACY.key, metrics=metrics)
    return replace(
        plain,
        headline=percent(overall),
        metric=_MEAN_OF_SOURCES.key,
        metrics=metrics,
        flat=[{"split": "2D", **sources, "Overall": overall}],
    )


def _recognise(columns: Collection[str], indices: Sequence[Index]) -> str:
    del indices
    return "it has the columns 'prompt' and 'source'" if {"prompt", "source"} <= set(columns) else ""


CVBENCH = Family(
    "cvbench",
    prompt=column_prompt("prompt"),
    metrics=(_MICRO_ACCURACY, _MEAN_OF_SOURCES),
    grading=Grading(grade_plain, _total),
    prompt_summary="the column 'prompt', unchanged",
    grading_summary="the option that a reply names; per cent of all questions (clear) "
    "or the mean over their sources (vlmevalkit)",
    text_column="prompt",
    recognise=_recognise,
    selectable=True,
)
