"""Scores and samples of a run in the result formats of other tools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdbench.errors import UsageError
from mmdbench.records import ANSWER
from mmdbench.report.exports.every_eval import write_every_eval
from mmdbench.report.exports.hub_results import write_hub_results
from mmdbench.report.exports.inspect_log import write_inspect
from mmdbench.report.exports.lm_eval import write_lm_eval
from mmdbench.report.exports.tasks import ExportedRun
from mmdbench.results.graded_run import RunResults
from mmdbench.system.inner_paths import name_of_at_most

__all__ = ["RESULT_FORMATS", "ExportedScores", "write_results"]

RESULT_FORMATS = ("huggingface", "lm-eval", "inspect", "every-eval-ever")
"""The formats that hold scores, beside the replies."""

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class ExportedScores:
    """Files of scores, and the benchmarks that are left out because they have none."""

    files: tuple[Path, ...]
    without_score: tuple[str, ...]


def write_results(
    results: RunResults,
    out: Path,
    form: str,
    notes: Sequence[str] = (),
    *,
    dataset: str = "",
    developer: str = "",
) -> ExportedScores:
    """Write a graded run in a result format; the run is only read.

    Args:
        results: The graded run.
        out: The folder to write to.
        form: One of `RESULT_FORMATS`.
        notes: The notes that limit its numbers.
        dataset: The dataset whose leaderboard the scores are for, with `huggingface` alone.
        developer: The developer of the model, with `every-eval-ever` alone.

    Returns:
        The files, and the benchmarks that are left out because they have no score.

    Raises:
        UsageError: The run has no scores, or an option is for another format.
    """
    if dataset and form != "huggingface":
        raise UsageError("--dataset is for --format huggingface.")
    if developer and form != "every-eval-ever":
        raise UsageError("--developer is for --format every-eval-ever.")
    if results.plan.task != ANSWER:
        raise UsageError(
            f"Formats of results are for the task {ANSWER}, this run is of {results.plan.task}.",
            hint="mmdbench report shows its tables.",
        )
    run = ExportedRun(results, tuple(notes))
    model = name_of_at_most(_LONGEST_NAME, re.sub(r"[^\w.@+-]", "-", results.model))
    if form == "huggingface":
        files = write_hub_results(run, out, dataset)
    elif form == "every-eval-ever":
        files = write_every_eval(run, out, model, developer)
    else:
        files = (write_lm_eval if form == "lm-eval" else write_inspect)(run, out, model)
    return ExportedScores(tuple(files), tuple(run.without_score))
