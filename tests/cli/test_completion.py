"""A shell completes verbs, options and the names that they take, by the protocol of typer's scripts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from child_processes import Child, command_line
from mmdbench.cli._shared.completion import complete_runs


def in_environment(environment, *words):
    os.environ.update(json.loads(environment))
    command_line(*words)


def completed(words, shell="bash"):
    """The answer to a shell that completes the last of some words."""
    line = f"mmdbench {words}"
    environment = {
        "_MMDBENCH_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    with Child([json.dumps(environment)], in_environment, Path.cwd()) as child:
        child.wait()
        return child.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rep", ["replay", "report"]),
        ("eval --bench MMS", ["MMStar"]),
        ("build --corruption lens_b", ["lens_blur"]),
        ("build --corruption lens_blur,lens_", ["lens_blur,lens_flare"]),
        ("corrupt --corruption capt", ["capture"]),
        ("eval --level h", ["hard"]),
        ("eval --design gr", ["grid"]),
        ("eval --corruption-set ev", ["everyday"]),
        ("eval --protocol clear", ["clear/1"]),
        ("report x --table corruption-c", ["corruption-category"]),
        ("report paper:clear-", ["paper:clear-sft", "paper:clear-rl"]),
        ("list fam", ["families"]),
        ("data path MMVe", ["MMVet"]),
    ],
)
def test_names_are_completed(words, expected):
    assert completed(words).split() == expected


def test_models_are_completed_in_every_shell():
    for shell in ("bash", "zsh", "fish"):
        found = completed("eval --model clear-r", shell)
        assert "clear-rl" in found
        assert "clear-sft" not in found


def test_folders_of_runs_are_completed(tmp_path, monkeypatch):
    for name, kept in (("runs/a", True), ("runs/b", False), ("other", False)):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        if kept:
            (folder / "manifest.json").write_text(json.dumps({}))
    (tmp_path / "runs.txt").write_text("")
    (tmp_path / ".hidden").mkdir()
    monkeypatch.chdir(tmp_path)
    assert complete_runs("") == ["other/", "runs/"]
    assert complete_runs("ru") == ["runs/"]
    assert complete_runs("runs/") == ["runs/a", "runs/b/"]
    assert complete_runs(f"{tmp_path}/runs/a") == [f"{tmp_path}/runs/a"]
    assert complete_runs(".h") == [".hidden/"]
    assert complete_runs("nowhere/") == []
    assert completed(f"page {tmp_path}/runs/a").split() == [f"{tmp_path}/runs/a"]
