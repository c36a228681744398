"""Exits beside those of verbs: unexpected exceptions, closed pipes, and consoles with few characters."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from child_processes import Child, command_line
from mmdbench.cli import app
from mmdbench.cli._shared.errors import guarded
from mmdbench.run.json_lines import write_lines
from mmdbench.run.manifest import read_manifest, save_manifest
from pictures import picture, png
from run_folders import question, write_run
from verb_calls import call as call_verb


@pytest.fixture
def run(tmp_path):
    questions = [question(i, question="Größer – 大きい?") for i in range(8)]
    return write_run(tmp_path / "run", questions, lambda q, *_: q.fields["answer"], levels=("clean", "hard"))


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError("by 0"), OSError("odd"), SystemExit(1)])
def test_an_unexpected_exception_exits_with_70_and_says_how_to_report_it(error):
    def verb() -> None:
        raise error

    broken = typer.Typer()
    broken.command()(guarded(verb))
    done = CliRunner().invoke(broken, [])
    assert done.exit_code == 70
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"mmdbench: unexpected error ({type(error).__name__}")
    assert "Please report it" in last
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_ctrl_c_exits_with_130_also_at_a_question(error):
    def verb() -> None:
        raise error

    stopped = typer.Typer()
    stopped.command()(guarded(verb))
    done = CliRunner().invoke(stopped, [])
    assert done.exit_code == 130
    assert done.stderr.startswith("mmdbench: stopped. Run the same command to resume")


@pytest.mark.parametrize("code", [0, 1, 3, 4])
def test_an_exit_that_a_verb_means_stays(code):
    def verb() -> None:
        raise typer.Exit(code)

    meant = typer.Typer()
    meant.command()(guarded(verb))
    assert CliRunner().invoke(meant, []).exit_code == code


def test_a_check_that_fails_inside_is_no_regression(run, monkeypatch, tmp_path):
    baseline = tmp_path / "baseline.json"
    assert (
        CliRunner().invoke(app, ["check", str(run), "--baseline", str(baseline), "--accept"]).exit_code == 0
    )
    monkeypatch.setattr("mmdbench.library.run.check_run", lambda *_, **__: 1 / 0)
    done = CliRunner().invoke(app, ["check", str(run), "--baseline", str(baseline)])
    assert done.exit_code == 70, done.output


DAMAGES = (
    {"plan": []},
    {"benches": [1]},
    {"sessions": {}},
    {"model": 7},
    {"versions": None},
    {"plan": {"design": 7}},
    {"plan": {"corruptions": None}},
    {"plan": {"levels": [1]}},
    {"plan": {"max_error_rate": "x"}},
)


def test_a_damaged_manifest_is_one_line_and_no_traceback(run):
    path = run / "manifest.json"
    whole = json.loads(path.read_text("utf-8"))
    for damage in DAMAGES:
        plan = damage.get("plan")
        record = whole | ({"plan": whole["plan"] | plan} if isinstance(plan, dict) else damage)
        path.write_text(json.dumps(record), "utf-8")
        done = CliRunner().invoke(app, ["report", str(run)])
        assert (done.exit_code, len(done.output.splitlines())) == (4, 1), done.output
    path.write_text("7", "utf-8")
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 4


LINES = {
    "cells.jsonl": ({"cell": None}, {"cell": ["toy", 0]}, {"cell": ["toy", 0, "odd", None, "k"]}, {}),
    "questions.jsonl": ({}, {"bench": "toy", "family": "plain", "index": [], "fields": {}}, {"bench": "toy"}),
    "replies-0.jsonl": ({"text": None}, {"details": 7}, {"seconds": "x"}, {"status": None}),
}


@pytest.mark.parametrize("name", LINES)
def test_a_damaged_line_of_a_runs_file_is_named_and_is_no_traceback(run, name):
    first, *rest = (run / name).read_text("utf-8").splitlines()
    for damage in LINES[name]:
        lines = [json.loads(first) | damage if name.startswith("replies") else damage, *map(json.loads, rest)]
        write_lines(run / name, map(json.dumps, lines))
        save_manifest(run, read_manifest(run), (name,))
        done = CliRunner().invoke(app, ["report", str(run)])
        assert done.exit_code == 4, done.output
        assert f"{name}, line 1" in done.output
    (run / name).write_text("", "utf-8")
    assert CliRunner().invoke(app, ["score", str(run)]).exit_code == 4


def test_an_exception_outside_a_verb_exits_with_70(tmp_path):
    (tmp_path / "typer_breaks.py").write_text(
        "import sys\nfrom mmdbench import cli\ncli.app = lambda: 1 / 0\ncli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "typer_breaks.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 70
    assert "Please report it" in done.stderr


def on_a_console_of(encoding, *words):
    """The command line with PYTHONIOENCODING set, which the interpreter reads when it starts."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=encoding, errors="strict")
    command_line(*words)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("words", [["report"], ["report", "--markdown"], ["cite"]])
def test_what_the_console_cannot_show_is_replaced(run, words, encoding):
    with Child([encoding, *words, run], on_a_console_of) as done:
        assert done.wait() == 0, done.stderr
    assert "toy-model" in done.stdout


def test_a_name_that_cannot_be_written_is_one_line(run, tmp_path):
    text = (
        "index\tquestion\tA\tB\tanswer\timage\n1\tq\tcat\tdog\tA\t"
        + base64.b64encode(png(picture(1))).decode()
    )
    name = b"gr\xf6\xdfe.tsv"
    try:
        (tmp_path / os.fsdecode(name)).write_text(f"{text}\n", "utf-8")
    except OSError:
        pytest.skip("this file system refuses such names")
    words = ["eval", "--model", "chance", "--level", "clean", "-o", "out", "--bench", os.fsdecode(name)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 2, done.output
    assert r"gr\udcf6\udcdfe.tsv" in done.output
    assert done.output.endswith("which is not UTF-8. Rename the file.\n")
    assert done.output.count("\n") == 1


def test_a_file_system_that_cannot_hold_a_name_says_what_to_set(monkeypatch):
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")

    def verb() -> None:
        "größe".encode("ascii")

    shown = call_verb(verb, code=2)
    assert r"The name 'gr\xf6\xdfe' is not text in ascii" in shown
    assert "Set PYTHONUTF8=1" in shown


def test_a_reader_that_went_away_is_no_regression(run):
    command = (
        f'"{sys.executable}" -m mmdbench report "{run}" --table all | head -c 1; echo ${{PIPESTATUS[0]}}'
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1].endswith(("141", "0")), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["{}"], ["doctor", "--model", "chance", "{}"], ["data", "{}"]])
def test_a_stray_address_is_shown_without_its_key(words):
    done = CliRunner().invoke(app, [word.format("https://user:sk-KEY@host/x") for word in words])
    assert done.exit_code == 2
    assert "https://host/x" in done.output
    assert "KEY" not in done.output
