"""Assigns the questions of a run their modes, and writes the data set into its folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmdbench.errors import IncompleteError
from mmdbench.results.graded_run import RunResults, load_results
from mmdbench.results.judging.open import JudgeOptions, open_judging
from mmdbench.results.rescoring import record_judge, regrade
from mmdbench.run.folder import JUDGE_JOURNAL
from mmdbench.run.inputs import RunInputs
from mmdbench.system.locks import folder_lock
from mmdbench.training.dataset import TraceSet, write_dataset
from mmdbench.training.samples import find_samples
from mmdbench.training.selection import Selection, select_samples
from mmdbench.training.traces import TraceWriter

__all__ = ["Assignment", "AssignmentRules", "assign_samples"]

_TRACE_JOURNAL = "trace_journal.jsonl"
_HINT = "Run the same command again, with more to spend."


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
    judge: JudgeOptions | None = None,
    writer: JudgeOptions | None = None,
    pictures: bool = True,
) -> Assignment:
    """Assign the samples of a finished run, and write the data set into its folder.

    The judge is noted in the run's manifest as `mmdbench score` does it, and the cost of both models.

    Args:
        run: The opened run, of the design `drawn`.
        rules: The rules of the recipe.
        judge: Judge of replies that no rule can grade.
        writer: Model that writes the reasoning of each kept sample, for what the judge leaves of the cost.
        pictures: Write the pictures too.

    Returns:
        The assignment.
    """
    with folder_lock(run.folder, "assigning samples"):
        spent: list[float] = []
        judged_by = _grade(run.folder, judge, spent) if judge else ""
        results = load_results(run.folder, judged_by=judged_by)
        samples = find_samples(results, clean_check=rules.clean_check, right_at=rules.right_at)
        selection = select_samples(samples, balance=rules.balance or None, seed=rules.seed)
        traces = _write_traces(run, selection, _with_the_rest(writer, spent)) if writer else None
        path = write_dataset(
            run.folder,
            selection,
            run.benches,
            traces=traces,
            rules={**asdict(rules), "judge": judged_by},
            pictures=pictures,
        )
    return Assignment(results, selection, traces, path)


def _grade(folder: Path, judge: JudgeOptions, spent: list[float]) -> str:
    """Let a judge grade what rules cannot; returns its name among the judges of the run."""

    def count(usage: Mapping[str, Any]) -> None:
        spent.append(usage["cost_usd"])
        judge.on_usage(usage)

    with open_judging(replace(judge, on_usage=count), folder / JUDGE_JOURNAL, folder) as judging:
        made = regrade(folder, judging=judging)
        record_judge(made)
    return made.judged_by


def _with_the_rest(writer: JudgeOptions, spent: Iterable[float]) -> JudgeOptions:
    if writer.max_usd is None:
        return writer
    left = writer.max_usd - sum(spent)
    if left <= 0:
        raise IncompleteError("The traces were not written: --max-usd is used up.", hint=_HINT)
    return replace(writer, max_usd=left)


def _write_traces(run: RunInputs, selection: Selection, writer: JudgeOptions) -> TraceSet:
    questions = {(b.name, q.index): (q, b.family) for b in run.benches for q in b.questions}
    rows = [(s, *questions[s.cell.bench, s.cell.index]) for s in selection.kept]
    with open_judging(writer, run.folder / _TRACE_JOURNAL, run.folder) as asked:
        assert asked is not None
        traces = TraceWriter(asked.judge, asked.journal, on_progress=asked.on_progress)
        return TraceSet(asked.judge.id, {sample.cell: trace for sample, trace in traces.write(rows)})
