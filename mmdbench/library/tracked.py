"""The numbers, settings and notes of a run as an experiment tracker keeps them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mmdbench._version import __version__
from mmdbench.errors import UsageError
from mmdbench.library.trackers import LogTo, open_tracker
from mmdbench.report.scores import degraded_levels, levels_of, main_rows
from mmdbench.results.graded_run import RunResults
from mmdbench.stats import Estimate
from mmdbench.system.secrets import hide_in_addresses, hide_secrets

__all__ = ["described", "log_run", "run_config", "run_numbers"]

_FORBIDDEN = re.compile(r"[^\w. /-]", re.ASCII)
"""Characters that MLflow takes in no name, or only in newer versions."""


def run_numbers(results: RunResults) -> dict[str, float]:
    """Scores and drops in points by name, each with the ends of its 95 % interval.

    `robustness/BENCH/LEVEL` is a score, `robustness/BENCH/drop_LEVEL` the drop from clean, and `_low` and
    `_high` are the interval's ends; `robustness/average/…` is the mean over benchmarks.

    Args:
        results: The graded run.

    Returns:
        The numbers.

    Raises:
        UsageError: The run has no scores.
    """
    levels = levels_of([results])
    numbers: dict[str, float] = {}
    places: list[str] = []
    for row in main_rows(results, levels):
        place = "robustness/" + _FORBIDDEN.sub("-", _shown(row.id).strip("/"))
        while place in places:  # two names differ in forbidden characters only
            place += "-2"
        places.append(place)
        for level, score in row.scores.items():
            numbers |= _ends(f"{place}/{level}", score)
        for level in degraded_levels(levels):
            if level in row.drops:
                numbers |= _ends(f"{place}/drop_{level}", row.drops[level])
    if not numbers:
        raise UsageError(
            f"The run has no scores by level to log (task {results.plan.task}).",
            hint="mmdbench report shows its tables.",
        )
    return numbers


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def run_config(results: RunResults) -> dict[str, str]:
    """The settings of a run's plan by name, each with `robustness/` before it, without secrets."""
    plan = results.plan.as_dict() | {"model": results.model, "benches": results.benches}  # not their paths
    settings = {key: _text(value) for key, value in plan.items()}
    extra = {"version": __version__, "judge": results.judge, "problem": results.problem}
    return {f"robustness/{key}": _shown(value) for key, value in (settings | extra).items() if value}


def described(notes: Sequence[str]) -> str:
    """The notes that limit the numbers of a run as one text, without secrets."""
    return "\n".join(f"- {_shown(note)}" for note in notes)


def log_run(
    results: RunResults, notes: Sequence[str], log_to: LogTo, folder: Path | None
) -> dict[str, float]:
    """Send a run's numbers, settings and notes to a tracker.

    Args:
        results: The graded run.
        notes: The notes that limit its numbers.
        log_to: The name of a tracker, or a function.
        folder: The folder of TensorBoard's files.

    Returns:
        The numbers.
    """
    numbers = run_numbers(results)
    with open_tracker(log_to, _shown(results.name), folder) as tracker:
        tracker.describe(run_config(results), described(notes))
        tracker.log(numbers, 0)
    return numbers


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _shown(text: str) -> str:
    return hide_secrets(hide_in_addresses(text))
