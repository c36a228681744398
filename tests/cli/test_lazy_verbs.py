"""The table of verbs that `mmdbench --help` shows, and what is imported for a verb."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from mmdbench.cli import VERBS, app

IMPORTED = (
    "import atexit, sys; from mmdbench.cli import main; atexit.register(lambda: print(*sys.modules)); main()"
)
HEAVY = {"cv2", "numba", "numpy", "pandas", "PIL", "pyarrow", "scipy", "torch"}


def imported(*words):
    """The modules that a command imports in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *map(str, words)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


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
        (["list", "corruptions"], HEAVY | {"rich.markdown", "mmdbench.cli.report"}),
        (["list", "models"], HEAVY | {"rich.markdown"}),
    ],
    ids=lambda words: " ".join(sorted(words)[:2]),
)
def test_a_command_imports_only_what_it_needs(words, never):
    assert not imported(*words) & never
