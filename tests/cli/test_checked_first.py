"""Outputs, packages and keys are checked first, before a download and before a request."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app

JUDGED = ("--judge", "gpt-4.1")
WORK = {
    "eval": ("eval", "--model", "chance", "--bench", "MMStar"),
    "build": ("build", "--bench", "MMStar"),
    "assign": ("assign", "--model", "chance", "--bench", "MMStar"),
}


@pytest.fixture(autouse=True)
def _nothing_is_downloaded(tmp_path, monkeypatch):
    def fetch(*_args: object, **_named: object) -> None:
        raise AssertionError("a benchmark is opened before all else is checked")

    monkeypatch.setattr("mmdbench.benches.lookup.fetch_bench", fetch)
    for name in ("OPENAI_API_KEY", "MMDBENCH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("file").touch()


def refused(*words, code):
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("verb", WORK)
@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_folder_that_cannot_be_written(verb, place):
    said = refused(*WORK[verb], "-o", place, code=4)
    assert f"Cannot write {place}: Not a directory. A file is in the way" in said


def test_a_dry_build_checks_its_folder_too():
    assert "Cannot write file" in refused(*WORK["build"], "-o", "file", "--dry-run", code=4)


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "--model", "gpt-4.1", "--bench", "MMStar"),
        (*WORK["eval"], *JUDGED),
        ("assign", "--model", "gpt-4.1", "--bench", "MMStar"),
        (*WORK["assign"], *JUDGED),
        ("assign", "--recipe", "robust-r1", "--trace", "gpt-4.1", "--bench", "MMStar"),
        ("assign", "--recipe", "code", "--trace", "gpt-4.1", *JUDGED, "--bench", "MMStar"),
    ],
    ids=lambda words: " ".join(words[:4]),
)
def test_a_key_that_is_not_set(words):
    said = refused(*words, "-o", "run", code=4)
    assert "needs a key, and the environment variable OPENAI_API_KEY is not set" in said
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (("eval", "--model", "hf:org/m", "--bench", "MMStar"), "torch", "hf"),
        (("eval", "--model", "clear-rl", "--bench", "MMStar"), "torch", "clear"),
        (("eval", "--model", "vllm-offline:org/m", "--bench", "MMStar"), "vllm", "vllm"),
        (("eval", "--model", "litellm:openai/m", "--bench", "MMStar"), "litellm", "litellm"),
        (("eval", "--model", "vlmeval:m", "--bench", "MMStar"), "vlmeval", "vlmeval"),
        (("eval", "--model", "baseline", "--bench", "MMStar"), "onnxruntime", "demo"),
        (("build", "--format", "parquet", "--bench", "MMStar"), "pyarrow", "parquet"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[2],
)
def test_a_package_that_is_not_installed(words, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert f"pip install 'mmdbench[{extra}]'" in refused(*words, "-o", "run", code=2)
    assert not Path("run").exists()


def test_a_training_names_its_missing_packages_as_a_list(monkeypatch):
    monkeypatch.setattr("mmdbench.library.training.find_spec", lambda _: None)
    said = refused("train", "clear-sft", "--config", "none.yaml", "-o", "out", code=2)
    assert "torch, transformers, safetensors and accelerate are not installed." in said


def test_quality_checks_its_file_before_a_picture_is_read(tmp_path):
    (tmp_path / "quality.json").mkdir()
    said = refused("quality", tmp_path, code=4)
    assert "quality.json: Is a directory" in said


def test_a_page_is_a_file_of_html():
    said = refused("page", "paper:bagel", "-o", "pages/", code=2)
    assert "-o must end in .html, got pages. Write pages/report.html." in said


def test_corrupt_says_what_to_do_about_several_levels():
    said = refused(
        "corrupt", "a.jpg", "-o", "b.jpg", "--corruption", "graffiti", "--level", "low,hard", code=2
    )
    assert "--level takes one level here, got low,hard. Run a command for each level." in said


@pytest.mark.parametrize(
    "words",
    [
        ("figures", "run", "-o", "file"),
        ("report", "run", "--parquet", "file/x.parquet"),
        ("report", "run", "--html", "file/x.html"),
        ("page", "run", "-o", "file/x.html"),
        ("check", "run", "--baseline", "b.json", "--junit", "file/x.xml"),
        ("check", "run", "--baseline", "b.json", "--markdown", "file/x.md"),
        ("check", "run", "--baseline", "file/b.json", "--accept"),
        ("show", "mini:3", "-o", "file/x.png"),
        ("replay", "run", "--index", "3", "-o", "file/x.png"),
        ("gallery", "run", "-o", "file/x.png"),
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_written_is_named_before_anything_is_read(words):
    Path("run").mkdir()  # no run: whatever reads it fails otherwise
    said = refused(*words, code=4)
    assert said.startswith("mmdbench: Cannot write file")
    assert said.count("Cannot write") == 1
    assert said.endswith("A file is in the way of a folder. Name another folder.")
