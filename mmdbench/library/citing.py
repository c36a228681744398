"""`cite`: BibTeX, and paragraphs for a paper's methods section."""

from __future__ import annotations

from pathlib import Path

from mmdbench.library.report import run_by_rules
from mmdbench.library.run import Run
from mmdbench.report.cite import citations, methods
from mmdbench.results.graded_run import load_results

__all__ = ["cite"]


def cite(*runs: Run | str | Path, judge: str = "") -> str:
    """A paragraph of methods for each run, then BibTeX of mmdbench, its corruptions and the benchmarks.

    Args:
        *runs: Runs, or their folders.
        judge: A judge that was asked about them, `none` for none; by default each run's own.

    Returns:
        The text.
    """
    named = [run_by_rules(run, judge) for run in runs]
    results = [load_results(Path(run), judged_by=judge) if isinstance(run, str) else run for run in named]
    return "".join([*(f"{methods(run)}\n" for run in results), citations(results)])
