"""The pytest plugin: the marker `robustness` and the fixture `mmdbench_run`.

pytest loads this module in every session where mmdbench is installed: nothing heavy is imported before a
test has the marker. PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mmdbench.errors import MmdbenchError, UsageError

if TYPE_CHECKING:
    from mmdbench.library.robustness_gate import RobustnessGate
    from mmdbench.library.run import Run

__all__ = [
    "mmdbench_run",
    "pytest_addoption",
    "pytest_configure",
    "pytest_itemcollected",
    "pytest_runtest_call",
    "pytest_terminal_summary",
]

_MARKER = "robustness"
_FIXTURE = "mmdbench_run"
_OUTCOME = "mmdbench_outcome"
_SUMMARY = "mmdbench_summary"
_RUN = "mmdbench_run"

_runs = pytest.StashKey[dict[tuple[object, ...], "tuple[RobustnessGate, Run]"]]()
_evaluated = pytest.StashKey["tuple[RobustnessGate, Run]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("mmdbench", "robustness gates (mmdbench)")
    group.addoption(
        "--mmdbench-accept",
        action="store_true",
        help="Write the run of each test marked robustness as its baseline, instead of checking it.",
    )
    group.addoption(
        "--mmdbench-runs",
        default="runs",
        metavar="DIR",
        help="Folder of the runs, relative to the rootdir (default: runs).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker, and start with no runs."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(model, bench, *, baseline, model_fixture, gates, alpha, require_fresh, ...): evaluate a "
        "model on clean and degraded pictures and check it against a baseline; other arguments are the "
        "options of mmdbench.evaluate.",
    )
    config.stash[_runs] = {}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let every test that has the marker, with arguments, have the fixture."""
    if isinstance(item, pytest.Function) and _FIXTURE not in item.fixturenames and _arguments(item):
        item.fixturenames = [*item.fixturenames, _FIXTURE]  # a new list: other parameters share the old one


@pytest.fixture
def mmdbench_run(request: pytest.FixtureRequest) -> Run:
    """The run of a test marked `robustness`, complete and graded; it is checked after the test."""
    item, accepts = request.node, request.config.getoption("--mmdbench-accept")
    arguments = _arguments(item)
    name = arguments.pop("model_fixture", None)
    if name is not None:
        arguments.setdefault("model", request.getfixturevalue(name))
    problem = ""
    try:
        from mmdbench.library.robustness_gate import robustness_gate

        gate = robustness_gate(arguments, request.config.rootpath)
        if not gate.baseline.exists() and not accepts:
            raise UsageError(f"There is no baseline {gate.baseline}.", hint=f"Write it: {_accepting(item)}")
        if not accepts:
            gate.require_baseline()
        found = request.config.stash[_runs]
        if gate.key not in found:
            found[gate.key] = (gate, _complete_run(gate, request.config))
        run = found[gate.key][1]
        item.stash[_evaluated] = (gate, run)
    except MmdbenchError as error:
        problem = str(error)
    if problem:
        pytest.fail(problem, pytrace=False)
    return run


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Check the run of a test that has passed, or write it as the baseline."""
    if _evaluated not in item.stash:
        return
    gate, run = item.stash[_evaluated]
    problem = ""
    try:
        verdict = gate.accept(run) if item.config.getoption("--mmdbench-accept") else gate.check(run)
    except MmdbenchError as error:
        problem = str(error)
    if problem:
        pytest.fail(f"{problem}\nOr write a new baseline: {_accepting(item)}", pytrace=False)
    folder = _shown(run.folder, item.config.rootpath)
    found = {_OUTCOME: verdict.outcome, _SUMMARY: verdict.summary, _RUN: folder}
    item.user_properties += found.items()
    if verdict.result == "skipped":
        pytest.skip(verdict.summary)
    lines = [verdict.summary, verdict.text, f"Run: {folder}", f"If this is meant: {_accepting(item)}"]
    if verdict.result == "failed":
        pytest.fail("\n".join(lines), pytrace=False)
    item.add_report_section("call", "mmdbench", "\n".join(lines[:3]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show a line for each gate."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    lines = []
    for report in calls:
        found = dict(report.user_properties)
        if _OUTCOME in found:
            lines.append(f"{report.nodeid}: {found[_SUMMARY]}; run: {found[_RUN]}")
    if lines:
        terminalreporter.section("robustness (mmdbench)")
    for line in lines:
        terminalreporter.write_line(line)


def _arguments(item: pytest.Item) -> dict[str, Any]:
    """The arguments of all markers of a test; those nearest to it win."""
    found: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers(_MARKER))):
        found |= dict(zip(("model", "bench"), marker.args, strict=False)) | marker.kwargs
    return found


def _complete_run(gate: RobustnessGate, config: pytest.Config) -> Run:
    run = gate.evaluate(Path(config.getoption("--mmdbench-runs")), wait=hasattr(config, "workerinput"))
    try:
        run.require_complete()
    except MmdbenchError as error:
        error.args = (f"{error} Run: {_shown(run.folder, config.rootpath)}",)
        raise
    return run


def _accepting(item: pytest.Item) -> str:
    return f"pytest {shlex.quote(item.nodeid)} --mmdbench-accept"


def _shown(folder: Path, root: Path) -> str:
    return str(folder.relative_to(root)) if folder.is_relative_to(root) else str(folder)
