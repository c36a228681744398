"""One `Tables` object, unrounded, that every rendering is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mmdbench.corruptions.spec import Spec
from mmdbench.errors import IncomparableError
from mmdbench.records import ANSWER
from mmdbench.report.identity import identity, require_comparable
from mmdbench.report.scores import Breakdown, LevelRow, breakdown, levels_of, main_rows
from mmdbench.report.tables import answer_changes, breakdowns, headline
from mmdbench.report.tables import extra as extra_tables
from mmdbench.report.tables import perception as perception_tables
from mmdbench.report.tables import rbench as rbench_table
from mmdbench.report.tables import replies as reply_tables
from mmdbench.report.tables.rounding import RULE
from mmdbench.report.tables.table import Table
from mmdbench.results.graded_run import RunResults

__all__ = ["Breakdown", "LevelRow", "PublishedRows", "RunInfo", "Tables", "make_tables"]


@dataclass(frozen=True, slots=True)
class PublishedRows:
    """A published result to stand beside runs: its main rows, its corruption rows, and what to know of it."""

    label: str
    main: tuple[LevelRow, ...]
    corruptions: tuple[LevelRow, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run of a report: what it is called, how many of how many cells were answered, its notes."""

    label: str
    model: str
    counts: Mapping[str, int]
    complete: bool
    notes: tuple[str, ...]
    identity: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tables:
    """All numbers of a report.

    `header` names the models, the protocol, the design and its weighting; `levels` are the levels,
    clean first; `main` and `breakdowns` hold the scores as such, `tables` every table as it is
    shown; `counts` say how many of how many cells were answered.
    """

    header: Mapping[str, str]
    levels: tuple[str, ...]
    main: tuple[LevelRow, ...]
    breakdowns: tuple[Breakdown, ...]
    tables: tuple[Table, ...]
    runs: tuple[RunInfo, ...]
    counts: Mapping[str, int]
    complete: bool
    notes: tuple[str, ...]

    def find(self, key: str) -> Table | None:
        """The table of that key; None if the report has none."""
        return next((table for table in self.tables if table.key == key), None)

    def as_dict(self) -> dict[str, Any]:
        """The tables as a JSON-able dict, unrounded."""
        return asdict(self)


def make_tables(
    results: RunResults | Sequence[RunResults],
    spec: Spec,
    published: Sequence[PublishedRows] = (),
    reference: str = "",
) -> Tables:
    """The tables of one graded run, or of several side by side and of published results.

    `reference` is the label of the published result that stands first, which Δ and corruption
    errors are taken against; without it that is the first run.

    Raises IncomparableError for runs that differ in what must be equal.
    """
    runs = _named([results] if isinstance(results, RunResults) else list(results))
    for run in runs[1:]:
        require_comparable(identity(runs[0]), identity(run))
    if published and runs[0].plan.task != ANSWER:
        raise IncomparableError(f"The published scores are of answers, the run is of {runs[0].plan.task!r}.")
    levels = levels_of(runs)
    rows: dict[str, Sequence[LevelRow]] = {run.name: main_rows(run, levels) for run in runs}
    rows |= {result.label: result.main for result in published}
    parts = _parts(runs, levels, spec)
    if runs[0].plan.task != ANSWER:  # what a task measures when clean is no base that drops start from
        rows = {name: [replace(row, drops={}) for row in of_run] for name, of_run in rows.items()}
        parts = {title: Breakdown(title, ()) for title in parts}
    parts["Corruption"] = Breakdown(
        "Corruption", parts["Corruption"].rows + tuple(r for p in published for r in p.corruptions)
    )
    counts = sum((Counter(run.statuses) for run in runs), Counter())
    notes = [f"{run.name}: {note}" if len(runs) > 1 else note for run in runs for note in _notes(run)]
    notes += [f"{result.label}: {note}" for result in published for note in result.notes]
    return Tables(
        header=_header(runs[0], list(rows), spec),
        levels=levels,
        main=tuple(row for of_run in rows.values() for row in of_run),
        breakdowns=tuple(part for part in parts.values() if part.rows),
        tables=tuple(
            _captioned(
                runs[0],
                _tables(runs, {k: rows[k] for k in sorted(rows, key=reference.__ne__)}, parts, levels, spec)
                if runs[0].plan.task == ANSWER
                else _task_tables(runs, levels, spec),
            )
        ),
        runs=tuple(_info(run) for run in runs),
        counts=dict(counts) | {"planned": sum(run.planned for run in runs)},
        complete=all(run.complete for run in runs),
        notes=tuple(notes),
    )


def weighting_of(run: RunResults) -> str:
    """What weighs the same in a score of a degraded level."""
    if run.plan.design == "released" and not run.apart:
        return "corruptions as the authors drew them"
    return "corruption types weigh the same" if run.apart else "corruption categories weigh the same"


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


def _parts(runs: Sequence[RunResults], levels: Sequence[str], spec: Spec) -> dict[str, Breakdown]:
    category_of = {name: c.category for name, c in spec.corruptions.items()}
    found: dict[str, list[LevelRow]] = {"Question category": [], "Corruption category": [], "Corruption": []}
    for run in runs:
        found["Question category"] += breakdown(run, levels, lambda h: h.category or None)
        found["Corruption category"] += breakdown(
            run, levels, lambda h: category_of.get(h.corruption or ""), spec.categories
        )
        found["Corruption"] += breakdown(run, levels, lambda h: h.corruption, spec.corruptions)
    return {title: Breakdown(title, tuple(rows)) for title, rows in found.items()}


def _tables(
    runs: Sequence[RunResults],
    rows: Mapping[str, Sequence[LevelRow]],
    parts: Mapping[str, Breakdown],
    levels: Sequence[str],
    spec: Spec,
) -> list[Table]:
    pooled = (
        "Each row is the unweighted mean over benchmarks."
        if runs[0].apart
        else "Questions of all benchmarks are pooled; clean is the score of the same questions."
    )
    corruptions = {k: v for k, v in parts.items() if k.startswith("Corruption")}
    measured = {run.name: rows[run.name] for run in runs}
    found = [
        headline.worst_table(rows, levels),
        headline.levels_table(rows, levels),
        headline.drop_table(rows, levels),
        headline.ladder_table(rows, levels),
        breakdowns.corruption_table(corruptions, rows, runs, levels, spec, pooled),
        *(breakdowns.part_table(part, levels, pooled) for part in parts.values() if part.rows),
        answer_changes.flip_table(runs),
        answer_changes.retention_table(runs),
        answer_changes.worst_case_table(runs),
        answer_changes.ladder_flags(runs),
        extra_tables.detectable_table(measured, levels),
        extra_tables.mce_table(parts["Corruption"], list(rows), spec),
        extra_tables.whole_table(runs),
        rbench_table.rbench_table(runs),
        reply_tables.capability_table(runs),
        reply_tables.stage_table(runs),
        reply_tables.status_table(runs),
        reply_tables.trigger_table(runs),
        reply_tables.time_table(runs),
        reply_tables.phase_table(runs),
        extra_tables.quality_table(runs),
        reply_tables.cost_table(runs),
    ]
    return [table for table in found if table is not None]


def _task_tables(runs: Sequence[RunResults], levels: Sequence[str], spec: Spec) -> list[Table]:
    found = [
        *perception_tables.perception_tables(runs, levels, spec),
        reply_tables.status_table(runs),
        reply_tables.time_table(runs),
        reply_tables.cost_table(runs),
    ]
    return [table for table in found if table is not None]


def _captioned(run: RunResults, tables: Sequence[Table]) -> list[Table]:
    rules = f"{run.plan.protocol}, {run.plan.design}: {weighting_of(run)}."
    return [replace(table, caption=f"{rules} {table.caption}".strip()) for table in tables]


def _info(run: RunResults) -> RunInfo:
    counts = {"ok": 0} | dict(run.statuses) | {"planned": run.planned}
    return RunInfo(run.name, run.plan.model, counts, run.complete, _notes(run), identity(run))


def _header(run: RunResults, labels: Sequence[str], spec: Spec) -> dict[str, str]:
    plan = run.plan
    made = plan.design != "released"
    return {
        "model": ", ".join(labels),
        "design": f"{plan.design} ({weighting_of(run)})",
        "protocol": plan.protocol,
        "answer extraction": plan.extraction,
        "profile": plan.profile if made else "that of the released files",
        "codec": plan.codec if made else "that of the released files",
        "sample": plan.sample or "all questions",
        "seed": str(plan.seed),
        "corruption spec": spec.version if made else "that of the released files",
        "rounding": RULE,
    }


def _shown_notes(manifest: Mapping[str, Any]) -> list[str]:
    notes = []
    restoration = manifest.get("restoration")
    if restoration:
        which = "every image, clean ones too," if restoration["clean"] else "degraded images, not clean ones,"
        notes.append(f"{restoration['fingerprint']['name']} restored {which} before the model saw them.")
    if manifest.get("prompt_override"):
        notes.append(
            "The model's adapter changes the benchmark's prompts; "
            "each reply that was asked so holds its prompt in details.prompt."
        )
    notes += [
        f"{row['differ']} questions of {row['file']} have another text or answer than {row['bench']}; "
        "those of the clean benchmark were asked."
        for row in manifest.get("released", ())
        if row["differ"]
    ]
    return notes


def _notes(results: RunResults) -> tuple[str, ...]:
    notes = []
    if not results.complete:
        notes.append(
            f"INCOMPLETE: {results.failed} of {results.planned} planned answers are missing or failed; "
            "they count as wrong. Run the same command again."
        )
    notes += _shown_notes(results.manifest)
    no_ops = sum(arm.no_ops for arm in results.arms)
    if no_ops:
        notes.append(
            f"{no_ops} corrupted images equal their clean image (a corruption that finds nothing to change)."
        )
    warnings: dict[str, list[str]] = {}
    for arm in results.arms:
        where = arm.level + (f" {arm.corruption}" if arm.corruption and results.apart else "")
        for warning in arm.score.warnings:
            warnings.setdefault(warning, []).append(where)
    for warning, levels in warnings.items():
        places = ", ".join(dict.fromkeys(levels[:4])) + (
            f" and {len(levels) - 4} more" if len(levels) > 4 else ""
        )
        notes.append(f"{places} – {warning}")
    return tuple(notes)
