"""Files of another shape: the commands that read them say what is wrong in one line, and exit with 2 or 4."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app

DATA = Path(__file__).parents[1] / "data" / "stored_run"
DEEP = "[" * 50_000 + "]" * 50_000


@pytest.fixture(autouse=True)
def _run(tmp_path, monkeypatch):
    shutil.copytree(DATA / "run", tmp_path / "run")
    shutil.copy(DATA / "expected" / "baseline.json", tmp_path / "baseline.json")
    monkeypatch.chdir(tmp_path)


def refused(command, code):
    done = CliRunner().invoke(app, command.split())
    lines = done.stderr.strip().split("\n")
    assert done.exit_code == code, done.output
    assert len(lines) == 1
    assert lines[0].startswith("mmdbench: ")
    return lines[0]


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("benches", {"mini": {}}, "manifest.benches must be a list, got a table of 1"),
        ("sessions", [3], "manifest.sessions[0] must be a table, got 3"),
        (
            "judges",
            [{"id": "j", "prompts": [None]}],
            "manifest.judges[0].prompts[0] must be a table, got None",
        ),
        ("released", [{}], "manifest.released[0] has no 'bench'"),
        ("canary", [], "manifest.canary must be a table, got a list of 0"),
        ("plan", {"model": "m"}, "manifest.plan has no 'benches'"),
        ("generation", {"number": 10**400}, "manifest.generation.number must be a whole number"),
        ("versions", DEEP, "more than 64 levels"),
    ],
)
@pytest.mark.parametrize("command", ["report run", "score run", "cite run"])
def test_a_manifest_of_another_shape_is_one_line(command, field, value, what):
    path = Path("run/manifest.json")
    text = json.dumps(json.loads(path.read_text("utf-8")) | {field: value})
    path.write_text(text.replace(f'"{DEEP}"', DEEP), "utf-8")
    assert what in refused(command, 4)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"grades": {', '"grades": {}, "grades": {', "the key 'grades' occurs twice"),
        (
            '"versions": {',
            '"versions": [], "x": {',
            "baseline.identity.versions must be a table, got a list of 0",
        ),
        ('"identity": {', f'"deep": {DEEP}, "identity": {{', "more than 64 levels"),
        ('"identity": {', '"identity": {"served": {"models": ["m"]}, "y": {', ""),
    ],
)
def test_a_baseline_of_another_shape_is_one_line(old, new, what):
    path = Path("baseline.json")
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    assert what in refused("check run --baseline baseline.json", 2)


def test_a_byte_order_mark_before_a_manifest_and_a_baseline_changes_nothing():
    printed = CliRunner().invoke(app, ["check", "run", "--baseline", "baseline.json"]).stdout
    for path in (Path("run/manifest.json"), Path("baseline.json")):
        path.write_text("\ufeff" + path.read_text("utf-8"), "utf-8")
    assert CliRunner().invoke(app, ["check", "run", "--baseline", "baseline.json"]).stdout == printed != ""
