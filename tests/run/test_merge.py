"""Merges that are killed, and shards that do not agree."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from child_processes import Child
from mmdbench.cli.merge import merge
from mmdbench.errors import IncomparableError, UnknownNameError
from mmdbench.run.merge import merge_runs
from mmdbench.run.store import read_replies
from run_folders import change_lines, question, write_run
from verb_calls import call


@pytest.fixture
def shards(tmp_path):
    """A function that writes shards of one run, each with the answers of a function."""

    def write(**answers):
        questions = [question(i) for i in range(4)]
        return [
            write_run(tmp_path / name, questions, answer, levels=("clean",))
            for name, answer in answers.items()
        ]

    return write


def texts(run):
    return [reply.text for _, reply in sorted(read_replies(run).items(), key=lambda one: one[1].index)]


def change(run, **fields):
    """Change fields of every stored reply of a run."""
    change_lines(run / "replies-0.jsonl", lambda record: record | fields)


def test_different_answers_are_an_error_unless_one_is_preferred(shards, tmp_path):
    runs = shards(a=lambda q, *_: "A", b=lambda q, *_: "B" if q.index == 2 else "A")
    out = tmp_path / "out"
    with pytest.raises(
        IncomparableError, match=r"different answers to 1 requests, such as toy 2 at clean, in"
    ):
        merge_runs(runs, out)
    assert not out.exists(), "nothing is written"
    with pytest.raises(UnknownNameError, match=r"'last'.*first, newest"):
        merge_runs(runs, out, "last")
    assert merge_runs(runs, out, "first").different == 1
    assert texts(out) == ["A"] * 4
    assert merge_runs(runs[::-1], out, "first").different == 1
    assert texts(out) == ["A", "A", "B", "A"]


@pytest.mark.parametrize("swap", [False, True])
def test_the_newest_answer_can_be_preferred_and_is_printed(shards, tmp_path, swap):
    runs = shards(a=lambda q, *_: "A", b=lambda q, *_: "B")
    change(runs[0], asked="2026-11-02T00:00:00.000Z")
    change(runs[1], asked="2026-11-01T00:00:00.000Z")
    said = call(merge, *(runs[::-1] if swap else runs), "-o", tmp_path / "out", "--prefer", "newest")
    assert "4 requests had different answers; the newest one counts." in said
    assert texts(tmp_path / "out") == ["A"] * 4


def test_what_is_no_contradiction_needs_no_rule(shards, tmp_path):
    runs = shards(a=lambda q, *_: "A", b=lambda q, *_: "A", c=lambda q, *_: "B", d=lambda q, *_: "C")
    change(runs[1], seconds=9.0, asked="2026-11-01T00:00:00.000Z")
    change(runs[2], status="error")
    assert merge_runs(runs[:3], tmp_path / "equal").different == 0
    assert texts(tmp_path / "equal") == ["A"] * 4
    change(runs[2], status="ok")
    change(runs[3], generation=1)
    assert merge_runs(runs, tmp_path / "anew").different == 0, "the newest generation counts"
    assert texts(tmp_path / "anew") == ["C"] * 4


def killed_at(step, out, *runs):
    """A merge whose process is killed before it moves, removes or begins its file number `step`."""
    left = int(step)

    def counted(function):
        def call(*args, **kwargs):
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    os.replace, os.unlink = counted(os.replace), counted(os.unlink)
    tempfile.mkstemp = counted(tempfile.mkstemp)
    merge_runs([Path(run) for run in runs], Path(out))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")
@pytest.mark.parametrize("again", [False, True])
def test_a_merge_that_is_killed_anywhere_is_finished_by_the_same_command(shards, tmp_path, again):
    runs = shards(a=lambda q, *_: "A", b=lambda q, *_: "A")
    (runs[0] / "images").mkdir()
    (runs[0] / "images" / "p.png").write_bytes(b"a picture")
    merge_runs(runs, tmp_path / "whole")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").rglob("*") if path.is_file()}
    step, code = 0, -signal.SIGKILL
    while code:
        step += 1
        out = tmp_path / f"out{step}"
        if again:  # into what an earlier merge made
            shutil.copytree(tmp_path / "whole", out)
        with Child([step, out, *runs], killed_at) as child:
            code = child.wait()
        assert code in (0, -signal.SIGKILL), child.stderr
        merge_runs(runs, out)
        assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == whole
    assert step > 10
