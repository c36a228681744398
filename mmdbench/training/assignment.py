"""Assigns the questions of a run their modes, and writes the data set into its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mmdbench.results.graded_run import RunResults, load_results
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.results.judging.model_judge import ModelJudge
from mmdbench.run.folder import JUDGE_JOURNAL
from mmdbench.run.inputs import RunInputs
from mmdbench.system.locks import folder_lock
from mmdbench.training.dataset import TraceSet, write_dataset
from mmdbench.training.samples import find_samples
from mmdbench.training.selection import Selection, select_samples
from mmdbench.training.traces import TraceWriter

__all__ = ["Assignment", "AssignmentRules", "assign_samples"]

_TRACE_JOURNAL = "trace_journal.jsonl"


@dataclass(frozen=True, slots=True)
class AssignmentRules:
    """Rules of the recipe: the filters of samples, and the balance of the two modes.

    `balance` is the number of generate-then-answer samples for each direct one, 0 for all; `right_at`
    is the least grade of a right answer.
    """

    clean_check: bool = True
    balance: float = 1.0
    right_at: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Assignment:
    """The graded run, the selected samples, their traces if there are any, and the data set's file."""

    results: RunResults
    selection: Selection
    traces: TraceSet | None
    path: Path


def assign_samples(
    run: RunInputs,
    rules: AssignmentRules,
    *,
    judge: ModelJudge | None = None,
    writer: ModelJudge | None = None,
    pictures: bool = True,
    on_trace: Callable[[int, int], None] = lambda _done, _total: None,
) -> Assignment:
    """Assign the samples of a finished run, and write the data set into its folder.

    Args:
        run: The opened run, of the design `drawn`.
        rules: The rules of the recipe.
        judge: Judge of replies that no rule can grade.
        writer: Model that writes the reasoning of each kept sample.
        pictures: Write the pictures too.
        on_trace: Called with the number of traces that are written, and of all.

    Returns:
        The assignment.
    """
    with folder_lock(run.folder, "assigning samples"):
        journal = JsonlJournal(run.folder / JUDGE_JOURNAL) if judge else None
        results = load_results(run.folder, judge=judge, journal=journal)
        samples = find_samples(results, clean_check=rules.clean_check, right_at=rules.right_at)
        selection = select_samples(samples, balance=rules.balance or None, seed=rules.seed)
        traces = _write_traces(run, selection, writer, on_trace) if writer else None
        path = write_dataset(
            run.folder,
            selection,
            run.benches,
            traces=traces,
            rules={**asdict(rules), "judge": judge.id if judge else ""},
            pictures=pictures,
        )
    return Assignment(results, selection, traces, path)


def _write_traces(
    run: RunInputs, selection: Selection, writer: ModelJudge, on_trace: Callable[[int, int], None]
) -> TraceSet:
    questions = {(b.name, q.index): (q, b.family) for b in run.benches for q in b.questions}
    rows = [(s, *questions[s.cell.bench, s.cell.index]) for s in selection.kept]
    made = TraceWriter(writer, JsonlJournal(run.folder / _TRACE_JOURNAL), on_progress=on_trace)
    return TraceSet(writer.id, {sample.cell: trace for sample, trace in made.write(rows)})
