"""`mmdbench train clear-sft` from a training set to a checkpoint that `eval` asks, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("accelerate", reason="accelerate is not installed (extra: train)")

from PIL import Image  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from clear_checkpoints import GOLDEN, open_engine, write_checkpoint  # noqa: E402
from clear_training import SYSTEM, write_rl_set, write_sft_set  # noqa: E402
from mmdbench.cli import app  # noqa: E402
from mmdbench.errors import UsageError  # noqa: E402
from mmdbench.library.training import forecast_training, train  # noqa: E402
from mmdbench.training.clear.forward import freeze, trained_tensors  # noqa: E402


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a tiny training."""
    folder = tmp_path_factory.mktemp("base")
    write_checkpoint(folder / "model")
    write_sft_set(folder / "set")
    (folder / "prompt.txt").write_text(SYSTEM)
    file = folder / "train.yaml"
    file.write_text(
        f"preset: tiny\nmodel: {folder / 'model'}\ndata: {folder / 'set'}\n"
        f"sizes_file: {GOLDEN / 'settings.json'}\nsystem_prompt_file: {folder / 'prompt.txt'}\n"
        "save_every: 2\nsample_every: 2\nsettings:\n  optimiser: {steps: 4}\n"
    )
    return file


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def trained(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training."""
    out = tmp_path_factory.mktemp("trained") / "run"
    shown = json.loads(run("train", "clear-sft", "--config", config, "-o", out, "--json"))
    assert shown == {"checkpoint": str(out / "0000004"), "log": str(out / "log.jsonl")}
    return out


def test_a_training_writes_checkpoints_a_log_and_pictures(trained, config):
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert {"ce", "mse", "distillation", "total", "learning_rate", "rows", "time"} <= lines[0].keys()
    record = json.loads((trained / "0000004/training.json").read_text())
    assert record["profile"]["name"] == "tiny"
    assert record["origin"]["data"].keys() == {"sft.jsonl"}
    assert len(record["origin"]["weights"]) == 2
    pictures = sorted((trained / "samples").iterdir())
    assert [path.name for path in pictures] == ["0000002.png", "0000004.png"]
    assert pictures[0].read_bytes() != pictures[1].read_bytes()
    with Image.open(pictures[0]) as picture:
        assert picture.mode == "RGB"


def test_eval_asks_a_checkpoint_by_its_folder(trained, make_tsv, tmp_path):
    words = ("--bench", make_tsv(1), "--level", "clean", "--quiet", "--json", "-o", tmp_path / "run")
    limits = ("--set", "max_new_tokens=4", "--set", "steps=2", "--set", "device=cpu")
    run("eval", "--model", f"clear:{trained / '0000004'}", *words, *limits, "--max-error-rate", "1")
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    text = json.dumps(manifest)
    assert '"adapter": "clear"' in text
    assert "system_prompt" in text


def test_the_command_resumes_and_refuses_another_training(trained, config, tmp_path):
    before = (trained / "log.jsonl").read_text()
    run("train", "clear-sft", "--config", config, "-o", trained, "--quiet")
    assert (trained / "log.jsonl").read_text() == before
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace("steps: 4", "steps: 5"))
    with pytest.raises(UsageError, match="of another training"):
        train("clear-sft", other, trained, progress=False)


def test_numbers_go_to_a_tracker_and_progress_to_a_function(config, tmp_path):
    logged, shown = [], []
    train(
        "clear-sft",
        config,
        tmp_path,
        log_to=lambda numbers, step: logged.append((step, numbers["training/total"])),
        progress=shown.append,
    )
    assert [step for step, _ in logged] == [1, 2, 3, 4]
    assert (shown[-1].done, shown[-1].total) == (4, 4)


def test_a_dry_run_counts_the_parameters_that_are_trained(config, tmp_path):
    bagel = open_engine(config.parent / "model").model
    freeze(bagel)
    found = forecast_training("clear-sft", config)
    trained = sum(tensor.numel() for tensor in trained_tensors(bagel).values())
    assert found.parameters.trained == trained
    assert found.work.steps == 4
    assert trained / 2 < found.parameters.active < trained
    text = run("train", "clear-sft", "--config", config, "--dry-run")
    assert f"{trained:,} trained" in text
    assert "GiB" in text
    assert "time        about 0 s" in text
    assert "on each of 8 GPUs" in text
    assert "on one GPU" in run("train", "clear-grpo", "--config", "tiny", "--dry-run")
    assert json.loads(run("train", "clear-sft", "--config", config, "--dry-run", "--json"))["steps"] == 4


def test_a_folder_is_needed(config):
    assert "Name it with -o" in run("train", "clear-sft", "--config", config, code=2)


@pytest.fixture(scope="module")
def grpo_config(config: Path) -> Path:
    """The configuration of a tiny reinforcement learning."""
    write_rl_set(config.parent / "set")
    file = config.parent / "grpo.yaml"
    file.write_text(
        config.read_text().replace("{steps: 4}", "{steps: 2, accumulation: 4}")
        + "  rollout: {max_turns: 1, max_new_tokens: 6}\n"
    )
    return file


def test_reinforcement_learning_writes_checkpoints_a_log_and_pictures(grpo_config, tmp_path, make_tsv):
    out = tmp_path / "run"
    run("train", "clear-grpo", "--config", grpo_config, "-o", out, "--quiet")
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert {"reward", "reward_accuracy", "reward_format", "text", "picture", "kl", "restored"} <= lines[
        0
    ].keys()
    record = json.loads((out / "0000002/training.json").read_text())
    assert (record["kind"], record["profile"]["name"]) == ("clear-grpo", "tiny")
    assert record["origin"]["data"].keys() == {"rl.jsonl"}
    assert [path.name for path in (out / "samples").iterdir()] == ["0000002.png"]
    run("train", "clear-grpo", "--config", grpo_config, "-o", out, "--quiet")
    assert len((out / "log.jsonl").read_text().splitlines()) == 2
    with pytest.raises(UsageError, match="of another training"):
        train("clear-sft", grpo_config.with_name("train.yaml"), out, progress=False)
    words = ("--bench", make_tsv(1), "--level", "clean", "--quiet", "--json", "-o", tmp_path / "eval")
    limits = ("--set", "max_new_tokens=4", "--set", "steps=2", "--set", "device=cpu")
    run("eval", "--model", f"clear:{out / '0000002'}", *words, *limits, "--max-error-rate", "1")


def test_a_dry_run_of_reinforcement_learning_counts_the_reference_and_every_copy(grpo_config):
    found = forecast_training("clear-grpo", grpo_config)
    assert found.work.steps == 2
    assert found.reference
    own = found.parameters
    one = (16 * own.trained + 4 * own.frozen + 4 * (own.trained + own.frozen)) / 2**30
    assert found.gib_per_gpu == pytest.approx(one)
    assert found.state_gib == pytest.approx(one * found.hardware.gpus)
    assert "GiB" in run("train", "clear-grpo", "--config", grpo_config, "--dry-run")


def test_a_judge_is_needed_unless_answers_are_compared(grpo_config, tmp_path, monkeypatch):
    file = tmp_path / "judged.yaml"
    file.write_text(grpo_config.read_text() + "  rewards: {accuracy: judge}\n")
    assert "judge: gpt-4.1" in run("train", "clear-grpo", "--config", file, "-o", tmp_path / "a", code=2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "in one process" in run(
        "train", "clear-grpo", "--config", grpo_config, "-o", tmp_path / "b", code=2
    )
