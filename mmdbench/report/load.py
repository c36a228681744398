"""Runs and published results by name: graded, and laid out as tables or compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mmdbench.corruptions.spec_file import described_spec
from mmdbench.errors import UsageError
from mmdbench.report.comparison import Comparison, compare_published, compare_runs
from mmdbench.report.published import is_published, published_rows
from mmdbench.report.tables.collect import PublishedRows, Tables, make_tables
from mmdbench.results.graded_run import RunResults, load_results

__all__ = ["RunName", "open_comparisons", "open_runs"]


RunName = str | RunResults
"""A run by its folder, a published result by its name, or a run that is graded already."""


def open_runs(
    names: Sequence[RunName], protocol: str = "", extraction: str = "", judge: str = ""
) -> tuple[list[RunResults], Tables]:
    """Grade runs and put published results beside them.

    Args:
        names: Folders of runs, graded runs and names of published results; the first is the reference.
        protocol: Grading protocol; empty for each run's own.
        extraction: Answer extraction; empty for each run's own.
        judge: A judge of the runs, `none` for no judge; empty for each run's default.

    Returns:
        The graded runs, and the tables of runs and published results.

    """
    texts = [name for name in names if isinstance(name, str) and is_published(name)]
    results = [_graded(name, protocol, extraction, judge) for name in names if name not in texts]
    published = {name: published_rows(name) for name in texts}
    benchmarks = [bench for run in results for bench in run.counted]
    if not results:
        benchmarks = [row.id for result in published.values() for row in result.main if not row.is_average]
    for name, result in published.items():
        if {row.id for row in result.main} & set(benchmarks):
            published[name] = published_rows(name, benchmarks)
    spec = described_spec(*(run.manifest for run in results))
    reference = published[texts[0]].label if texts and names[0] == texts[0] else ""
    _require_own_labels(results, list(published.values()))
    return results, make_tables(results, spec, list(published.values()), reference)


def _require_own_labels(results: Sequence[RunResults], published: Sequence[PublishedRows]) -> None:
    """Raise UsageError if a published result is called like another result."""
    labels = [*{run.name for run in results}, *(result.label for result in published)]
    for label, count in Counter(labels).items():
        if count > 1:
            raise UsageError(f"Two results have the label {label!r}.", hint="Write paper:NAME=OTHER-LABEL.")


def open_comparisons(
    names: Sequence[RunName],
    protocol: str = "",
    extraction: str = "",
    judge: str = "",
    *,
    shared: bool = False,
) -> list[Comparison]:
    """Compare a run with other runs and published results.

    Args:
        names: The first run, then at least one other run or name of published results.
        protocol: Grading protocol of all runs; empty for each run's own.
        extraction: Answer extraction of all runs; empty for each run's own.
        judge: A judge of all runs, `none` for no judge; empty for each run's default.
        shared: Compare runs of different samples on the questions that both hold.

    Returns:
        One comparison of the first run with each of the others.

    Raises:
        UsageError: Fewer than two names, or the first is no run.
        IncomparableError: Two runs differ in what must be equal.
    """
    if len(names) < 2:
        raise UsageError(
            f"RUNS must be at least two, got {len(names)}.", hint="Name a run and paper:clear-rl."
        )
    if isinstance(names[0], str) and is_published(names[0]):
        raise UsageError(f"The first of RUNS must be a run, got {names[0]}.", hint="Name a run before it.")
    grade = partial(_graded, protocol=protocol, extraction=extraction, judge=judge)
    first = grade(names[0])
    found = []
    for name in names[1:]:
        if isinstance(name, str) and is_published(name):
            published = published_rows(name, first.counted)
            found.append(compare_published(first, published if published.main else published_rows(name)))
            continue
        other, ours = grade(name), first
        if other.name == first.name:
            other, ours = replace(other, label=_place(name)), replace(first, label=_place(names[0]))
        spec = described_spec(ours.manifest, other.manifest)
        found.append(compare_runs(ours, other, spec, shared=shared))
    return found


def _graded(run: RunName, protocol: str, extraction: str, judge: str) -> RunResults:
    if isinstance(run, RunResults):
        return run
    return load_results(Path(run), protocol=protocol, extraction=extraction, judged_by=judge)


def _place(run: RunName) -> str:
    return run if isinstance(run, str) else str(run.folder)
