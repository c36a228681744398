"""A robustness gate in a test suite: the arguments of its marker, its run and its verdict."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mmdbench.check import ALPHA, parse_gate, read_baseline
from mmdbench.errors import IncompleteError, MmdbenchError, UnknownNameError, UsageError
from mmdbench.library.checking import CheckResult, require_unclear
from mmdbench.library.evaluating import carry_out
from mmdbench.library.given_models import AnyModel
from mmdbench.library.options import EvaluateOptions, listed
from mmdbench.library.prepared import prepare
from mmdbench.library.run import Run
from mmdbench.library.screen import plain_text
from mmdbench.library.user_interface import Benches, UserInterface
from mmdbench.stats.rounding import fixed
from mmdbench.system.bounds import require_above
from mmdbench.system.durations import parse_age
from mmdbench.system.files import make_folder
from mmdbench.system.locks import file_lock
from mmdbench.system.printable import one_line

__all__ = ["RobustnessGate", "Verdict", "robustness_gate"]

Result = Literal["passed", "failed", "skipped"]

_NEEDED = ("model", "bench", "baseline")
_CHECKS = ("gates", "alpha", "require_fresh", "unclear")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a gate: `summary` is one line, `text` all that is to be shown."""

    result: Result
    outcome: str
    summary: str
    text: str


@dataclass(frozen=True, slots=True)
class RobustnessGate:
    """A model that is evaluated and checked; relative paths are below `root`."""

    root: Path
    model: AnyModel
    bench: Benches
    baseline: Path
    options: EvaluateOptions
    checks: Mapping[str, Any]

    @property
    def key(self) -> tuple[object, ...]:
        """The same for gates that one run serves."""
        model = self.model if isinstance(self.model, (str, Path)) else id(self.model)
        return (model, repr(self.bench), repr(sorted(self.options.items())))

    def shown(self, path: Path) -> str:
        """A path relative to the root, if it is below it."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def require_baseline(self, hint: str) -> None:
        """Raise UsageError with a hint if there is no baseline, and DataError if it cannot be read."""
        if not self.baseline.exists():
            raise UsageError(f"There is no baseline {self.shown(self.baseline)}.", hint=hint)
        read_baseline(self.baseline)

    def evaluate(self, runs: Path, *, wait: bool) -> Run:
        """Ask the model, with the root as the working directory.

        Args:
            runs: The folder of the runs that have no `out`.
            wait: Wait for another process that asks the same.

        Returns:
            The run, which is complete.

        Raises:
            IncompleteError: Answers are missing or not judged.
        """
        interface = UserInterface(quiet=True)
        with _working_directory(self.root):
            prepared = prepare(self.model, listed(self.bench), self.options, interface)
            usual = prepared.evaluation.folder
            folder = self.root / (usual if self.options.get("out") else runs / usual.name)
            evaluation = replace(prepared.evaluation, folder=folder)
            lock = make_folder(folder.parent) / f"{folder.name}.lock"
            with file_lock(lock, wait_s=math.inf) if wait else nullcontext():
                run = carry_out(replace(prepared, evaluation=evaluation), interface)
        try:
            run.require_complete()
        except MmdbenchError as error:
            raise IncompleteError(str(error), hint=f"Run: {self.shown(folder)}") from error
        return run

    def check(self, run: Run) -> Verdict:
        """Compare the run with the baseline."""
        allow = self.options.get("allow_model_change", False)
        found = run.check(self.baseline, **self.checks, allow_model_change=allow)
        result = _RESULTS[found.outcome]
        if found.outcome == "cannot tell" and "unclear" in self.checks:
            result = "failed" if found.exit_code else "passed"
        warned = "warning: " if result == "passed" and found.outcome == "cannot tell" else ""
        return Verdict(result, found.outcome, warned + _summary(found), plain_text(found))

    def accept(self, run: Run, *, force: bool) -> Verdict:
        """Write the run as the baseline; a better one is replaced with `force` alone."""
        fresh, allow = self.checks.get("require_fresh", ""), self.options.get("allow_model_change", False)
        done = run.accept(self.baseline, require_fresh=fresh, allow_model_change=allow, force=force)
        summary = f"{done.grades} grades of {run.name} are now the baseline {self.shown(self.baseline)}"
        text = "\n".join([*done.lines(), plain_text(run.scores())])
        return Verdict("passed", "accepted", one_line(summary), text)


_RESULTS: dict[str, Result] = {
    "no regression": "passed",
    "regression": "failed",
    "cannot tell": "skipped",
    "incomplete": "failed",
}


def robustness_gate(arguments: Mapping[str, Any], root: Path) -> RobustnessGate:
    """Check the arguments of the marker before anything is opened or asked.

    Args:
        arguments: `model`, `bench`, `baseline`, those of `Run.check`, and the options of `evaluate`.
        root: The folder that relative paths are below.

    Returns:
        The gate.

    Raises:
        UsageError: An argument is missing, unknown or out of its range.
    """
    for name in _NEEDED:
        if arguments.get(name) is None:
            raise UsageError(
                f"@pytest.mark.robustness needs {name}=…",
                hint='For example robustness("my_model.py", "mini", baseline="robustness.json").',
            )
    known = (*_NEEDED, "model_fixture", *_CHECKS, *EvaluateOptions.__annotations__)
    for name in arguments:
        if name not in known:
            raise UnknownNameError("argument of @pytest.mark.robustness", name, known)
    checks = {name: arguments[name] for name in _CHECKS if name in arguments}
    checks["gates"] = listed(checks.get("gates", ()))
    for gate in checks["gates"]:
        parse_gate(gate)
    require_above("alpha", checks.get("alpha", ALPHA), 0, below=0.5)
    parse_age("require_fresh", checks.get("require_fresh", ""))
    require_unclear(checks.get("unclear", "fail"))
    options = {name: arguments[name] for name in arguments if name in EvaluateOptions.__annotations__}
    baseline = root / arguments["baseline"]
    return RobustnessGate(root, arguments["model"], arguments["bench"], baseline, options, checks)  # type: ignore[arg-type]


def _summary(found: CheckResult) -> str:
    if found.outcome == "cannot tell":
        advice, *rows = found.undecided()
        said = f"{advice} {'; '.join(rows)}"
    elif found.outcome == "regression":
        lost = [row for row in found.rows if row.verdict == "regressed"]
        said = "; ".join(
            f"{r.name} lost {fixed(r.loss)} points of {fixed(r.tolerance)} allowed" for r in lost
        )
    else:
        said = found.problem or "; ".join(found.lines()[1:])
    return one_line(f"{found.outcome}: {said}")


@contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    # contextlib.chdir is not in Python 3.10.
    earlier = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(earlier)
