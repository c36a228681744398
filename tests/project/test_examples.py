"""Examples run unchanged, as a user would run them."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

import mmdbench
from child_processes import Child
from forked_program import forked_program
from mmdbench.benches import open_bench
from mmdbench.cli import app
from pictures import picture

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Image.fromarray(picture(1, 96, 128)).save("photo.jpg")


def run(*command):
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_run_here_or_in_a_test_of_its_own():
    elsewhere = {
        "adapter_package": "adapters/test_adapter_package.py",
        "corruption_package": "corruptions/test_corruption_package.py",
        "imagenet_c_set": "corruptions/test_imagenet_c_set.py",
        "github-actions": "check/test_check_workflow.py",
    }
    here = Path(__file__).read_text("utf-8")
    for path in EXAMPLES.iterdir():
        if path.name.startswith((".", "_")):
            continue
        test = elsewhere.get(path.name)
        assert (Path(__file__).parents[1] / test).exists() if test else f'"{path.name}"' in here, path.name


def test_an_evaluation_in_python_uses_every_public_name():
    out = run(EXAMPLES / "evaluation_in_python.py", ".")
    assert "no regression" in out
    assert "4 rows built" in out
    assert "Score by level" in out
    code = (EXAMPLES / "evaluation_in_python.py").read_text("utf-8")
    modules = {"__version__", "AsyncModel", "benches", "corruptions", "scoring"}
    assert [name for name in mmdbench.__all__ if f"mmdbench.{name}" not in code] == sorted(modules)


def test_the_library_in_ten_lines():
    code = (EXAMPLES / "library_in_ten_lines.py").read_text("utf-8").split("\n\n", 2)[2]
    lines = [line for line in code.splitlines() if line and "import" not in line]
    assert len(lines) <= 10
    assert "the same again: True" in run(EXAMPLES / "library_in_ten_lines.py", "photo.jpg")
    with Image.open("chain.png") as image:
        assert image.size == (128, 96)
    assert len(list(Path().glob("*.png"))) == 17


def test_the_training_augmentation():
    out = run(EXAMPLES / "training_augmentation.py", ".")
    assert out == run(EXAMPLES / "training_augmentation.py", ".")
    assert len(out.splitlines()) == 2


def test_a_benchmark_of_your_own():
    Path("q.csv").write_text("file,question,A,B,answer\nphoto.jpg,Bright or dark?,bright,dark,A\n" * 1)
    assert "1 questions" in run(EXAMPLES / "own_benchmark.py", ".", "q.csv", "mine.tsv")
    (question,) = open_bench("mine.tsv").questions
    assert question.options == {"A": "bright", "B": "dark"}
    assert question.answer == "A"
    assert question.images[0].read() == Path("photo.jpg").read_bytes()


def test_a_model_of_your_own(make_tsv):
    text = (EXAMPLES / "own_model.py").read_text("utf-8")
    Path("own_model.py").write_text(text, encoding="utf-8")
    (card,) = re.findall(r"^    (\[my-model\]\n(?:    .*\n)+)", text, re.MULTILINE)
    Path("models.toml").write_text(card.replace("\n    ", "\n"), encoding="utf-8")
    path = make_tsv(6)
    command = ["-m", "mmdbench", "eval", "--model", "my-model", "--model-card", "models.toml"]
    command += ["--bench", path, "-o", "out", "--quiet"]
    run(*command, "--level", "clean")
    rows = [json.loads(line) for line in Path("out/replies-0.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 6
    assert {row["text"] for row in rows} <= {"A", "D"}
    assert all((row["text"] == "A") == (row["details"]["mean"] > 100) for row in rows)


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ("no_model.py", "there is no such file"),
        ("broken.py", "cannot be run"),
        ("empty.py", "no function load"),
    ],
)
def test_a_model_file_that_is_none(adapter, said, make_tsv):
    Path("broken.py").write_text("1 / 0\n")
    Path("empty.py").write_text("")
    Path("models.toml").write_text(f'[mine]\nadapter = "{adapter}"\n')
    done = CliRunner().invoke(
        app, ["eval", "--model", "mine", "--model-card", "models.toml", "--bench", str(make_tsv(2))]
    )
    assert done.exit_code == 4
    assert said in done.output
    assert "Traceback" not in done.output


def program(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="the script is for bash")
def test_the_slurm_array(make_tsv, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    # Slurm would run what it is handed when all tasks are done; here it is written down.
    program(
        tools,
        "sbatch",
        '#!/bin/sh\nfor word; do case "$word" in --wrap=*) echo "${word#--wrap=}" >> later;; esac; done\n',
    )
    path = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    slurm = {"SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_JOB_ID": "7"}
    words = ["chance", str(make_tsv(6)), "runs/toy", "--level", "clean,hard", "--quiet"]

    def bash(*command, **more):
        done = subprocess.run(
            ["bash", *command], env={**path, **more}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with forked_program(tools):
        for number in ("1", "2"):
            bash(str(EXAMPLES / "slurm_array.sh"), *words, **slurm, SLURM_ARRAY_TASK_ID=number)
        (later,) = Path("later").read_text("utf-8").splitlines()
        assert "12 of 12 planned answers" in bash("-c", later)


def test_the_ray_cluster():
    text = (EXAMPLES / "ray_cluster.yaml").read_text("utf-8")
    cluster = yaml.safe_load(text)
    assert cluster["head_node_type"] in cluster["available_node_types"]
    (extras,) = re.findall(r"mmdbench\[([\w,]+)\]", " ".join(cluster["setup_commands"]))
    declared = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(re.search(rf"^{extra} = \[", declared, re.MULTILINE) for extra in extras.split(","))
    options = {name for p in typer.main.get_command(app).commands["eval"].params for name in p.opts}
    assert set(re.findall(r"(?<= )--[a-z-]+", text.partition("cluster_name")[0])) <= options


def run_cells():
    """Run the cells of the notebook with the settings of the test, and warnings as errors."""
    warnings.simplefilter("error")
    os.environ |= {"QUESTIONS": "4", "XDG_CONFIG_HOME": "config"}
    runpy.run_path("cells.py")


@pytest.mark.slow
def test_the_notebook():
    if not find_spec("matplotlib"):
        pytest.skip("matplotlib is not installed")
    notebook = json.loads((EXAMPLES / "robustness.ipynb").read_text("utf-8"))
    assert notebook["nbformat"] == 4
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert all(not c["outputs"] for c in notebook["cells"] if c["cell_type"] == "code"), "clear the outputs"
    head = "import matplotlib\nmatplotlib.use('agg')\n"
    Path("cells.py").write_text(head + "\n\n".join(cells), encoding="utf-8")
    Path("config/mmdbench").mkdir(parents=True)
    Path("config/mmdbench/models.toml").write_text(
        '[baseline]\nadapter = "chance"\n'
    )  # the real one reads texts, slowly
    with Child([], run_cells) as cells:
        assert cells.wait() == 0, cells.stderr
    assert Path("drops.png").stat().st_size > 5000
