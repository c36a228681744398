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


# What these need is not here: a benchmark to download, a model of 15 billion parameters, your run's name.
ELSEWHERE = ("paper:", "--bench mmd", "--model clear-rl", "…", "eval --model baseline")


@pytest.mark.slow
def test_the_commands_run_one_after_the_other():
    call = CliRunner().invoke
    chance = "eval --model chance --bench mini -o RUN --quiet"
    for line in (f"mmdbench {chance}", *commands()):
        if any(part in line for part in ELSEWHERE):
            continue
        result = call(app, shlex.split(line)[1:], catch_exceptions=False)
        assert result.exit_code == 0, f"{line}\n{result.output}"


def test_every_verb_of_the_readme_exists():
    for line in commands():
        verb = shlex.split(line)[1]
        assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0, verb


def test_every_file_the_readme_links_to_exists():
    root = Path(__file__).parent.parent
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (root / target).exists(), target
