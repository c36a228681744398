"""The verb `train` where its packages are missing, and the names that it takes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.errors import MissingExtraError, UnknownNameError
from mmdbench.library import training
from mmdbench.training.presets import PRESETS, TASKS


def test_a_training_without_its_packages_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "find_spec", lambda name: None if name == "trl" else object())
    with pytest.raises(MissingExtraError, match=r"trl is not installed.*\[train\]"):
        training.train("robust-r1-sft", tmp_path / "train.yaml", tmp_path / "out")
    words = ["train", "robust-r1-grpo", "--config", "train.yaml", "--dry-run"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "[train]" in result.output


def test_an_unknown_training_names_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'clear-sft'"):
        training.forecast_training("clear-stf", tmp_path / "train.yaml")


def test_presets_are_listed_with_their_training():
    rows = json.loads(CliRunner().invoke(app, ["list", "presets", "--json"]).output)
    assert [(row["training"], row["name"]) for row in rows] == [(own.task, own.name) for own in PRESETS]
    assert {row["training"] for row in rows} == set(TASKS)
