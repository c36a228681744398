"""Several models in one command, and the labels of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mmdbench
from mmdbench.cli import app
from mmdbench.errors import UsageError
from mmdbench.library import load_run


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_several_models_have_a_run_each_and_one_table(make_tsv):
    words = ("eval", "--bench", make_tsv(6), "--level", "clean,hard", "--quiet", "-o", "runs/all")
    Path("cards.toml").write_text('[second]\nadapter = "chance"\n')
    words += ("--model", "chance", "--model", "second", "--model-card", "cards.toml")
    said = call(*words).output
    assert {path.name for path in Path("runs/all").iterdir()} == {"chance", "second"}
    assert said.count("Mean over benchmarks and its drop") == 1
    assert f"mmdbench compare {Path('runs/all/chance')} {Path('runs/all/second')}" in said
    runs = json.loads(call(*words, "--json").stdout)["runs"]
    assert {run["label"] for run in runs} == {"chance", "second"}
    assert Path("runs/all/second/report.md").exists()


def test_one_model_that_fails_does_not_lose_the_others(make_tsv, monkeypatch):
    monkeypatch.setenv("MMDBENCH_API_KEY", "k")
    server = "openai:org/m@http://127.0.0.1:9"  # where nothing listens
    words = ("eval", "--bench", make_tsv(4), "--quiet", "-o", "both", "--model", server, "--model", "chance")
    result = call(*words, code=4)
    assert "mmdbench: m: " in result.output
    assert load_run("both/chance").complete


def test_models_and_labels_are_checked_before_anything_is_asked(make_tsv):
    words = ("eval", "--bench", make_tsv(4), "--quiet", "-o", "out", "--model", "chance")
    assert "Two models have the label" in call(*words, "--model", "chance", code=2).output
    assert "Did you mean 'baseline'" in call(*words, "--model", "baselin", code=2).output
    assert "got 1 for 2 models" in call(*words, "--model", "baseline", "--label", "a", code=2).output
    assert "--label must be one line" in call(*words, "--label", "a\nb", code=2).output
    assert not Path("out").exists()


def test_a_dry_run_of_several_models_shows_each(make_tsv):
    words = ("eval", "--bench", make_tsv(4), "--dry-run", "--model", "chance", "--model", "baseline")
    found = json.loads(call(*words, "--json").stdout)
    assert [one["model"] for one in found] == ["chance", "baseline"]
    said = call(*words, "--label", "One", "--label", "Two").output
    assert "One:" in said
    assert "Two:" in said
    assert said.count("toy: family plain") == 1  # what all models are asked is said once


def test_the_progress_bar_shows_the_label(make_tsv):
    shown = []
    mmdbench.evaluate("chance", make_tsv(4), out="run", label="Mine", progress=shown.append)
    assert {progress.task for progress in shown} == {"Mine on toy"}


def test_a_label_heads_tables_and_is_kept(make_tsv):
    bench = make_tsv(4)
    words = ("eval", "--model", "chance", "--bench", bench, "--quiet")
    assert "Our model" in call(*words, "--label", "Our model").output
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("Our-model_toy_mixed_")
    call(*words)  # the same run, whatever its label
    assert [path.name for path in Path("runs").iterdir()] == [folder.name]
    assert load_run(folder).name == "Our model"
    call(*words, "--label", "Another")
    assert load_run(folder).name == "Another"
    assert "Another" in call("report", folder).output
    run = mmdbench.evaluate("chance", bench, out="py", label="Mine", progress=False)
    assert run.name == "Mine"
    with pytest.raises(UsageError, match="label"):
        mmdbench.evaluate("chance", bench, out="py2", label="a\nb", progress=False)


def test_published_results_take_a_label():
    said = call("report", "paper:bagel=Our baseline", "paper:clear-rl=CLEAR").output
    assert "Our baseline" in said
    assert "paper:" not in said.partition("Next:")[0]  # which names them as they are given
    assert "Two results have the label" in call("report", "paper:bagel=X", "paper:clear-rl=X", code=2).output


def test_a_model_of_a_server_is_called_by_its_short_name(tmp_path):
    from mmdbench.records import RunPlan
    from mmdbench.run.folder import default_folder

    plan = RunPlan("openai:org/m@http://10.0.0.3:8000/v1", ("mini",))
    assert default_folder(plan).name.startswith("m_mini_mixed_")
    earlier = (
        Path("runs") / f"openai-org-m-http---10.0.0.3-8000-v1_mini_mixed_{default_folder(plan).name[-8:]}"
    )
    earlier.mkdir(parents=True)
    assert default_folder(plan) == earlier
