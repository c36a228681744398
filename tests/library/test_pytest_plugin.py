"""The pytest plugin: gates that pass, fail and skip, baselines, stored runs, and other sessions."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from importlib import import_module
from importlib.util import find_spec

import pytest

import mmdbench

pytest_plugins = "pytester"

# What a product has: a model, which reads a question's number, and tests. `wrong` answers are wrong.
MODEL = """
import re

calls = []

def answer(images, prompt):
    number = int(re.search(r"Question (\\d+)", prompt)[1])
    calls.append(number)
    return "ABCD"[(number + (number in WRONG)) % 4]
"""
GATE = """
import pytest
from product import answer

@pytest.mark.robustness({arguments})
def test_gate({fixtures}):
    {body}
"""
ARGUMENTS = 'model=answer, bench="toy.tsv", levels=["clean", "hard"], baseline="base.json"'


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory):
    """Everything that a gate imports, before pytester notes which modules are there to stay.

    numpy's compiled modules load once in a process: what others import later must be there too.
    """
    for name in ("fft", "linalg", "ma", "polynomial", "random"):
        import_module(f"numpy.{name}")
    folder = tmp_path_factory.mktemp("first")
    run = mmdbench.evaluate("chance", "mini", sample=2, levels=["hard"], progress=False, out=folder / "run")
    run.accept(folder / "base.json")
    repr(run.check(folder / "base.json"))


@pytest.fixture
def project(pytester, make_tsv, monkeypatch):
    """A folder with a product, its questions and its tests; a function that runs the tests."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(*words, wrong=(), rows=20, gate=GATE, arguments=ARGUMENTS, fixtures="", body="pass"):
        if not (pytester.path / "toy.tsv").exists():
            make_tsv(rows).rename(pytester.path / "toy.tsv")
        pytester.makeini("[pytest]\nfilterwarnings = error")
        # A length of its own: Python takes a module of the same second and length for unchanged.
        text = f"WRONG = {sorted(wrong)}\n{MODEL}# {'.' * len(words)}"
        pytester.makepyfile(product=text)
        pytester.makepyfile(
            test_gate=gate.format(arguments=arguments, fixtures=fixtures, body=body) if gate else ""
        )
        monkeypatch.syspath_prepend(pytester.path)
        # Hypothesis' own plugin would warn of every later test of this process.
        without = [
            word
            for name in ("randomly", "cacheprovider", "hypothesispytest")
            for word in ("-p", f"no:{name}")
        ]
        return pytester.runpytest_inprocess(*without, "-ra", *words)

    return run


def text_of(result):
    return "\n".join(result.outlines)


def test_without_a_baseline_it_says_how_to_write_one_and_asks_nothing(project, pytester):
    result = project()
    result.assert_outcomes(errors=1)
    assert "There is no baseline" in text_of(result)
    assert "pytest test_gate.py::test_gate --mmdbench-accept" in text_of(result)
    assert not (pytester.path / "runs").exists()


def test_no_change_passes(project, pytester):
    project("--mmdbench-accept").assert_outcomes(passed=1)
    assert json.loads((pytester.path / "base.json").read_text())["kind"] == "mmdbench baseline"
    result = project()
    result.assert_outcomes(passed=1)
    assert "test_gate.py::test_gate: no regression: macro/all/hard: unchanged; 100.0 → 100.0" in text_of(
        result
    )


def test_a_planted_regression_fails_with_the_table_and_can_be_accepted(project):
    project("--mmdbench-accept")
    worse = {"wrong": range(10)}
    result = project(**worse)
    result.assert_outcomes(failed=1)
    text = text_of(result)
    assert "regression: macro/all/hard lost 50.0 points of 8.9 allowed" in text
    assert "✗ regressed" in text
    assert "Traceback" not in text
    assert "If this is meant: pytest test_gate.py::test_gate --mmdbench-accept --mmdbench-force" in text
    refused = project("--mmdbench-accept", **worse)
    refused.assert_outcomes(failed=1)
    assert "is better than this run: macro/all/clean 100.0 → 50.0 (−50.0 points)" in text_of(refused)
    result = project("--mmdbench-accept", "--mmdbench-force", **worse)
    result.assert_outcomes(passed=1)
    assert "40 grades of answer are now the baseline base.json" in text_of(result)
    project(**worse).assert_outcomes(passed=1)


def test_too_few_questions_skip_with_the_number_that_would_decide(project):
    project("--mmdbench-accept", rows=6)
    result = project(wrong=[1], rows=6)
    result.assert_outcomes(skipped=1)
    text = text_of(result)
    assert "cannot tell: For a verdict, ask more questions or allow more." in text
    assert re.search(r"about \d+ questions would decide", text)


def test_a_gate_that_cannot_tell_passes_with_a_warning_or_fails_as_asked(project):
    project("--mmdbench-accept", rows=6)
    warned = project(wrong=[1], rows=6, arguments=f'{ARGUMENTS}, unclear="warn"')
    warned.assert_outcomes(passed=1)
    assert "test_gate.py::test_gate: warning: cannot tell: For a verdict" in text_of(warned)
    project(wrong=[1], rows=6, arguments=f'{ARGUMENTS}, unclear="fail"').assert_outcomes(failed=1)
    wrong = project(wrong=[1], rows=6, arguments=f'{ARGUMENTS}, unclear="pass"')
    wrong.assert_outcomes(errors=1)
    assert "Unknown value of --unclear 'pass'" in text_of(wrong)


def test_one_run_serves_every_test_with_the_same_arguments(project):
    more = """
class TestMore:
    pytestmark = pytest.mark.robustness({arguments}, gates=["macro-clean:1.0"])

    def test_scores(self, mmdbench_run):
        assert mmdbench_run.scores()["toy", "clean"].value == 100

    @pytest.mark.robustness(gates=["toy/hard:2"], alpha=0.1)
    def test_a_gate_of_its_own(self):
        from product import calls
        assert len(calls) == 40
"""
    project("--mmdbench-accept", gate=GATE + more).assert_outcomes(passed=3)
    result = project(gate=GATE + more, wrong=range(10))
    result.assert_outcomes(failed=3)
    text = text_of(result)
    assert "toy/all/hard lost 50.0 points of 2.0 allowed" in text
    assert "AssertionError" in text  # the test's own assert is heard first
    assert "test_scores: " not in text


def test_a_fixture_gives_an_async_model(project):
    fixture = """
import product, pytest

@pytest.fixture(scope="session")
def captioner():
    async def answer(images, prompt):
        return product.answer(images, prompt)

    return answer
"""
    arguments = ARGUMENTS.replace("model=answer", 'model_fixture="captioner"') + ", canary=False"
    project("--mmdbench-accept", gate=fixture + GATE, arguments=arguments).assert_outcomes(passed=1)
    project(gate=fixture + GATE, arguments=arguments, wrong=range(10)).assert_outcomes(failed=1)


def test_an_incomplete_run_is_an_error_and_the_next_session_asks_what_is_missing(project, pytester):
    arguments = ARGUMENTS + ', version="1", max_requests=15'
    result = project("--mmdbench-accept", arguments=arguments)
    result.assert_outcomes(errors=1)
    assert "15 of 40 planned requests are answered" in text_of(result)
    (folder,) = (pytester.path / "runs").iterdir()
    assert f"Run: runs/{folder.name}" in text_of(result)
    body = "from product import calls; assert len(calls) == 25"
    result = project("--mmdbench-accept", arguments=ARGUMENTS + ', version="1"', body=body)
    result.assert_outcomes(passed=1)


def test_a_model_that_fails_is_an_error_with_its_reason(project):
    broken = "def answer(images, prompt):\n    raise ValueError('no weights here')\n"
    gate = GATE.replace("from product import answer\n", broken)
    result = project("--mmdbench-accept", gate=gate)
    result.assert_outcomes(errors=1)
    assert "no weights here" in text_of(result)
    assert "Traceback" not in text_of(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ('bench="toy.tsv", baseline="b.json"', "@pytest.mark.robustness needs model=…"),
        (f"{ARGUMENTS}, gate=['macro-hard:1']", "'gate'. Did you mean 'gates'?"),
        (f"{ARGUMENTS}, gates='macro-hard'", "--gate must be ROWS:POINTS"),
        (f"{ARGUMENTS}, alpha=0.7", "alpha must be"),
        (f"{ARGUMENTS}, model_fixture='x'", "takes model or model_fixture, not both"),
        (f"{ARGUMENTS}, require_fresh='soon'", "require_fresh must be an age"),
    ],
)
def test_wrong_arguments_are_an_error_before_anything_is_asked(project, pytester, arguments, message):
    result = project("--mmdbench-accept", arguments=arguments)
    result.assert_outcomes(errors=1)
    assert message in text_of(result)
    assert not (pytester.path / "runs").exists()


def test_a_third_argument_by_its_place_is_refused(project):
    result = project(arguments='answer, "toy.tsv", "base.json"')
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "takes model and bench by their places" in "\n".join(result.errlines + result.outlines)


def test_runs_that_cannot_be_compared_fail_and_name_the_way_out(project):
    project("--mmdbench-accept")
    result = project(arguments=f"{ARGUMENTS}, seed=1")
    result.assert_outcomes(failed=1)
    assert "seed" in text_of(result)
    assert "A new baseline: pytest test_gate.py::test_gate --mmdbench-accept" in text_of(result)


def test_paths_are_relative_to_the_rootdir(project, pytester, monkeypatch):
    inner = pytester.mkdir("inner")
    body = "import os; assert os.getcwd().endswith('inner')"
    project("--mmdbench-accept", "--collect-only")
    monkeypatch.chdir(inner)
    words = ("--mmdbench-accept", "--mmdbench-runs=kept", "--rootdir", str(pytester.path), str(pytester.path))
    project(*words, body=body).assert_outcomes(passed=1)
    assert (pytester.path / "base.json").exists()
    assert [path.name[:10] for path in (pytester.path / "kept").iterdir()] == ["answer_toy"]


def test_junit_xml_holds_outcome_and_run(project, pytester):
    project("--mmdbench-accept")
    project("--junitxml=out.xml")
    found = {p.get("name"): p.get("value") for p in ET.parse(pytester.path / "out.xml").iter("property")}
    assert found["mmdbench_outcome"] == "no regression"
    assert (pytester.path / found["mmdbench_run"] / "manifest.json").exists()


def test_a_marker_without_arguments_is_left_to_its_owner(project):
    project(arguments="").assert_outcomes(passed=1)
    result = project(arguments="", fixtures="mmdbench_run")
    result.assert_outcomes(errors=1)
    assert "@pytest.mark.robustness needs model=…" in text_of(result)


def test_a_method_of_unittest_can_be_a_gate(project):
    case = """
import unittest, pytest
from product import answer

class TestProduct(unittest.TestCase):
    @pytest.mark.robustness({arguments})
    def test_gate(self):
        self.assertEqual(1, 1)
"""
    project("--mmdbench-accept", gate=case).assert_outcomes(passed=1)
    project(gate=case, wrong=range(10)).assert_outcomes(failed=1)


def test_only_the_marked_parameters_are_gates(project):
    gate = """
import pytest
from product import answer

@pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.robustness({arguments}))])
def test_gate(x):
    pass
"""
    result = project(gate=gate)
    result.assert_outcomes(passed=1, errors=1)


@pytest.mark.skipif(find_spec("xdist") is None, reason="needs pytest-xdist")
def test_workers_of_xdist_wait_for_each_other(project, pytester):
    more = "\n@pytest.mark.robustness({arguments})\ndef test_too():\n    pass\n"
    arguments = ARGUMENTS + ', version="1"'
    project("--mmdbench-accept", "--collect-only", gate=GATE + more, arguments=arguments)
    words = ("-p", "no:randomly", "-p", "no:cacheprovider", "-n2", "--mmdbench-accept")
    result = pytester.runpytest_subprocess(*words)
    result.assert_outcomes(passed=2)
    assert text_of(result).count("40 grades of answer are now the baseline base.json") == 2
    (folder,) = (pytester.path / "runs").iterdir()  # and no file of a lock
    assert len((folder / "replies-0.jsonl").read_text().splitlines()) == 40


def test_a_session_without_gates_loads_nothing_heavy_and_may_know_mmdbench_already(pytester):
    pytester.makepyfile("""
import sys
import pytest

def test_it(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("mmdbench")
    assert not {"numpy", "cv2", "PIL", "pandas", "rich", "yaml", "typer"} & set(sys.modules)
    assert [m for m in sys.modules if m.startswith("mmdbench.library.")] == ["mmdbench.library.pytest_plugin"]
    # pytest does this with the packages of its plugins, and warns about those that are imported.
    pytest.register_assert_rewrite("mmdbench")
""")
    others = [word for name in ("randomly", "xdist", "hypothesispytest") for word in ("-p", f"no:{name}")]
    pytester.runpytest_subprocess(*others, "-W", "error").assert_outcomes(passed=1)


def test_pytest_does_without_the_plugin(project):
    result = project("-p", "no:mmdbench", gate="def test_it(request):\n    pass\n")
    result.assert_outcomes(passed=1)
    result = project("-p", "no:mmdbench", "--mmdbench-accept", gate="def test_it():\n    pass\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
