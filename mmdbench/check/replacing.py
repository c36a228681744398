"""Writing a run over an earlier baseline: what changes, and the refusal to replace a better one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mmdbench.check.baseline import Baseline, accept, read_baseline
from mmdbench.check.gates import MACRO, parse_gate
from mmdbench.check.verdicts import CheckRow, check_run
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import DataError, IncomparableError, UsageError
from mmdbench.report.scores import levels_of
from mmdbench.results.graded_run import RunResults
from mmdbench.stats.rounding import fixed

__all__ = ["Accepted", "replace_baseline"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A baseline that was written: its number of grades, and the changes from the one before.

    `changes` are the means over benchmarks at each level; `note` is the reason why there is none where a
    baseline was replaced.
    """

    grades: int
    changes: tuple[CheckRow, ...] = ()
    note: str = ""

    def lines(self) -> list[str]:
        """The changes as sentences."""
        return [change_text(row) for row in self.changes] + ([self.note] if self.note else [])


def replace_baseline(
    run: RunResults,
    path: Path,
    spec: Spec,
    max_age: timedelta | None = None,
    *,
    allow_model_change: bool = False,
    force: bool = False,
) -> Accepted:
    """Write a run as the baseline, unless the file holds a better one or something else.

    Args:
        run: The graded run.
        path: The file to write.
        spec: The corruptions and their categories.
        max_age: The greatest age of a reply; None for any.
        allow_model_change: Accept a run that several models answered.
        force: Replace whatever the file holds.

    Returns:
        What was written, and what changed.

    Raises:
        UsageError: A mean of the earlier baseline is higher, and `force` is not given.
        DataError: The file is no baseline that can be read, and `force` is not given.
        IncompleteError: Too many answers are missing, too old or not judged, or none can be read.
        IncomparableError: Several models answered, by the names that the server gave.
    """
    changes: tuple[CheckRow, ...] = ()
    note = ""
    if path.exists() and not run.problem and run.hits:
        changes, note = _changes(run, path, spec, force=force)
    lost = [row for row in changes if row.loss > 0]
    if lost and not force:
        raise UsageError(
            f"The baseline {path} is better than this run: {'; '.join(map(change_text, lost))}.",
            hint="To replace it all the same, add --force (force=True, --mmdbench-force in pytest).",
        )
    return Accepted(accept(run, path, max_age, allow_model_change=allow_model_change), changes, note)


def change_text(row: CheckRow) -> str:
    """The change of a row from the baseline to the run."""
    sign = "−" if row.loss > 0 else "+"
    return f"{row.name} {fixed(row.baseline)} → {fixed(row.score)} ({sign}{fixed(abs(row.loss))} points)"


def _changes(run: RunResults, path: Path, spec: Spec, *, force: bool) -> tuple[tuple[CheckRow, ...], str]:
    try:
        before = read_baseline(path, allow_model_change=True)
    except DataError as error:
        if not force:
            raise DataError(
                error.message, hint="Name another file, or replace this one with --force."
            ) from error
        return (), error.message
    try:
        gates = [parse_gate(f"{MACRO}-{level}:0") for level in _levels_in_both(run, before)]
        return check_run(run, before, spec, gates).rows, ""
    except IncomparableError as error:
        return (), f"Nothing is compared with the earlier baseline: {error.message}"


def _levels_in_both(run: RunResults, before: Baseline) -> list[str]:
    there = {arm.split(" ")[0] for arms in before.grades.values() for arm in arms}
    asked = {hit.level for hit in run.hits}
    found = [level for level in levels_of([run]) if level in there & asked]
    if not found:
        raise IncomparableError("The two hold no level in common.")
    return found
