"""`compare`: the differences between two runs, in settings and in scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdbench.library.run import Run
from mmdbench.report.comparison import Comparison
from mmdbench.report.load import open_comparisons

__all__ = ["compare", "compare_all"]

AnyRun = Run | str | Path


def compare(
    a: AnyRun, b: AnyRun, *, shared: bool = False, protocol: str = "", extraction: str = "", judge: str = ""
) -> Comparison:
    """Compare two runs: settings, then paired differences b − a with intervals and tests.

    Args:
        a: The old run: a run or its folder.
        b: The new run, or the name of a published result, which is older than any run.
        shared: Compare runs of different samples on the questions that both hold.
        protocol: Grading protocol of both; by default each run's own.
        extraction: Answer extraction of both; by default each run's own.
        judge: A judge that was asked about both, `none` for none.

    Returns:
        The comparison, which notebooks show.

    Raises:
        IncomparableError: The runs differ in what must be equal.
    """
    (found,) = compare_all([a, b], shared=shared, protocol=protocol, extraction=extraction, judge=judge)
    return found


def compare_all(runs: Sequence[AnyRun], *, shared: bool = False, **rules: str) -> list[Comparison]:
    """Compare the first run with each of the others.

    Args:
        runs: Runs, their folders and names of published results; the first is a run.
        shared: As for `compare`.
        **rules: protocol, extraction and judge, as for `compare`.

    Returns:
        A comparison for each of the others.
    """
    names = [str(getattr(run, "folder", run)) for run in runs]
    return open_comparisons(names, shared=shared, **rules)
