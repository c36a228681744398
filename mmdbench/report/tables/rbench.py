"""R-Bench by task and strength, step, group and distortion, absolute and relative, and overall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmdbench.benches.rbench import STRENGTHS, TASKS, distortion_of, strength_of
from mmdbench.records import UNALTERED, Index
from mmdbench.report.rbench_scores import (
    CELL_ROWS,
    CELLS,
    GROUPS,
    STEPS,
    RBenchScore,
    mean_of_cells,
    mean_over_rows,
    part_of,
)
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.agreement import AGREEMENT
from mmdbench.results.graded_run import RunResults
from mmdbench.run.stored_plan import read_questions
from mmdbench.stats import Estimate, mean_score, proportion

__all__ = ["rbench_tables"]

_KINDS = {
    "absolute": ("rbench", "R-Bench", "The score of the answer about the distorted picture."),
    "relative": (
        "rbench-relative",
        "R-Bench: relative robustness",
        (
            "The score of the answer about the undistorted picture, times the agreement with it of the "
            "answer about the distorted one."
        ),
    ),
}
_CAPTION = (
    "{} Shares of 1 with 95 % intervals. All rows: each row weighs the same, as in the overall score that "
    "R-Bench prints. Cells: the plain mean of the cells of task and strength, cut to four decimals, as "
    "Robust-R1 prints it. There is an overall score if all three tasks are scored. Judged in our own "
    "words: NOT COMPARABLE with published scores."
)
_PARTS = {
    "step": ("rbench-steps", "R-Bench by step", "Step", tuple(STEPS)),
    "group": ("rbench-groups", "R-Bench by group", "Group", tuple(GROUPS)),
    "distortion": (
        "rbench-distortions",
        "R-Bench by distortion",
        "Distortion",
        tuple(map(str, range(1, 34))),
    ),
}
_PART_CAPTION = "Mean shares of 1 over the rows of all tasks that are scored, with 95 % intervals."
_NAMES = {task.upper(): f"R-Bench-{task.upper()}" for task in TASKS}


@dataclass(frozen=True, slots=True)
class _Scores:
    """The rows of a run, `absolute` and `relative`; one kind may be empty."""

    model: str
    rows: Mapping[str, Sequence[RBenchScore]]


def rbench_tables(
    runs: Sequence[RunResults], published: Mapping[str, Mapping[str, Sequence[float]]]
) -> list[Table]:
    """The tables of R-Bench, for the runs that asked it.

    Args:
        runs: The graded runs.
        published: The nine cells (0..1) of published results by label, `absolute` and `relative`; further
            numbers behind them are not read.

    Returns:
        Tables of tasks × strengths, absolute and relative, and of steps, groups and distortions; none if no
        run asked R-Bench.
    """
    scores = [found for run in runs if (found := _scores(run)).rows["absolute"]]
    if not scores:
        return []
    return [*(_task_table(kind, scores, published) for kind in _KINDS), *_part_tables(scores)]


def _scores(run: RunResults) -> _Scores:
    hits = {(hit.bench, hit.unit): hit.hit for hit in run.columns.at(UNALTERED)}
    if run.folder is None or not any(bench in _NAMES.values() for bench, _ in hits):
        return _Scores(run.name, dict.fromkeys(_KINDS, ()))
    agreement = {
        (arm.bench, grade.index): grade.hit
        for arm in run.agreement
        if arm.score.headline is not None
        for grade in arm.score.grades
    }
    rows: dict[str, list[RBenchScore]] = {kind: [] for kind in _KINDS}
    for bench in read_questions(run.folder):
        task = next((task for task, name in _NAMES.items() if name == bench.name), "")
        for question in bench.questions if task else ():
            where = (task, strength_of(question), distortion_of(question))
            index: Index = question.index
            if (bench.name, index) in hits:
                rows["absolute"].append(RBenchScore(*where, hits[bench.name, index]))
            reference = hits.get((f"{bench.name}-Ref", index))
            agrees = agreement.get((f"{bench.name}{AGREEMENT}", index), 0.0 if reference == 0 else None)
            if reference is not None and agrees is not None:
                rows["relative"].append(RBenchScore(*where, reference * agrees))
    return _Scores(run.name, rows)


def _task_table(
    kind: str, scores: Sequence[_Scores], published: Mapping[str, Mapping[str, Sequence[float]]]
) -> Table:
    key, title, meaning = _KINDS[kind]
    body = [row for of_run in scores for row in _task_rows(of_run.model, of_run.rows[kind])]
    for label, cells in published.items() if body else ():
        if kind in cells:
            body += _published_rows(label, cells[kind][: len(CELLS)])
    columns = (
        Column("n", "count", 0),
        *(Column(name, "share", 4) for name in (*STRENGTHS, "not told", "all rows")),
        Column("cells", "share", 4, cut=True),
    )
    return Table(key, title, ("Model", "Task"), columns, tuple(body), _CAPTION.format(meaning), model_at=0)


def _task_rows(model: str, rows: Sequence[RBenchScore]) -> Iterator[Row]:
    cells: list[Estimate | None] = []
    for task in _NAMES:
        mine = [row for row in rows if row.task == task]
        if mine:
            of_task = [_mean(row for row in mine if row.strength == strength) for strength in STRENGTHS]
            cells += of_task
            yield _row(model, task, mine, of_task)
    if rows:
        yield _row(model, "overall", rows, cells if len(cells) == len(CELLS) else [])


def _row(model: str, name: str, rows: Sequence[RBenchScore], cells: Sequence[Estimate | None]) -> Row:
    """A row of scores; an overall row whose tasks are not all scored has no means over tasks."""
    known = [cell for cell in cells if cell is not None]
    overall = name == "overall"
    whole = not overall or {row.task for row in rows} == set(_NAMES)
    parts = (_mean(row for row in rows if row.strength == part) for part in (*STRENGTHS, ""))
    values = (
        *(value_of(part if whole else None) for part in parts),
        value_of(_mean(rows) if whole else None),
        value_of(mean_score(known) if len(known) == len(cells) else None),
    )
    return Row((model, name), (Value(len(rows)), *values), summary=overall, section=model)


def _published_rows(label: str, cells: Sequence[float]) -> Iterator[Row]:
    for place, task in enumerate(_NAMES):
        mine = slice(3 * place, 3 * place + 3)
        yield _published_row(label, task, cells[mine], cells[mine], CELL_ROWS[mine])
    by_strength = [mean_over_rows(cells[i::3], CELL_ROWS[i::3]) for i in range(len(STRENGTHS))]
    yield _published_row(label, "overall", by_strength, cells, CELL_ROWS)


def _published_row(
    label: str, name: str, strengths: Sequence[float], cells: Sequence[float], counts: Sequence[int]
) -> Row:
    means = (Value(mean_over_rows(cells, counts)), Value(mean_of_cells(cells)))
    values = (Value(sum(counts)), *map(Value, strengths), None, *means)
    return Row((label, name), values, summary=name == "overall", section=label)


def _part_tables(scores: Sequence[_Scores]) -> Iterator[Table]:
    columns = (Column("n", "count", 0), *(Column(kind, "share", 4) for kind in _KINDS))
    for part, (key, title, label, names) in _PARTS.items():
        body = [row for of_run in scores for row in _part_rows(of_run, part, names)]
        yield Table(key, title, ("Model", label), columns, tuple(body), _PART_CAPTION, model_at=0)


def _part_rows(scores: _Scores, part: str, names: Sequence[str]) -> Iterator[Row]:
    for name in names:
        found = {kind: [r for r in rows if part_of(r, part) == name] for kind, rows in scores.rows.items()}
        if found["absolute"]:
            values = (value_of(_mean(rows)) for rows in found.values())
            yield Row((scores.model, name), (Value(len(found["absolute"])), *values), section=scores.model)


def _mean(rows: Iterator[RBenchScore] | Sequence[RBenchScore]) -> Estimate | None:
    return proportion([row.score for row in rows])
