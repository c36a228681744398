"""Tables that need something beside the run: a reference run, image quality, the size of the benchmark."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmdbench.corruptions.spec import Spec
from mmdbench.errors import StoreError
from mmdbench.records import CLEAN, RECODED
from mmdbench.report.scores import AVERAGE, Breakdown, LevelRow, main_rows, run_series
from mmdbench.report.tables.headline import Rows
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.graded_run import RunResults
from mmdbench.run.folder import QUALITY_FILE
from mmdbench.stats import detectable_given, paired_difference, proportion, stratify

__all__ = ["detectable_table", "mce_table", "quality_table", "whole_table"]


def mce_table(part: Breakdown, runs: Sequence[str], spec: Spec) -> Table | None:
    """Errors by corruption as a share of the reference run's, and their mean, in percent.

    CE = Σ errors over levels / Σ the reference's; relative CE takes drops in the place of errors.
    Source: D. Hendrycks and T. Dietterich, arXiv 1903.12261, section 4.
    """
    rows = {(row.run, row.name): row for row in part.rows}
    if len(runs) < 2:
        return None
    body = []
    for name in spec.corruptions:
        base = rows.get((runs[0], name))
        if base is not None:
            values = [v for run in runs[1:] for v in _ratios(rows.get((run, name)), base)]
            body.append(Row((name,), tuple(values), section=spec.corruptions[name].category))
    if not body:
        return None
    means = []
    for place in range(2 * len(runs) - 2):
        known = [row.values[place] for row in body]
        numbers = [v.value for v in known if v is not None and not isinstance(v.value, str)]
        means.append(Value(math.fsum(numbers) / len(numbers)) if len(numbers) == len(known) else None)
    body.append(Row(("mean (mCE)",), tuple(means), summary=True))
    columns = tuple(
        c for run in runs[1:] for c in (Column(f"CE {run}", "%"), Column(f"relative CE {run}", "%"))
    )
    caption = (
        f"Reference: {runs[0]}. Errors are summed over {', '.join(_degraded(rows, runs[0]))}; "
        "below 100 % is better than it."
    )
    return Table(
        "mce", "Corruption error against a reference", ("Corruption",), columns, tuple(body), caption
    )


def _degraded(rows: Mapping[tuple[str, str], LevelRow], run: str) -> list[str]:
    levels = dict.fromkeys(level for (of, _), row in rows.items() if of == run for level in row.scores)
    return [level for level in levels if level not in (CLEAN, RECODED)]


def _ratios(row: LevelRow | None, base: LevelRow) -> list[Value | None]:
    if row is None:
        return [None, None]
    levels = [lv for lv in base.scores if lv not in (CLEAN, RECODED) and lv in row.scores]
    errors = [math.fsum(100 - r.scores[lv].value for lv in levels) for r in (row, base)]
    found: list[Value | None] = [Value(100 * errors[0] / errors[1]) if levels and errors[1] else None]
    drops = [math.fsum(r.drops[lv].value for lv in levels if lv in r.drops) for r in (row, base)]
    return [*found, Value(100 * drops[0] / drops[1]) if drops[1] > 0 else None]


def quality_table(runs: Sequence[RunResults]) -> Table | None:
    """Quality without a reference of what the model saw and of what it made of it: the paper's table 4.

    Read from `quality.json` in a run's folder: {"metrics": [names], "images": [{"kind", "level",
    metric: value, …}], "implementations": {metric: {"package", "version", …}}}, where `kind` is
    clean, degraded or restored. The score is the run's at that level.
    """
    body: list[Row] = []
    names: list[str] = []
    records = [(run, _read_quality(run)) for run in runs]
    for _, record in records:
        names += [name for name in record.get("metrics", ()) if name not in names]
    for run, record in records:
        groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for image in record.get("images", ()):
            groups.setdefault((str(image.get("kind", "")), str(image.get("level", ""))), []).append(image)
        scores = main_rows(run, run.plan.levels)[-1].scores if groups and run.benches else {}
        for (kind, level), images in groups.items():
            values = (*(_mean(images, name) for name in names), value_of(scores.get(level)))
            body.append(Row((run.name, kind, level), values))
    columns = (*(Column(name, "", 2) for name in names), Column("score", digits=2, intervals=False))
    caption = (
        "Means over images, without a reference image; BRISQUE and NIQE are better when low, MUSIQ when "
        f"high. Measured by {_makers([record for _, record in records])}."
    )
    return (
        Table("quality", "Image quality", ("Model", "Images", "Level"), columns, tuple(body), caption)
        if body
        else None
    )


def _makers(records: Sequence[Mapping[str, Any]]) -> str:
    # Implementations of one metric disagree: a figure without the name of its own says nothing.
    found: dict[str, None] = {}
    for record in records:
        for metric, how in record.get("implementations", {}).items():
            weights = f"{how.get('weights', 'weights')} {str(how.get('weights_sha256', '?'))[:8]}"
            found[f"{metric}: {how.get('package', '?')} {how.get('version', '?')}, {weights}"] = None
    return "; ".join(found) or "an unknown implementation"


def _read_quality(run: RunResults) -> dict[str, Any]:
    path = run.folder / QUALITY_FILE if run.folder else None
    if path is None or not path.exists():
        return {}
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"Cannot read {path}: {error}.", hint="Run mmdbench quality again.") from error
    return record if isinstance(record, dict) else {}


def _mean(images: Sequence[Mapping[str, Any]], name: str) -> Value | None:
    known = [float(image[name]) for image in images if isinstance(image.get(name), (int, float))]
    return Value(math.fsum(known) / len(known), n=len(known)) if known else None


def detectable_table(rows: Rows, levels: Sequence[str]) -> Table | None:
    """What the questions at hand can show: half-widths of drops, and the drop that would be found."""
    body = []
    for label, of_run in rows.items():
        for row in of_run:
            for level in (lv for lv in levels if lv in row.drops):
                drop = row.drops[level]
                found = detectable_given(drop)
                alone = not row.name.startswith(AVERAGE)
                needed = Value(math.ceil(drop.n * found**2)) if alone else None
                values = (Value(drop.n), Value((drop.high - drop.low) / 2), Value(found), needed)
                body.append(Row((label, row.name, level), values, not alone, label))
    columns = (
        Column("n", "count", 0),
        Column("± drop"),
        Column("found", digits=1),
        Column("n to find 1 point", "count", 0),
    )
    caption = (
        "Half the 95 % interval of the drop from clean; the drop that a one-sided test at 5 % finds in 80 of "
        "100 such runs, with the flips of this one (Connor 1987); and how many questions 1 point would take."
    )
    labels = ("Model", "Benchmark", "Level")
    return (
        Table("detectable", "What this many questions can show", labels, columns, tuple(body), caption)
        if body
        else None
    )


def whole_table(runs: Sequence[RunResults]) -> Table | None:
    """For a sampled run: what the score of each whole benchmark is, from the sample's strata.

    The other tables' intervals are for questions like these; these are for exactly the benchmark's
    questions, of which a part was asked, so they are narrower and close when all of it was.
    """
    body = []
    for run in runs:
        sizes = (
            {record["name"]: record for record in run.manifest.get("benches", ())} if run.plan.sample else {}
        )
        asked: dict[str, set[Any]] = {}
        for cell in run.cells:
            asked.setdefault(cell.bench, set()).add(cell.index)
        series = run_series(run)
        for (bench, level), after in series.items():
            rows = sizes.get(bench, {}).get("questions", 0)
            if not rows or len(asked[bench]) >= rows:
                continue
            categories = {(hit.bench, hit.unit): hit.category for hit in after.hits}
            strata = [categories[unit] for unit in after.units]
            total = round(len(after.units) * rows / len(asked[bench]))
            parts = stratify(after.at.residuals, strata, total)
            score = proportion(after.at.values, residuals=parts.residuals, fraction=parts.fraction)
            values = [value_of(score.scaled(100)) if score else None, None]
            before = series.get((bench, CLEAN))
            if before is not None and level != CLEAN and before.units == after.units:
                gap = stratify(before.at.residuals - after.at.residuals, strata, total)
                drop = paired_difference(
                    before.at.values, after.at.values, residuals=gap.residuals, fraction=gap.fraction
                )
                values[1] = value_of(drop.scaled(100)) if drop else None
            body.append(
                Row((run.name, run.title(bench), level), (Value(len(after.units)), Value(total), *values))
            )
    columns = (Column("asked", "count", 0), Column("of", "count", 0), Column("score"), Column("drop"))
    caption = "Finite population, stratified by category: the score had the whole benchmark been asked."
    labels = ("Model", "Benchmark", "Level")
    return (
        Table("whole", "Estimates of the whole benchmark", labels, columns, tuple(body), caption)
        if body
        else None
    )
