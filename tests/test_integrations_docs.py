"""docs/library.md and the examples run as they stand, as far as what they import is installed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from conftest import picture
from hf_shim import why_not
from PIL import Image
from typer.testing import CliRunner

from mmdbench.cli.calibrate import calibrate

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "library.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    Image.fromarray(picture(1, 96, 128)).save("photo.jpg")


def missing(code):
    for package in ("albumentations", "datasets", "torchvision"):
        if re.search(rf"^(from|import) {package}", code, re.MULTILINE):
            return why_not("torch", package) if package == "torchvision" else _absent(package)
    return _absent("skimage") if "mmdbench.severity" in code else ""


def _absent(package):
    return "" if find_spec(package) else f"{package} is not installed"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_the_blocks_run(code):
    if reason := missing(code):
        pytest.skip(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what other packages say while they are imported
        exec(compile(code, "docs/library.md", "exec"), {})


def test_the_page_shows_every_integration():
    for name in ("albumentations", "torchvision", "datasets"):
        assert any(f"mmdbench.integrations import {name}" in b or f"integrations.{name}" in b for b in BLOCKS)


def test_every_file_the_page_links_to_exists():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


def run_example(name, *arguments):
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_library_in_ten_lines():
    code = (ROOT / "examples" / "library_in_ten_lines.py").read_text("utf-8").split("\n\n", 2)[2]
    lines = [line for line in code.splitlines() if line and "import" not in line]
    assert len(lines) <= 10
    assert "the same again: True" in run_example("library_in_ten_lines.py", "photo.jpg")
    with Image.open("chain.png") as image:
        assert image.size == (128, 96)
    assert len(list(Path().glob("*.png"))) == 17


def test_the_training_augmentation():
    out = run_example("training_augmentation.py", ".")
    assert out == run_example("training_augmentation.py", ".")
    assert len(out.splitlines()) == 2


def test_the_command_of_the_page_runs():
    if reason := _absent("skimage"):
        pytest.skip(reason)
    (line,) = re.findall(r"^mmdbench calibrate .*$", PAGE, re.MULTILINE)
    app = typer.Typer()
    app.command()(calibrate)
    done = CliRunner().invoke(app, shlex.split(line)[2:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert Path("severity.md").exists()
    assert Path("severity.json").exists()
