"""Measured quality of pictures, and the scores at it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmdbench.records import LEVEL_ORDER
from mmdbench.report.scores import main_rows, overall_row
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.graded_run import RunResults
from mmdbench.results.quality.measure import read_quality

__all__ = ["quality_table"]


def quality_table(runs: Sequence[RunResults]) -> Table:
    """Measured quality of the pictures that models saw or restored, as in the paper's table 4.

    Read from `quality.json` in a run's folder: {"metrics": [names], "images": [{"kind", "level",
    metric: value, …}], "implementations": {metric: {"package", "version", …}}}, where `kind` is
    clean, degraded or restored. The score is the run's at that level.
    """
    body: list[Row] = []
    names: list[str] = []
    records = [(run, read_quality(run.folder)) for run in runs]
    for _, record in records:
        names += [name for name in record.get("metrics", ()) if name not in names]
    for run, record in records:
        groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for image in record.get("images", ()):
            groups.setdefault((str(image.get("kind", "")), str(image.get("level", ""))), []).append(image)
        whole = overall_row(main_rows(run, run.plan.levels)) if groups else None
        scores = whole.scores if whole else {}
        for (kind, level), images in sorted(groups.items(), key=_level_place):
            values = (*(_mean(images, name) for name in names), value_of(scores.get(level)))
            body.append(Row((run.name, kind, level), values))
    columns = (*(Column(name, "", 2) for name in names), Column("score", digits=2, intervals=False))
    caption = (
        "Means over images, without a reference image; BRISQUE and NIQE are better when low, MUSIQ when "
        f"high. Measured by {_makers([record for _, record in records])}."
    )
    return Table(
        "quality", "Image quality", ("Model", "Images", "Level"), columns, tuple(body), caption, model_at=0
    )


def _level_place(group: tuple[tuple[str, str], object]) -> int:
    level = group[0][1]
    return LEVEL_ORDER.index(level) if level in LEVEL_ORDER else len(LEVEL_ORDER)


def _makers(records: Sequence[Mapping[str, Any]]) -> str:
    # Implementations of one metric disagree, so a figure means nothing without their names.
    found: dict[str, None] = {}
    for record in records:
        for metric, how in record.get("implementations", {}).items():
            weights = f"{how.get('weights', 'weights')} {str(how.get('weights_sha256', '?'))[:8]}"
            found[f"{metric}: {how.get('package', '?')} {how.get('version', '?')}, {weights}"] = None
    return "; ".join(found) or "an unknown implementation"


def _mean(images: Sequence[Mapping[str, Any]], name: str) -> Value | None:
    known = [float(image[name]) for image in images if isinstance(image.get(name), (int, float))]
    return Value(math.fsum(known) / len(known), n=len(known)) if known else None
