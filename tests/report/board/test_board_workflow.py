"""The ready workflow of a leaderboard, its steps run one after the other as a runner would."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from board_runs import write_board_run
from forked_program import forked_program
from mmdbench.library.board import make_board
from run_folders import change_lines

WORKFLOW = Path(__file__).parents[3] / "examples" / "github-actions" / "board.yml"


def workflow():
    return yaml.safe_load(WORKFLOW.read_text("utf-8"))


@pytest.fixture
def place(tmp_path):
    """A repository with a run and its submission, and a program `mmdbench`."""
    (tmp_path / "runs").mkdir()
    run = write_board_run(tmp_path / "runs" / "first")
    shutil.move(tmp_path / "runs" / "data", tmp_path / "LMUData")
    made = make_board([run], tmp_path / "made", published=False, examples=0)
    shutil.move(made.submissions[0].parent, tmp_path / "submissions")
    (tmp_path / "bin").mkdir()
    with forked_program(tmp_path / "bin"):
        yield tmp_path


def run_step(place, name):
    (script,) = [step["run"] for step in workflow()["jobs"]["board"]["steps"] if step.get("name") == name]
    environment = os.environ | {key: str(value) for key, value in workflow()["env"].items()}
    environment["PATH"] = f"{place / 'bin'}{os.pathsep}{environment['PATH']}"
    environment["LMUData"] = str(place / "LMUData")
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def test_the_workflow_is_one_that_github_reads():
    read = workflow()
    assert set(read[True]) == {"pull_request", "push", "workflow_dispatch"}  # YAML 1.1 reads `on` as true
    assert read["permissions"] == {"contents": "read"}
    assert read["jobs"]["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert "secrets." not in WORKFLOW.read_text("utf-8")


def test_an_honest_submission_is_published_and_a_changed_reply_is_not(place):
    done = run_step(place, "Verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 pictures made again: all right." in done.stdout
    done = run_step(place, "Board")
    assert done.returncode == 0, done.stderr
    assert 'href="pages/first.html"' in (place / "site" / "index.html").read_text("utf-8")
    change_lines(place / "runs" / "first" / "replies-0.jsonl", lambda record: {**record, "text": "A"})
    done = run_step(place, "Verify")
    assert done.returncode == 1
    assert "grade 1 submitted, 0 by the reply" in done.stdout
