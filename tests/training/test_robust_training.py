"""Robust-R1's trainings on TRL, on a tiny random Qwen2.5-VL in the layout of its releases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import torchvision_shim

if reason := torchvision_shim.why_not("torch", "torchvision", "transformers", "trl", "peft", "accelerate"):
    pytest.skip(reason, allow_module_level=True)

import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.errors import DataError, UsageError
from mmdbench.training.robust.examples import kept_blocks
from mmdbench.training.robust.profiles import (
    GRPO_CODE,
    GRPO_PAPER,
    SFT_PAPER,
    VISION,
    ChainGrpoProfile,
    ChainSftProfile,
    TrainerSettings,
)
from mmdbench.training.robust.rewards import reward_functions
from mmdbench.training.robust.trainers import RobustStart, freeze_vision, train_grpo, train_sft
from robust_training import chain, write_chain_set
from tiny_checkpoints import qwen2_5_vl

OWN = "mmdbench-robust-r1/1"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and a training set."""
    folder = tmp_path_factory.mktemp("base")
    qwen2_5_vl(folder / "model")
    write_chain_set(folder / "set")
    torch.set_num_threads(1)
    return folder


def small(profile, steps: int = 2, **more):
    targets = replace(profile.targets, instruction=OWN)
    batch = TrainerSettings(5e-3, batch=2, accumulation=1, steps=steps, schedule="constant")
    return replace(
        profile,
        name="tiny",
        optimiser=batch,
        targets=targets,
        autocast="no",
        layer_checkpointing=False,
        **more,
    )


def sft(steps: int = 2) -> ChainSftProfile:
    return small(SFT_PAPER, steps)


def grpo(**more) -> ChainGrpoProfile:
    return small(replace(GRPO_CODE, group=2), max_completion=6, **more)


def tensors(folder: Path) -> dict:
    return {k: v for file in folder.glob("*.safetensors") for k, v in load_file(file).items()}


def assert_only_the_language_model_moved(before: Path, after: Path) -> None:
    old, new = tensors(before), tensors(after)
    assert old.keys() == new.keys()
    moved = {key for key in old if not torch.equal(old[key], new[key])}
    assert moved
    assert any(VISION in key for key in old)
    assert not [key for key in moved if VISION in key]


def test_the_supervised_training_lowers_its_loss_and_leaves_the_vision_parts(base, tmp_path):
    seen: list[tuple[int, int, float]] = []

    def watch(step, steps, numbers):
        seen.append((step, steps, numbers["loss"]))

    start = RobustStart(base / "model", base / "set/sft.jsonl", tmp_path, {"data": "sha256"}, watch=watch)
    last = train_sft(start, sft(steps=6))
    assert [step for step, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1][2] < 0.8 * seen[0][2]
    assert_only_the_language_model_moved(base / "model", last)
    record = json.loads((last / "training.json").read_text())
    assert (record["kind"], record["step"], record["steps"]) == ("robust-r1-sft", 6, 6)
    assert record["profile"]["name"] == "tiny"
    assert record["origin"] == {"data": "sha256"}
    assert record["code_version"]


def test_the_blocks_of_the_profile_are_learnt(base, tmp_path):
    losses: list[float] = []
    start = RobustStart(
        base / "model", base / "set/sft.jsonl", tmp_path, watch=lambda _s, _n, x: losses.append(x["loss"])
    )
    profile = sft(steps=1)
    whole = train_sft(start, profile)
    answers = replace(profile, targets=replace(profile.targets, blocks=("ANSWER",)))
    with pytest.raises(UsageError, match="another training: profile differs"):
        train_sft(start, answers)
    train_sft(replace(start, folder=tmp_path / "answers"), answers)
    assert whole.name == "checkpoint-1"
    assert losses[0] != losses[1]


def test_a_stopped_training_continues_to_the_same_weights(base, tmp_path):
    class StoppedError(Exception):
        pass

    def stop(step, _steps, _numbers):
        if step == 3:
            raise StoppedError

    start = RobustStart(base / "model", base / "set/sft.jsonl", tmp_path / "one", save_every=2)
    whole = train_sft(start, sft(steps=4))
    again = replace(start, folder=tmp_path / "two", watch=stop)
    with pytest.raises(StoppedError):
        train_sft(again, sft(steps=4))
    resumed = train_sft(replace(again, watch=None), sft(steps=4))
    first, second = tensors(whole), tensors(resumed)
    assert all(torch.equal(first[key], second[key]) for key in first)


def short_codes(completions, **_) -> list[float]:
    """The share of characters below "P"."""
    texts = [completion[0]["content"] for completion in completions]
    return [sum(character < "P" for character in text) / max(1, len(text)) for text in texts]


def test_reinforcement_learning_raises_a_toy_reward(base, tmp_path):
    rewards: list[float] = []
    start = RobustStart(
        base / "model",
        base / "set/rl.jsonl",
        tmp_path,
        watch=lambda _s, _n, x: rewards.append(x["rewards/short_codes/mean"]),
    )
    profile = grpo(rewards={"format": 0.001}, beta=0.0)
    profile = replace(
        profile, group=8, optimiser=replace(profile.optimiser, batch=16, steps=6, learning_rate=2e-2)
    )
    last = train_grpo(start, profile, {short_codes: 1.0})
    assert sum(rewards[-2:]) / 2 > sum(rewards[:2]) / 2 + 0.1
    assert_only_the_language_model_moved(base / "model", last)


def test_reinforcement_learning_takes_all_rewards_and_a_frozen_reference(base, tmp_path):
    numbers: list[dict] = []
    start = RobustStart(
        base / "model", base / "set/rl.jsonl", tmp_path, watch=lambda _s, _n, x: numbers.append(dict(x))
    )
    last = train_grpo(start, grpo(), {short_codes: 1.0})
    assert {f"rewards/{n}/mean" for n in ("accuracy", "format", "degradation", "length")} <= numbers[0].keys()
    assert numbers[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert numbers[1]["kl"] > 0
    assert json.loads((last / "training.json").read_text())["kind"] == "robust-r1-grpo"


def test_the_rewards_of_a_batch_are_those_of_the_profile():
    good, bad = chain("B", 0.9), chain("C", 0.7).replace("<TYPE>", "")
    completions = [
        [{"role": "assistant", "content": text}]
        for text in (chain("B", 0.7), bad, "<TYPE>a(1.2.3)<TYPE_END>")
    ]
    functions, weights = reward_functions(GRPO_CODE, len)
    found = {f.__name__: f(completions=completions, solution=[good] * 3, prompts=None) for f in functions}
    assert weights == [1.0, 1.0, 1.0, 1.0]
    assert found["accuracy"] == [1.0, 0.0, 0.0]
    assert found["format"] == [1.0, 0.0, 0.0]
    assert found["degradation"] == [1.3, -1.0, -1.0]
    wrapped = len(f"<answer> {good} </answer>")
    assert found["length"][0] == pytest.approx(len(good) / wrapped)
    paper, _ = reward_functions(GRPO_PAPER, len)
    assert [f.__name__ for f in paper] == ["degradation", "length"]
    assert [f(completions=completions[:1], solution=[good])[0] for f in paper] == [0.8, 1.0]


def test_a_record_without_its_blocks_or_its_picture_is_refused(base, tmp_path):
    folder = write_chain_set(tmp_path / "set", 1)
    line = json.loads((folder / "sft.jsonl").read_text())
    for change, message in (
        ({"image": "pictures/gone.png"}, "there is no picture"),
        ({"image": "../x.png"}, "not inside"),
        ({"conversations": [{"from": "human", "value": "Which?"}]}, "none of the blocks"),
    ):
        (folder / "sft.jsonl").write_text(json.dumps(line | change) + "\n")
        with pytest.raises(DataError, match=message):
            train_sft(RobustStart(base / "model", folder / "sft.jsonl", tmp_path / "run"), sft())


def test_blocks_are_kept_in_order():
    assert kept_blocks(chain(), ("TYPE", "ANSWER")) == "<TYPE>noise(0.50)<TYPE_END>\n<ANSWER>B<ANSWER_END>"


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def config(base, tmp_path) -> Path:
    """A configuration of the tiny presets, for few steps."""
    file = tmp_path / "train.yaml"
    file.write_text(
        f"preset: tiny\nmodel: {base / 'model'}\ndata: {base / 'set'}\nsave_every: 1\n"
        "settings:\n  optimiser: {steps: 2}\n"
    )
    return file


def test_the_commands_train_and_eval_asks_the_checkpoint(base, config, make_tsv, tmp_path):
    for task, folder in (("robust-r1-sft", "sft"), ("robust-r1-grpo", "rl")):
        shown = run("train", task, "--config", config, "-o", tmp_path / folder, "--quiet")
        assert f"eval --model hf:{tmp_path / folder / 'checkpoint-2'} --set family=robust-r1" in shown
        lines = [json.loads(line) for line in (tmp_path / folder / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [1, 2]
        record = json.loads((tmp_path / folder / "checkpoint-2/training.json").read_text())
        assert list(record["origin"]["data"]) == [f"{folder}.jsonl"]
        assert len(record["origin"]["weights"]) >= 1
    words = ("--bench", make_tsv(1), "--level", "clean", "--quiet", "--json", "-o", tmp_path / "run")
    limits = ("--set", "max_new_tokens=4", "--set", "device=cpu", "--set", f"instruction={OWN}")
    card = ("--model", f"hf:{tmp_path / 'rl/checkpoint-2'}", "--set", "family=robust-r1")
    run("eval", *card, *words, *limits, "--max-error-rate", "1")
    replies = (tmp_path / "run/manifest.json").read_text()
    assert '"robust-r1"' in replies


def test_a_dry_run_counts_the_parameters_that_are_trained(base, config):
    model = AutoModelForImageTextToText.from_pretrained(base / "model")
    freeze_vision(model)
    counts = {True: 0, False: 0}
    for parameter in model.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    for task in ("robust-r1-sft", "robust-r1-grpo"):
        found = json.loads(run("train", task, "--config", config, "--dry-run", "--json"))
        assert (found["trained_parameters"], found["frozen_parameters"]) == (counts[True], counts[False])
        assert found["steps"] == 2
        assert found["hours"] > 0
