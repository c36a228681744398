"""The man page is that of the commands, is installed, and groff reads it without a complaint."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "man" / "mmdbench.1"


@pytest.fixture(autouse=True)
def _tools(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))


def test_the_page_is_that_of_the_commands():
    from man_page import man_page

    assert PAGE.read_text("utf-8") == man_page(), "write it anew: python tools/man_page.py"


def test_the_page_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert settings["tool"]["setuptools"]["data-files"] == {"share/man/man1": ["man/mmdbench.1"]}


def test_groff_reads_the_page():
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    done = subprocess.run(
        ["groff", "-K", "utf8", "-man", "-ww", "-Tutf8", "-P-c", "-P-b", "-P-u", str(PAGE)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "VERBS" in done.stdout
    assert "EXIT STATUS" in done.stdout
