"""All tables of a report as one `Tables` object, unrounded; every rendering is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmdbench.corruptions.spec import Spec
from mmdbench.errors import IncomparableError
from mmdbench.records import ANSWER, in_order
from mmdbench.report.identity import identity, require_comparable
from mmdbench.report.scores import (
    CORRUPTION,
    CORRUPTION_CATEGORY,
    QUESTION_CATEGORY,
    Breakdown,
    LevelRow,
    breakdown,
    levels_of,
    main_rows,
    partitions,
)
from mmdbench.report.tables import answer_changes, breakdowns, headline, replies
from mmdbench.report.tables.corruption_error import mce_table
from mmdbench.report.tables.perception import perception_tables
from mmdbench.report.tables.picture_quality import quality_table
from mmdbench.report.tables.published_rbench import published_rbench_table
from mmdbench.report.tables.rbench import rbench_tables
from mmdbench.report.tables.repeats import repeat_table
from mmdbench.report.tables.run_notes import (
    notes_beside_published,
    notes_of_runs,
    run_notes,
    unpublished_files,
)
from mmdbench.report.tables.sample_size import detectable_table, whole_table
from mmdbench.report.tables.table import PRINTED, Table, as_record, marked
from mmdbench.results.graded_run import RunResults
from mmdbench.scoring import extraction_version
from mmdbench.stats.rounding import RULE
from mmdbench.system.collection import uncollected

__all__ = ["PublishedRows", "RunInfo", "Tables", "make_tables", "weighting_of"]

_PARTS = {
    QUESTION_CATEGORY: "Question category",
    CORRUPTION_CATEGORY: "Corruption category",
    CORRUPTION: "Corruption",
}
"""Titles of the breakdowns, in the order of `partitions`."""


_POOLED = (
    "Each row is the unweighted mean over benchmarks.",
    "Questions of all benchmarks are pooled; clean is the score of the same questions.",
)


@dataclass(frozen=True, slots=True)
class PublishedRows:
    """A published result to show beside runs: its main rows, its corruption rows, and notes on them.

    `paper` is CLEAR, Robust-R1 or R-Bench.
    `overall` is the mean over the benchmarks of the corruption rows. `rbench` holds the nine cells of R-Bench
    and its overall score (0..1) as printed, `absolute` and `relative`.
    """

    label: str
    main: tuple[LevelRow, ...]
    corruptions: tuple[LevelRow, ...] = ()
    notes: tuple[str, ...] = ()
    overall: LevelRow | None = None
    rbench: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    paper: str = "CLEAR"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run of a report: its label and model, its cells by status, its notes.

    `counts` are the numbers of cells by status, and of those planned; `identity` is the record that
    decides which runs can be compared with it.
    """

    label: str
    model: str
    counts: Mapping[str, int]
    complete: bool
    notes: tuple[str, ...]
    identity: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tables:
    """All numbers of a report.

    `header` names the models, the protocol, the design and its weighting; `levels` are in order,
    clean first. `main` and `breakdowns` hold the scores that `tables` are made of. `counts` are the
    numbers of cells of all runs by status, and of those planned. `notes` limit the numbers: every
    rendering shows all of them.
    """

    header: Mapping[str, str]
    complete: bool
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    levels: tuple[str, ...]
    runs: tuple[RunInfo, ...]
    main: tuple[LevelRow, ...]
    breakdowns: tuple[Breakdown, ...]
    tables: tuple[Table, ...]

    def notes_around(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The notes to show before the tables and those after: all before if a run is incomplete."""
        return ((), self.notes) if self.complete else (self.notes, ())

    def find(self, key: str) -> Table | None:
        """The table of that key; None if the report has none."""
        return next((table for table in self.tables if table.key == key), None)

    def as_dict(self) -> dict[str, Any]:
        """The tables as a JSON-able dict, unrounded."""
        return as_record(self)


@uncollected()
def make_tables(
    results: RunResults | Sequence[RunResults],
    spec: Spec,
    published: Sequence[PublishedRows] = (),
    reference: str = "",
) -> Tables:
    """The tables of one graded run, or of several side by side, and of published results.

    Args:
        results: The graded run or runs; none for a report of published results alone.
        spec: The corruptions and their categories.
        published: Published results to show beside the runs.
        reference: The label of the published result that Δ and corruption errors are taken
            against; empty for the first run.

    Returns:
        Every table of the report.

    Raises:
        IncomparableError: The runs differ in a setting that must be equal, or there are published
            scores and the runs' task is not `answer`.
    """
    runs = _named([results] if isinstance(results, RunResults) else list(results))
    for run in runs[1:]:
        require_comparable(identity(runs[0]), identity(run))
    first = runs[0] if runs else None
    answered = first is None or first.plan.task == ANSWER
    if published and first and not answered:
        raise IncomparableError(f"Published scores are of the task {ANSWER!r}, not of {first.plan.task!r}.")
    levels = levels_of(runs) if runs else _published_levels(published)
    rows: dict[str, Sequence[LevelRow]] = {run.name: main_rows(run, levels) for run in runs}
    rows |= {result.label: result.main for result in published}
    if answered:
        parts = _parts(runs, published, levels, spec)
        ordered = {label: rows[label] for label in sorted(rows, key=reference.__ne__)}
        tables = _answer_tables(runs, ordered, ordered | _overall(published), parts, levels, spec)
        tables += _with_rows(_rbench_tables(runs, {result.label: result.rbench for result in published}))
    else:
        # A task's score on clean pictures is no base that drops start from.
        rows = {label: [replace(row, drops={}) for row in of_run] for label, of_run in rows.items()}
        parts = {}
        tables = _task_tables(runs, levels, spec)
    judges, infos = _judges(runs), tuple(map(_info, runs))
    tables = [_worded(table, first, judges, printed=bool(published)) for table in tables]
    incomplete = {run.name for run in runs if not run.settled}
    return Tables(
        header=_header(first, list(rows), spec) | ({"judge": judges} if judges else {}),
        levels=levels,
        main=tuple(row for of_run in rows.values() for row in of_run),
        breakdowns=tuple(part for part in parts.values() if part.rows),
        tables=tuple(marked(table, incomplete) for table in tables),
        runs=infos,
        counts=_counts(runs),
        complete=not incomplete,
        notes=tuple(_notes(runs, infos, published)),
    )


def _judges(runs: Sequence[RunResults]) -> str:
    return ", ".join(dict.fromkeys(run.judge for run in runs if run.judge))


def _rbench_tables(
    runs: Sequence[RunResults], published: Mapping[str, Mapping[str, Sequence[float]]]
) -> list[Table]:
    return rbench_tables(runs, published) if runs else [published_rbench_table(published)]


def _published_levels(published: Sequence[PublishedRows]) -> tuple[str, ...]:
    return in_order(level for result in published for row in result.main for level in row.scores)


def _worded(table: Table, run: RunResults | None, judges: str, *, printed: bool) -> Table:
    """The table with its whole caption, and with the decimals of published points if it holds some."""
    columns = (replace(c, digits=PRINTED) if printed and c.unit == "points" else c for c in table.columns)
    return replace(table, columns=tuple(columns), caption=_caption(table, run, judges))


def _caption(table: Table, run: RunResults | None, judges: str) -> str:
    """The table's caption, after the rules of the run that it reports."""
    if run is None:
        return f"As published. {table.caption.replace(headline.PAIRED, '')}".strip()
    judged = f", judge {judges}" if judges else ""
    rules = f"{run.plan.protocol}{judged}, {run.plan.design}: {weighting_of(run)}."
    return f"{rules} {table.caption}".strip()


def _counts(runs: Sequence[RunResults]) -> dict[str, int]:
    found = sum((Counter(run.statuses) for run in runs), Counter())
    return dict(found) | {"planned": sum(run.planned for run in runs)}


def _overall(published: Sequence[PublishedRows]) -> dict[str, Sequence[LevelRow]]:
    """The means that go with the corruption rows of published results."""
    return {result.label: [result.overall] for result in published if result.overall}


def weighting_of(run: RunResults) -> str:
    """The weighting in scores of degraded levels, in words."""
    if run.plan.design == "released" and not run.apart:
        return "corruptions as the authors drew them"
    if run.plan.design.startswith("chain:"):
        return "corruption categories are in equally many chains"
    if run.apart:
        return "corruption types weigh the same"
    if run.plan.design == "mixed" and run.plan.corruptions:
        # Only those of the paper are known to have the same weight in every category.
        return "corruptions weigh as they were drawn"
    return "corruption categories weigh the same"


def _named(runs: list[RunResults]) -> list[RunResults]:
    counts = Counter(run.name for run in runs)
    seen: Counter[str] = Counter()
    named: list[RunResults] = []
    for run in runs:
        label = run.name
        if counts[run.name] > 1:
            seen[run.name] += 1
            folder = run.folder.name if run.folder else str(seen[run.name])
            label = f"{run.name} ({folder})"
            if any(other.name == label for other in named):
                label = f"{run.name} ({folder}, {seen[run.name]})"
        named.append(replace(run, label=label))
    return named


def _parts(
    runs: Sequence[RunResults], published: Sequence[PublishedRows], levels: Sequence[str], spec: Spec
) -> dict[str, Breakdown]:
    found = {}
    for part, partition in zip(_PARTS, partitions(spec), strict=True):
        rows = [row for run in runs for row in breakdown(run, levels, partition)]
        if part == CORRUPTION:
            rows += [row for result in published for row in result.corruptions]
        found[part] = Breakdown(part, _PARTS[part], tuple(rows))
    return found


def _answer_tables(
    runs: Sequence[RunResults],
    rows: Mapping[str, Sequence[LevelRow]],
    overall: Mapping[str, Sequence[LevelRow]],
    parts: Mapping[str, Breakdown],
    levels: Sequence[str],
    spec: Spec,
) -> list[Table]:
    if not levels:  # a published result may have scores of R-Bench alone
        return []
    pooled = _POOLED[bool(runs) and not runs[0].apart]
    by_corruption = {key: part for key, part in parts.items() if key != QUESTION_CATEGORY}
    found = [
        headline.worst_table(rows, levels),
        headline.levels_table(rows, levels),
        headline.drop_table(rows, levels),
        headline.ladder_table(rows, levels),
        breakdowns.corruption_table(by_corruption, overall, runs, levels, spec, pooled),
    ]
    optional = [
        *(breakdowns.part_table(part, levels, pooled) for part in parts.values()),
        answer_changes.flip_table(runs),
        answer_changes.retention_table(runs),
        answer_changes.worst_case_table(runs),
        answer_changes.ladder_flags(runs),
        repeat_table(runs),
        detectable_table({run.name: rows[run.name] for run in runs}, levels),
        mce_table(parts[CORRUPTION], list(rows), spec),
        whole_table(runs),
        replies.capability_table(runs),
        replies.stage_table(runs),
        replies.confidence_table(runs),
        replies.status_table(runs),
        replies.trigger_table(runs),
        replies.time_table(runs),
        replies.phase_table(runs),
        quality_table(runs),
        replies.cost_table(runs),
    ]
    return [*filter(None, found), *_with_rows(optional)]


def _task_tables(runs: Sequence[RunResults], levels: Sequence[str], spec: Spec) -> list[Table]:
    optional = [replies.status_table(runs), replies.time_table(runs), replies.cost_table(runs)]
    return [*perception_tables(runs, levels, spec), *_with_rows(optional)]


def _with_rows(tables: Iterable[Table | None]) -> list[Table]:
    return [table for table in tables if table is not None and table.rows]


def _info(run: RunResults) -> RunInfo:
    counts = {"ok": 0} | dict(run.statuses) | {"planned": run.planned}
    return RunInfo(run.name, run.model, counts, run.settled, run_notes(run), identity(run))


def _header(run: RunResults | None, labels: Sequence[str], spec: Spec) -> dict[str, str]:
    if run is None:
        own = "that of each paper"
        return {"model": ", ".join(labels), "design": own, "protocol": own, "rounding": RULE}
    plan = run.plan
    made = plan.design != "released"
    others = unpublished_files(run.manifest)
    return {
        "model": ", ".join(labels),
        "design": f"{plan.design} ({weighting_of(run)})",
        "protocol": plan.protocol,
        "answer extraction": extraction_version(plan.extraction),
        "profile": plan.profile if made else "that of the released files",
        "codec": plan.codec if made else "that of the released files",
        "sample": plan.sample or ("all questions of the files" if others else "all questions"),
        "seed": str(plan.seed),
        **({"repeats": str(plan.repeat)} if plan.repeat > 1 else {}),
        "corruption spec": _spec_text(spec) if made else "that of the released files",
        "rounding": RULE,
    }


def _spec_text(spec: Spec) -> str:
    """The version of the spec, and the corruptions from outside with the beginning of their code's digest."""
    added = [c for c in spec.corruptions.values() if c.code]
    own = [f"{c.name} from outside (code {c.code[:8]})" for c in added if not c.of_set]
    sets = dict.fromkeys(f"{c.of_set.name} {c.of_set.version}" for c in added if c.of_set)
    return ", ".join([*(sets or [spec.version]), *own])


def _notes(
    runs: Sequence[RunResults], infos: Sequence[RunInfo], published: Sequence[PublishedRows]
) -> list[str]:
    papers = {result.paper for result in published}
    beside = [notes_beside_published(run, papers) for run in runs]
    notes = notes_of_runs(
        {info.label: (*info.notes, *more) for info, more in zip(infos, beside, strict=True)}
    )
    return notes + [f"{result.label}: {note}" for result in published for note in result.notes]
