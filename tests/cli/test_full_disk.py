"""Every verb that writes, with files that may not grow as on a full disk: one line and exit code 4."""

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path

import pytest
import typer

from file_limits import limited
from mmdbench.cli._shared.errors import UNEXPECTED, guarded
from mmdbench.cli.assign import assign
from mmdbench.cli.build import build
from mmdbench.cli.evaluate import evaluate
from mmdbench.cli.export import export
from mmdbench.cli.merge import merge
from mmdbench.cli.page import page
from mmdbench.cli.report import report
from mmdbench.cli.score import score
from mmdbench.errors import StoreError
from verb_calls import call

MODEL = ("--model", "chance", "--level", "clean,hard", "--quiet")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    call(evaluate, *MODEL, "--bench", "mini", "--sample", 2, "-o", folder / "run")
    return folder / "run"


@pytest.fixture
def run(stored, tmp_path):
    return Path(shutil.copytree(stored, tmp_path / "run"))


VERBS = {
    "eval": lambda run, out: (evaluate, *MODEL, "--bench", "mini", "--sample", 2, "-o", out),
    "eval again": lambda run, out: (evaluate, *MODEL, "--bench", "mini", "--sample", 4, "-o", run),
    "build": lambda run, out: (build, "--bench", "mini", "--sample", 1, "--level", "low", "-o", out),
    "score": lambda run, out: (score, run),
    "merge": lambda run, out: (merge, run, "-o", out),
    "page": lambda run, out: (page, run, "-o", out.with_suffix(".html")),
    "report": lambda run, out: (report, run),
    "export": lambda run, out: (export, run, "-o", out),
    "assign": lambda run, out: (assign, "--model", "chance", "--bench", "mini", "--sample", 2, "-o", out),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_that_cannot_write_says_so_in_one_line(run, tmp_path, name):
    with limited(most=100):
        said = call(*VERBS[name](run, tmp_path / "out"), code=StoreError.exit_code)
    (line,) = [line for line in said.splitlines() if line.startswith("mmdbench: ")]
    assert "Cannot write" in line
    assert "File too large" in line
    assert "Traceback" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_output_to_a_full_device_is_one_line(monkeypatch, capsys):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(typer.Exit) as left:
            guarded(lambda: typer.echo("a table\n" * 10_000))()
        monkeypatch.undo()
    assert left.value.exit_code == StoreError.exit_code
    assert capsys.readouterr().err.startswith("mmdbench: A file or the output cannot be written: No space")


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.EDQUOT, 4), (errno.EROFS, 4), (errno.EIO, 4), (errno.EACCES, 4), (errno.ENOENT, UNEXPECTED)],
)
def test_an_error_of_the_disk_is_no_fault_of_ours_wherever_it_comes_from(capsys, number, code):
    def verb():
        raise OSError(number, "some reason", "some/file")

    with pytest.raises(typer.Exit) as left:
        guarded(verb)()
    assert left.value.exit_code == code
    said = capsys.readouterr().err
    assert ("Traceback" in said) == (code == UNEXPECTED)
    assert "some/file" in said
