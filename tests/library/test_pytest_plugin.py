"""The pytest plugin: gates that pass, fail and skip, baselines, stored runs, and sessions that do not use it."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
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
    """Everything that a gate imports, before pytester notes which modules are there to stay."""
    folder = tmp_path_factory.mktemp("first")
    run = mmdbench.evaluate("chance", "mini", sample=2, levels=["hard"], progress=False, out=folder / "run")
    run.accept(folder / "base.json")
    repr(run.check(folder / "base.json"))


@pytest.fixture
def project(pytester, make_tsv, monkeypatch):
    """A folder with a product, its questions and its tests; a function that runs the tests."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(*words, wrong=(), rows=40, gate=GATE, arguments=ARGUMENTS, fixtures="", body="pass"):
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
        return pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider", "-ra", *words)

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
    assert "test_gate.py::test_gate: no regression: macro/all/hard: unchanged; 100.0 → 100.0" in text_of(result)


def test_a_planted_regression_fails_with_the_table_and_can_be_accepted(project):
    project("--mmdbench-accept")
    worse = {"wrong": range(20)}
    result = project(**worse)
    result.assert_outcomes(failed=1)
    text = text_of(result)
    assert "regression: macro/all/hard lost 50.0 points of 1.0 allowed" in text
    assert "✗ regressed" in text
    assert "Traceback" not in text
    assert "If this is meant: pytest test_gate.py::test_gate --mmdbench-accept" in text
    result = project("--mmdbench-accept", **worse)
    result.assert_outcomes(passed=1)
    assert "80 grades of answer are now the baseline base.json" in text_of(result)
    project(**worse).assert_outcomes(passed=1)


def test_too_few_questions_skip_with_the_number_that_would_decide(project):
    project("--mmdbench-accept", rows=6)
    result = project(wrong=[1], rows=6)
    result.assert_outcomes(skipped=1)
    text = text_of(result)
    assert "cannot tell: For a verdict, ask more questions or allow more." in text
    assert "1.0 would take about " in text
