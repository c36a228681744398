"""The pytest plugin: the marker `robustness` and the fixture `mmdbench_run`.

pytest loads this module in every session where mmdbench is installed: nothing heavy is imported before a
test has the marker.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mmdbench.errors import IncomparableError, MmdbenchError, UsageError

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
        "--mmdbench-force",
        action="store_true",
        help="With --mmdbench-accept: replace also a better baseline, or a file that is none.",
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
        f"{_MARKER}(model, bench, *, baseline, model_fixture, gates, alpha, require_fresh, unclear, ...): "
        "evaluate a model on clean and degraded pictures and check it against a baseline; other arguments "
        "are the options of mmdbench.evaluate.",
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
    problem = ""
    try:
        gate = _gate(item, request)
        if not accepts:
            gate.require_baseline(f"Write it: {_accepting(item)}")
        found = request.config.stash[_runs]
        if gate.key not in found:
            runs = Path(request.config.getoption("--mmdbench-runs"))
            found[gate.key] = (gate, gate.evaluate(runs, wait=hasattr(request.config, "workerinput")))
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
        accepts, force = (item.config.getoption(f"--mmdbench-{name}") for name in ("accept", "force"))
        verdict = gate.accept(run, force=force) if accepts else gate.check(run)
    except IncomparableError as error:
        problem = f"{error}\nA new baseline: {_accepting(item)}"
    except MmdbenchError as error:
        problem = str(error)
    if problem:
        pytest.fail(problem, pytrace=False)
    folder = gate.shown(run.folder)
    found = {_OUTCOME: verdict.outcome, _SUMMARY: verdict.summary, _RUN: folder}
    item.user_properties += found.items()
    if verdict.result == "skipped":
        pytest.skip(verdict.summary)
    text = f"{verdict.summary}\n{verdict.text}\nRun: {folder}"
    if verdict.outcome == "regression":
        text += f"\nIf this is meant: {_accepting(item)} --mmdbench-force"
    if verdict.result == "failed":
        pytest.fail(text, pytrace=False)
    item.add_report_section("call", "mmdbench", text)


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


def _gate(item: pytest.Item, request: pytest.FixtureRequest) -> RobustnessGate:
    from mmdbench.library.robustness_gate import robustness_gate

    arguments = _arguments(item)
    name = arguments.pop("model_fixture", None)
    if name is not None:
        if "model" in arguments:
            raise UsageError(f"@pytest.mark.{_MARKER} takes model or model_fixture, not both.")
        arguments["model"] = request.getfixturevalue(name)
    return robustness_gate(arguments, request.config.rootpath)


def _arguments(item: pytest.Item) -> dict[str, Any]:
    """The arguments of all markers of a test; those nearest to it win."""
    found: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers(_MARKER))):
        if len(marker.args) > 2:
            raise pytest.UsageError(
                f"{item.nodeid}: @pytest.mark.{_MARKER} takes model and bench by their places, and "
                "the others by their names."
            )
        found |= dict(zip(("model", "bench"), marker.args, strict=False)) | dict(marker.kwargs)
    return found


def _accepting(item: pytest.Item) -> str:
    return f"pytest {shlex.quote(item.nodeid)} --mmdbench-accept"
