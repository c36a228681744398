"""The table of verbs that `mmdbench --help` shows, and what is imported for a verb."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from mmdbench import library
from mmdbench.cli import VERBS, app
from mmdbench.cli._shared.lazy_verbs import VerbCommand
from mmdbench.cli._shared.urls import OUT, RUN
from run_folders import question, write_run

HEAVY = {"cv2", "numba", "numpy", "pandas", "PIL", "pyarrow", "scipy", "torch"}


def imported(*words):
    """The modules that a command imports in a new interpreter."""
    return set(new_interpreter("print(*sys.modules)", *words).split())


def new_interpreter(last, *words):
    """The last line that a new interpreter prints, which runs a command and then the code `last`."""
    code = f"import atexit, gc, sys; from mmdbench.cli import main; atexit.register(lambda: {last}); main()"
    call = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def test_the_table_has_the_first_line_of_every_verb():
    commands = typer.main.get_command(app).commands
    assert list(commands) == list(VERBS)
    for name, verb in VERBS.items():
        assert commands[name].help.splitlines()[0] == verb.line


def test_help_has_every_verb_with_its_whole_first_line():
    shown = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    for name, verb in VERBS.items():
        assert f"{name} {verb.line}" in shown


@pytest.mark.parametrize(
    ("words", "never"),
    [
        (
            ["--help"],
            HEAVY | {"mmdbench.cli.listing", "mmdbench.library", "pydantic", "rich", "yaml"},
        ),
        (["list", "corruptions"], HEAVY | {"mmdbench.cli.report", "pydantic", "rich.markdown"}),
        (["list", "models"], HEAVY | {"pydantic", "rich.markdown"}),
    ],
    ids=lambda words: " ".join(sorted(words)[:2]),
)
def test_a_command_imports_only_what_it_needs(words, never):
    assert not imported(*words) & never


def test_report_imports_no_pictures_and_nothing_that_asks(tmp_path):
    run = write_run(tmp_path / "run", [question(i) for i in range(3)], lambda *_: "A", levels=("clean",))
    never = {*HEAVY, "asyncio", "importlib.metadata", "mmdbench.corruptions.plugins", "mmdbench.report.page"}
    never |= {"pydantic", "rich.markdown", "ssl"}
    assert not imported("report", run) & (never - {"numpy"})


def _verb(
    first: str,
    more: Annotated[list[str], typer.Argument(parser=RUN)],
    *,
    name: Annotated[list[str] | None, typer.Option("--name")] = None,
    out: Annotated[Path | None, typer.Option(parser=OUT)] = None,
    text: str = "plain",
    count: int = 3,
    share: Annotated[float | None, typer.Option()] = None,
    switch: bool = False,
) -> None:
    print(first, more, name, out, text, count, share, switch)  # noqa: T201 - the test reads it


@pytest.mark.parametrize(
    "words",
    [
        ["a", "b"],
        ["a", "b", "c", "--name", "x", "--name", "y", "--out", "o", "--text", "", "--count", "4", "--switch"],
        ["a", "s3://b/c", "--out", "s3://d", "--share", "0.5"],
        ["a", ""],
        ["a", "b", "--out", " "],
        ["a", "b", "--count", "many"],
        ["a", "b", "--text"],
        ["a"],
    ],
    ids=" ".join,
)
def test_values_are_read_as_typer_reads_them(words):
    ours, theirs = typer.Typer(), typer.Typer()
    ours.command(cls=VerbCommand)(_verb)
    theirs.command()(_verb)
    done, expected = (CliRunner().invoke(one, words) for one in (ours, theirs))
    assert (done.exit_code, done.output) == (expected.exit_code, expected.output)


def test_a_command_ends_without_a_search_for_garbage():
    done = new_interpreter("print(gc.get_freeze_count())", "--version")
    assert int(done) > 1000


@pytest.mark.parametrize("enabled", [True, False])
def test_importing_from_the_library_leaves_the_collector_as_it_was(monkeypatch, enabled):
    seen = []

    def imports(_):
        seen.append(gc.isenabled())
        return SimpleNamespace(Report="the report")

    monkeypatch.setattr(library, "import_module", imports)
    (gc.enable if enabled else gc.disable)()
    try:
        assert library.Report == "the report"
        assert (seen, gc.isenabled()) == ([False], enabled)
    finally:
        gc.enable()
