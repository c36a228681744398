"""Comparison of two runs, or of a run and a published result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mmdbench.corruptions.spec import Spec
from mmdbench.errors import IncomparableError
from mmdbench.records import ANSWER
from mmdbench.report.identity import Difference, identity, require_comparable
from mmdbench.report.paired_gaps import Gap, bench_gaps, part_gaps
from mmdbench.report.scores import (
    AVERAGE,
    AVERAGE_NAME,
    CORRUPTION,
    CORRUPTION_CATEGORY,
    LevelRow,
    degraded_levels,
    levels_of,
    main_rows,
    partitions,
    row_name,
    why_no_difference,
)
from mmdbench.report.tables.collect import PublishedRows, weighting_of
from mmdbench.report.tables.run_notes import notes_beside_published, notes_of_runs, run_notes
from mmdbench.report.tables.table import PRINTED, Column, Row, Table, Value, marked, value_of
from mmdbench.results.graded_run import RunResults
from mmdbench.run.reply_records import same_pixels
from mmdbench.stats import Estimate, benjamini_hochberg, difference, holm

__all__ = ["Comparison", "compare_published", "compare_runs"]

_Adjustment = tuple[Callable[[Sequence[float]], list[float]], str]
_HOLM: _Adjustment = (holm, "Holm")
_FDR: _Adjustment = (benjamini_hochberg, "Benjamini–Hochberg")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of two runs: their differing settings, and tables of `new − old` in points.

    `differences` begin with the settings that must be equal; `notes` limit what the tables show.
    """

    old: str
    new: str
    differences: tuple[Difference, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def compare_runs(old: RunResults, new: RunResults, spec: Spec, *, shared: bool = False) -> Comparison:
    """Compare two runs question by question.

    Args:
        old: The run that is subtracted.
        new: The run whose scores count positive.
        spec: The corruptions and their categories.
        shared: True to compare runs of different samples, on the questions that both asked.

    Returns:
        Their differences, and tables by benchmark, corruption category and corruption.

    Raises:
        IncomparableError: They differ in protocol, data, design, judge or the like, or share no
            question.
    """
    differing = require_comparable(identity(old), identity(new), shared=shared)
    levels = [level for level in levels_of([old]) if level in levels_of([new])]
    benches = bench_gaps(new, old, levels)
    if not benches:
        raise IncomparableError(
            f"Two runs must share a question at some level, {old.name} and {new.name} do not.",
            hint=f"Their benchmarks: {', '.join(old.benches)}; and {', '.join(new.benches)}.",
        )
    degraded = degraded_levels(levels)
    _, by_category, by_corruption = partitions(spec)
    categories = part_gaps(new, old, degraded, by_category)
    corruptions = part_gaps(new, old, degraded, by_corruption)
    # Holm bounds the chance of any false finding, as each benchmark is a claim of its own. The parts are
    # many and only explored, so Benjamini and Hochberg's share of false findings is enough.
    runs = (new, old)
    tables = [_gap_table("benchmark", "by benchmark", benches, runs, _HOLM)]
    if categories:
        tables.append(_gap_table(CORRUPTION_CATEGORY, "by corruption category", categories, runs, _FDR))
    if corruptions:
        tables.append(_gap_table(CORRUPTION, "by corruption", corruptions, runs, _FDR))
    return Comparison(old.name, new.name, tuple(differing), tuple(tables), tuple(_notes(old, new)))


def compare_published(run: RunResults, published: PublishedRows) -> Comparison:
    """Compare a run with a published result, unpaired: the grades of its questions were not published.

    Raises IncomparableError if they share no benchmark at any level, or the run's task is not `answer`.
    """
    if run.plan.task != ANSWER:
        raise IncomparableError(f"Published scores are of the task {ANSWER!r}, not of {run.plan.task!r}.")
    levels = levels_of([run])
    ours = {row.id: row for row in main_rows(run, levels)}
    theirs = {row.id: row for row in published.main}
    body = []
    reasons: dict[str, None] = {}
    for level in levels:
        for row_id in (i for i in ours if i in theirs and level in ours[i].scores):
            if level in theirs[row_id].scores:
                row, why = _published_row(ours[row_id], theirs[row_id], level)
                body.append(row)
                reasons.update({why: None} if why else {})
    if not body:
        raise IncomparableError(
            f"{run.name} and {published.label} share no benchmark at any level.",
            hint=f"Published: {_named(theirs)}. The run: {_named(ours)}.",
        )
    columns = (
        Column(run.name, digits=PRINTED, intervals=False),
        Column(published.label, digits=PRINTED, intervals=False),
        Column("new − old", digits=PRINTED, signed=True, difference=True),
        Column("p", "p", 4),
    )
    caption = (
        "Not paired: Newcombe's interval of two independent scores, wider than a paired one. "
        f"Ours: {run.plan.protocol}, {run.plan.design}, {run.plan.codec}."
    )
    labels = ("Level", "Benchmark")
    title = f"{run.name} − {published.label} (new − old)"
    table = Table("published", title, labels, columns, tuple(body), caption)
    notes = (
        *(f"the difference is – where {why}" for why in reasons),
        *(f"{run.name}: {note}" for note in run_notes(run)),
        *published.notes,
        *notes_beside_published(run, {published.paper}),
    )
    table = marked(table, frozenset() if run.settled else {run.name})
    return Comparison(published.label, run.name, (), (table,), notes)


def _named(rows: Mapping[str, LevelRow]) -> str:
    return ", ".join(sorted(row.name for row in rows.values())) or "none"


def _published_row(ours: LevelRow, theirs: LevelRow, level: str) -> tuple[Row, str]:
    """The row of a difference, without one where the second value gives the reason."""
    why = why_no_difference(ours, theirs, level)
    gap = None if why else difference(ours.scores[level], theirs.scores[level])
    values = (
        value_of(ours.scores[level]),
        value_of(theirs.scores[level]),
        value_of(gap),
        None if gap is None else Value(gap.p_value()),
    )
    return Row((level, ours.name), values, ours.is_average, level), why


def _gap_table(
    key: str, title: str, gaps: Sequence[Gap], runs: tuple[RunResults, RunResults], adjustment: _Adjustment
) -> Table:
    adjust, name = adjustment
    rows = []
    for level in dict.fromkeys(gap.level for gap in gaps):
        here = [gap for gap in gaps if gap.level == level]
        family = [gap for gap in here if gap.id != AVERAGE]
        adjusted = dict(zip((g.id for g in family), adjust([g.p_value for g in family]), strict=True))
        names = {gap.id: row_name(runs[0], gap.id) for gap in here}
        if {*runs[0].counted} != {*runs[1].counted}:
            shared = [gap for gap in family if gap.id not in runs[0].outside]
            names[AVERAGE] = f"{AVERAGE_NAME} of the {len(shared)} in both"
        rows += [_gap_row(gap, names[gap.id], adjusted.get(gap.id)) for gap in here]
    columns = (
        Column("n", "count", 0),
        Column("new − old", signed=True, difference=True),
        Column("only new", "count", 0),
        Column("only old", "count", 0),
        Column("p", "p", 4),
        Column(f"p ({name})", "p", 4),
        Column("test", "text"),
    )
    plan = runs[0].plan
    caption = (
        f"{plan.protocol}, {plan.design}: {weighting_of(runs[0])}. {runs[0].name} − {runs[1].name} "
        f"(new − old) in points, paired, 95 % intervals; p adjusted by {name} over the rows of a level."
    )
    table = Table(key, f"Difference {title}", ("Level", "Part"), columns, tuple(rows), caption)
    return marked(table, {run.name for run in runs if not run.settled})


def _gap_row(gap: Gap, name: str, adjusted: float | None) -> Row:
    def count(number: int | None) -> Value | None:
        return None if number is None else Value(number)

    estimate: Estimate = gap.estimate
    values = (
        Value(estimate.n),
        value_of(estimate),
        count(gap.only_first),
        count(gap.only_second),
        Value(gap.p_value),
        None if adjusted is None else Value(adjusted),
        Value(gap.test),
    )
    return Row((gap.level, name), values, gap.id == AVERAGE, gap.level)


def _notes(first: RunResults, second: RunResults) -> list[str]:
    notes = notes_of_runs({run.name: run_notes(run) for run in (first, second)})
    shared = [
        (reply, second.replies[cell]) for cell, reply in first.replies.items() if cell in second.replies
    ]
    # Runs of one design can still differ in pixels, by the version of a codec or of OpenCV.
    other = sum(not same_pixels(ours.images, theirs.images) for ours, theirs in shared)
    if other:
        notes.append(f"{other} of {len(shared)} shared requests showed the two models different pixels")
    return notes
