"""A run that an earlier version stored: reports, scores, checks and resumes are the same to the byte.

`tests/data/stored_run/run` is the folder that `mmdbench eval` wrote before the package had rooms
(0.1.0, commit 26aa82d); `expected` holds the output of its commands. A change that is meant to move
one of them says so in the changelog.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.run.json_lines import read_records

DATA = Path(__file__).parents[1] / "data" / "stored_run"
EVAL = (
    "eval --model chance --bench mini --sample 24 --design balanced:2 --level clean,low,hard -o run --quiet"
)


def same(path, expected):
    assert Path(path).read_bytes() == Path(expected).read_bytes(), f"{path} is not {expected}"


def same_records(path, expected):
    """Equal but for the checks of their lines, which the earlier version did not write."""
    lines = [re.sub(',"check":"[0-9a-f]{8}"}$', "}", line) for line in Path(path).read_text().splitlines()]
    assert lines == Path(expected).read_text().splitlines()
    assert len(list(read_records(Path(path)))) == len(lines)


@pytest.fixture(autouse=True)
def _run(tmp_path, monkeypatch):
    shutil.copytree(DATA / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def printed(command, code=0):
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("report run --table all", "report.txt"),
        ("cite run", "cite.txt"),
        ("score run --protocol vlmevalkit/1", "score.txt"),
        ("check run --baseline new.json --accept", "accept.txt"),
    ],
)
def test_a_command_prints_what_it_printed(command, file):
    assert printed(command).replace("new.json", "b.json") == (DATA / "expected" / file).read_text("utf-8")


def test_a_report_in_other_formats_is_the_stored_one():
    assert printed("report run --markdown") == (DATA / "run" / "report.md").read_text("utf-8")
    assert printed("report run --latex") == (DATA / "run" / "tables.tex").read_text("utf-8")


def test_grades_by_other_rules_are_the_same_files():
    printed("score run --protocol vlmevalkit/1")
    name = "grades-vlmevalkit-1_sane_literal.jsonl"
    same_records(f"run/{name}", DATA / "expected" / name)
    name = "score-vlmevalkit-1_sane_literal.json"
    same(f"run/{name}", DATA / "expected" / name)


def test_the_gate_reads_and_writes_the_same_baseline():
    printed("check run --baseline new.json --accept")
    # The earlier version wrote no digest.
    made = re.sub(r',\n "digest": "[0-9a-f]{64}"\n}\n$', "\n}\n", Path("new.json").read_text("utf-8"))
    assert made == (DATA / "expected" / "baseline.json").read_text("utf-8")
    shutil.copy(DATA / "expected" / "baseline.json", "b.json")
    shown = printed("check run --baseline b.json --gate macro-hard:1.0")
    assert shown == (DATA / "expected" / "check.txt").read_text("utf-8")


def test_the_command_that_made_it_asks_nothing_and_changes_nothing():
    for name in ("grades.jsonl", "report.md", "tables.csv", "tables.json", "tables.tex"):
        Path("run", name).unlink()
    printed(EVAL)
    for path in sorted((DATA / "run").iterdir()):
        if path.name in ("cells.jsonl", "questions.jsonl", "grades.jsonl"):
            same_records(f"run/{path.name}", path)
        elif path.name != "manifest.json":  # it records the versions that ran
            same(f"run/{path.name}", path)
    assert not list(Path("run").glob("replies-[1-9]*"))
