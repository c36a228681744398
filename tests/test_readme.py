"""The README's code runs as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from conftest import picture
from PIL import Image
from typer.testing import CliRunner

from mmdbench.cli import app

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(1)).save("photo.jpg")


@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_blocks_run(code):
    exec(compile(code, "README.md", "exec"), {})


def commands():
    lines = "\n".join(blocks("sh")).splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith("mmdbench")]


@pytest.mark.parametrize("line", [c for c in commands() if "eval" not in c and "…" not in c])
def test_the_quick_commands_run(line):
    result = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_every_verb_of_the_readme_exists():
    for line in commands():
        verb = shlex.split(line)[1]
        assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0, verb


def test_every_file_the_readme_links_to_exists():
    root = Path(__file__).parent.parent
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (root / target).exists(), target
