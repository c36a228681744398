"""The ready workflow, its steps run one after the other as a runner would, with a worse model planted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from forked_program import forked_program
from mmdbench.benches import open_bench
from mmdbench.models.cards import known_cards

WORKFLOW = Path(__file__).parents[2] / "examples" / "github-actions" / "robustness.yml"


def steps():
    job = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["robustness"]
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step}


KNOWING = """
from mmdbench.records import Outcome

class Knowing:
    def fingerprint(self):
        return {"adapter": "knowing"}

    def generate(self, requests):
        return [Outcome("ABCD"[int(r.question.split()[1].rstrip("?")) % 4]) for r in requests]

def load(card):
    return Knowing()
"""


@pytest.fixture
def place(make_tsv, tmp_path):
    """A checkout with a small benchmark, and a model `baseline` that knows its answers."""
    make_tsv(32)
    (tmp_path / "config" / "mmdbench").mkdir(parents=True)
    (tmp_path / "config" / "mmdbench" / "models.toml").write_text('[baseline]\nadapter = "knowing.py"\n')
    (tmp_path / "knowing.py").write_text(KNOWING)
    (tmp_path / "bin").mkdir()
    with forked_program(tmp_path / "bin"):
        yield tmp_path


def run(place, script, **env):
    workflow = yaml.safe_load(WORKFLOW.read_text("utf-8"))["env"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
    environment |= {k: str(v) for k, v in workflow.items()} | {"BENCH": "toy.tsv", "SAMPLE": "24"} | env
    environment["PATH"] = f"{place / 'bin'}{os.pathsep}{environment['PATH']}"
    environment |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(place / "summary.md")}
    environment["XDG_CONFIG_HOME"] = str(place / "config")
    # What a runner does with a `run:` step.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def test_the_workflow_is_one_that_github_reads():
    text = yaml.safe_load(WORKFLOW.read_text("utf-8"))
    assert text[True] == {"pull_request": None, "workflow_dispatch": None}  # YAML 1.1 reads `on` as true
    assert text["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert list(steps()) == ["Install", "Evaluate", "Check", "Comment"]
    uses = [step["uses"] for step in text["jobs"]["robustness"]["steps"] if "uses" in step]
    assert not [action for action in uses if "cache" in action or "download" in action]  # it asks anew
    bench = open_bench(text["env"]["BENCH"])
    assert text["env"]["MODEL"] in known_cards()
    assert text["env"]["SAMPLE"] <= len(bench.questions)
    assert "--fresh" in steps()["Evaluate"]
    assert "--require-fresh" in steps()["Check"]
    assert "--unclear warn" in steps()["Check"]
    assert "--gate" not in steps()["Check"]
    assert "secrets." not in WORKFLOW.read_text("utf-8")


@pytest.mark.slow
def test_a_worse_model_fails_the_gate_and_the_same_one_passes(place):
    todo = steps()
    assert run(place, todo["Check"]).returncode == 4  # there is no run yet
    done = run(place, todo["Evaluate"])
    assert done.returncode == 0, done.stderr
    missing = run(place, todo["Check"])
    assert missing.returncode == 2
    assert "--accept" in missing.stderr

    accepted = run(place, 'mmdbench check runs/robustness --baseline "$BASELINE" --accept')
    assert accepted.returncode == 0, accepted.stderr
    same = run(place, todo["Check"])
    assert same.returncode == 0, same.stdout + same.stderr
    assert "::error" not in same.stdout
    assert "::warning" not in same.stdout

    assert (
        run(place, todo["Evaluate"].replace("runs/robustness", "runs/worse"), MODEL="chance").returncode == 0
    )
    worse = run(place, todo["Check"].replace("runs/robustness", "runs/worse"))
    assert worse.returncode == 1, worse.stdout + worse.stderr
    failed = [
        case.attrib["name"]
        for case in ET.fromstring((place / "robustness.xml").read_text("utf-8"))
        if case.find("failure") is not None
    ]
    assert failed == ["macro/all/hard", "macro/all/clean"]
    assert (place / "robustness.md").read_text("utf-8").startswith("# mmdbench check: chance")
    for name in failed:
        assert f"::error title=mmdbench%3A {name}::" in worse.stdout
    assert "✗ regressed" in (place / "summary.md").read_text("utf-8")
