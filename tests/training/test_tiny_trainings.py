"""The preset `tiny`: it brings its model and data, and CLEAR's learns when to ask for a restored picture."""

from __future__ import annotations

import csv
import json
import socket
from pathlib import Path

import pytest

import torchvision_shim

if reason := torchvision_shim.why_not("torch", "torchvision", "transformers", "trl", "peft", "accelerate"):
    pytest.skip(reason, allow_module_level=True)

import torch
from typer.testing import CliRunner

from docs_folder import write_small_mini
from mmdbench import load_run
from mmdbench.benches import open_bench
from mmdbench.cli import app
from mmdbench.library.training import forecast_training, train
from mmdbench.training import read_records

STEPS = 160


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module", autouse=True)
def _one_thread_and_no_network():
    def refuse(*_: object) -> None:
        raise AssertionError("a tiny training needs no network")

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of CLEAR's whole tiny training, from the name of the preset alone."""
    out = tmp_path_factory.mktemp("tiny") / "clear"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(out.parent)
        run("train", "clear-sft", "--config", "tiny", "-o", out, "--quiet")
    return out


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_it_lowers_its_own_losses(clear):
    lines = log_of(clear)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    for name, share in (("total", 0.1), ("ce", 0.1), ("mse", 0.9), ("distillation", 0.1)):
        begin, end = (sum(line[name] for line in part) for part in (lines[:10], lines[-10:]))
        assert end < share * begin, name


def test_it_leaves_pictures_a_record_and_a_model_on_its_own(clear):
    assert [path.name for path in sorted((clear / "samples").iterdir())] == [
        f"{step:07d}.png" for step in range(40, STEPS + 1, 40)
    ]
    last = clear / f"{STEPS:07d}"
    record = json.loads((last / "training.json").read_text())
    assert (record["kind"], record["profile"]["name"], record["steps"]) == ("clear-sft", "tiny", STEPS)
    assert record["origin"]["data"].keys() == {"sft.jsonl"}
    assert len(record["origin"]["weights"]) == 2
    assert record["code_version"]
    named = {"ema.safetensors", "model.safetensors", "ae.safetensors", "sizes.json", "system_prompt.txt"}
    assert named < {path.name for path in last.iterdir()}


@pytest.fixture
def held_out(clear, tmp_path) -> Path:
    """A benchmark of photographs of `mini` that are not in the training set."""
    write_small_mini(tmp_path / "mini.tsv")
    seen = {
        r.details["index"] for name in ("sft", "rl") for r in read_records(clear / f"tiny/set/{name}.jsonl")
    }
    photos = {q.fields["photo"] for q in open_bench("mini").questions if q.index in seen}
    csv.field_size_limit(10**8)
    with (tmp_path / "mini.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if (
            row["photo"] not in photos and len(row["image"]) > 9
        ):  # a short cell names the row with the picture
            found.setdefault(row["photo"], row)
    with (tmp_path / "photos.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(list(found.values())[:24])
    return tmp_path / "photos.tsv"


def test_it_asks_for_a_picture_where_the_data_do_and_eval_reports_it(clear, held_out, tmp_path):
    folder = tmp_path / "run"
    how = ("--level", "low,hard", "--corruption", "dark_illumination", "--design", "grid")
    limits = ("--set", "device=cpu", "--set", "steps=4", "--set", "max_new_tokens=40")
    model = f"clear:{clear / f'{STEPS:07d}'}"
    run("eval", "--model", model, "--bench", held_out, *how, *limits, "-o", folder, "--quiet")
    asked = load_run(folder).tables["trigger"]
    assert asked[("clear:0000160", "all"), "low"].value < 15
    assert asked[("clear:0000160", "all"), "hard"].value > 70


def test_the_same_folder_continues_with_what_it_brought(clear, tmp_path):
    before = (clear / "log.jsonl").read_text()
    config = tmp_path / "train.yaml"
    config.write_text("preset: tiny\n")
    train("clear-sft", config, clear, progress=False)
    assert (clear / "log.jsonl").read_text() == before


def test_a_checkpoint_is_a_model_to_start_from(clear, tmp_path):
    config = tmp_path / "train.yaml"
    config.write_text(
        f"preset: tiny\nmodel: {clear / f'{STEPS:07d}'}\nsettings: {{optimiser: {{steps: 2}}}}\n"
    )
    train("clear-sft", config, tmp_path / "more", progress=False)
    assert not (tmp_path / "more/tiny/model").exists()
    assert log_of(tmp_path / "more")[0]["ce"] < 0.5  # it begins where the first training ended


@pytest.mark.parametrize("task", ["robust-r1-sft", "robust-r1-grpo"])
def test_robust_r1_brings_its_own_with_pictures_of_several_sizes(task, tmp_path):
    config = tmp_path / "train.yaml"
    config.write_text("preset: tiny\nsettings:\n  optimiser: {steps: 2}\n")
    last = train(task, config, tmp_path / "run", progress=False)
    record = json.loads((last / "training.json").read_text())
    assert (record["kind"], record["step"]) == (task, 2)
    assert [line["step"] for line in log_of(tmp_path / "run")] == [1, 2]


def test_reinforcement_learning_brings_its_own_and_eval_asks_its_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("train", "clear-grpo", "--config", "tiny", "-o", "out", "--quiet")
    assert [line["step"] for line in log_of(tmp_path / "out")] == [1, 2, 3, 4]
    limits = ("--set", "device=cpu", "--set", "steps=2", "--set", "max_new_tokens=8", "--sample", "2")
    run("eval", "--model", "clear:out/0000004", "--bench", "mini", *limits, "-o", "run", "--quiet")
    assert load_run("run").complete


@pytest.mark.parametrize("task", ["clear-sft", "clear-grpo", "robust-r1-sft", "robust-r1-grpo"])
def test_a_dry_run_by_the_presets_name_leaves_nothing(task, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    found = forecast_training(task, "tiny")
    assert 100_000 < found.parameters.trained < 400_000
    assert capfd.readouterr().out == ""
    assert not list(tmp_path.iterdir())
