"""Presets and configurations of trainings, which need no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from docs_blocks import ROOT, blocks_of
from mmdbench.errors import DataError, UnknownNameError, UsageError
from mmdbench.training.clear.profiles import PAPER, REPO
from mmdbench.training.config import HardwareSettings, TrainingConfig, read_config, with_files_of_model
from mmdbench.training.footprint import Footprint, ParameterCount, Work
from mmdbench.training.presets import PRESETS, TASKS, changed, find_profile
from mmdbench.training.robust.profiles import GRPO_CODE, GRPO_PAPER


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: f"{p.task}:{p.name}")
def test_every_preset_is_a_small_difference_to_its_profile(preset):
    profile = find_profile(preset.task, preset.name, {})
    base = TASKS[preset.task][preset.base]
    assert profile.name == preset.name
    changed = {f for f in base.__dataclass_fields__ if getattr(profile, f) != getattr(base, f)} - {"name"}
    assert changed == set(preset.changes)
    assert preset.meaning


def test_presets_have_the_numbers_of_their_sources():
    paper, repo = find_profile("clear-sft", "paper", {}), find_profile("clear-sft", "repo", {})
    assert (paper, repo) == (PAPER, REPO)
    dated = find_profile("clear-sft", "repo-final-mse", {})
    assert (dated.optimiser.steps, dated.distillation.mode, dated.distillation.weight) == (
        600,
        "final_mse",
        0.1,
    )
    assert find_profile("robust-r1-grpo", "without-r-len", {}).rewards == {"degradation": 1.0}
    assert find_profile("robust-r1-grpo", "without-r-deg", {}).rewards == {"length": 1.0}
    blocks = find_profile("robust-r1-sft", "without-reasoning", {}).targets.blocks
    assert blocks == ("TYPE", "INFLUENCE", "CONCLUSION", "ANSWER")
    code = GRPO_CODE
    assert (code.group, code.beta, code.epsilon, code.iterations) == (8, 0.04, 0.2, 1)
    assert (code.max_completion, code.temperature, code.top_k, code.top_p) == (2048, 0.9, 50, 1.0)
    assert (code.optimiser.learning_rate, code.optimiser.batch, code.optimiser.accumulation) == (1e-6, 8, 2)
    assert code.rewards == dict.fromkeys(("accuracy", "format", "degradation", "length"), 1.0)
    assert (GRPO_PAPER.degradation, GRPO_CODE.degradation) == ("paper", "code")


def test_settings_change_a_preset_and_are_checked():
    found = find_profile("clear-sft", "paper", {"optimiser": {"steps": 7, "learning_rate": "1e-4"}})
    assert (found.optimiser.steps, found.optimiser.learning_rate) == (7, 1e-4)
    assert found.optimiser.warmup_steps == PAPER.optimiser.warmup_steps
    for settings, message in (
        ({"optimizer": {}}, "Did you mean 'optimiser'"),
        ({"optimiser": {"step": 3}}, "Did you mean 'steps'"),
        ({"name": "x"}, "Unknown setting"),
    ):
        with pytest.raises(UnknownNameError, match=message):
            find_profile("clear-sft", "paper", settings)
    with pytest.raises(
        DataError, match=r"settings.optimiser.steps must be a whole number or null, got 'many'"
    ):
        find_profile("clear-sft", "paper", {"optimiser": {"steps": "many"}})
    with pytest.raises(UsageError, match=r"settings.optimiser must be a table"):
        find_profile("clear-sft", "paper", {"optimiser": 3})
    with pytest.raises(UnknownNameError, match="Did you mean 'paper'"):
        find_profile("clear-sft", "papier", {})
    with pytest.raises(UnknownNameError, match="Did you mean 'clear-sft'"):
        find_profile("clear-stf", "paper", {})


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        ("preset: tiny\nmodle: a\ndata: b\n", "robust-r1-sft", "Did you mean 'model'"),
        ("preset: paper\nmodel: a\n", "robust-r1-sft", "has no 'data'"),
        ("preset: paper\ndata: a\n", "robust-r1-sft", "has no 'model'.*Only the preset tiny brings"),
        (
            "preset: tiny\nmodel: a\ndata: b\nsave_every: often\n",
            "robust-r1-sft",
            "save_every must be a whole",
        ),
        (
            "preset: tiny\nmodel: a\ndata: b\nsave_every: -1\n",
            "robust-r1-sft",
            "save_every must be at least 0",
        ),
        ("preset: tiny\nmodel: a\ndata: b\nsizes_file: c\n", "robust-r1-sft", "belongs to CLEAR's trainings"),
        ("preset: a\npreset: b\n", "clear-sft", "occurs twice, line 1"),
        ("- preset", "clear-sft", "must be a table"),
    ],
)
def test_a_configuration_is_read_strictly(tmp_path, text, task, message):
    file = tmp_path / "train.yaml"
    file.write_text(text)
    with pytest.raises((DataError, UsageError), match=message):
        read_config(file, task)
    with pytest.raises(DataError, match="Cannot read the configuration"):
        read_config(tmp_path / "gone.yaml", task)


def test_files_that_lie_beside_the_model_are_found(tmp_path):
    config = TrainingConfig("paper", str(tmp_path), "data")
    assert with_files_of_model(config, "robust-r1-sft") == config
    with pytest.raises(UsageError, match=r"names no system_prompt_file, and .* has no system_prompt.txt"):
        with_files_of_model(config, "clear-sft")
    for name in ("system_prompt.txt", "sizes.json"):
        (tmp_path / name).write_text("{}")
    found = with_files_of_model(config, "clear-sft")
    assert found.system_prompt_file == str(tmp_path / "system_prompt.txt")
    assert found.sizes_file == str(tmp_path / "sizes.json")
    named = with_files_of_model(replace(config, system_prompt_file="own.txt"), "clear-sft")
    assert named.system_prompt_file == "own.txt"


def test_tiny_stands_for_a_file_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_config(Path("tiny"), "robust-r1-sft") == TrainingConfig("tiny")
    assert read_config(Path("tiny"), "clear-sft").sample_every == 40
    Path("tiny").write_text("preset: paper\nmodel: a\ndata: b\n")
    assert read_config(Path("tiny"), "clear-sft").preset == "paper"


def test_the_documented_configuration_is_valid(tmp_path):
    (block,) = [b for b in blocks_of(ROOT / "docs/training.md") if b.title == "train.yaml"]
    file = tmp_path / "train.yaml"
    file.write_text(block.code)
    config = read_config(file, "clear-sft")
    assert find_profile("clear-sft", config.preset, config.settings).optimiser.steps == 1000
    assert changed(HardwareSettings(), config.hardware, "hardware").tflops == 989


def test_data_is_a_folder_of_assign_or_a_file(tmp_path):
    file = tmp_path / "train.yaml"
    file.write_text(f"preset: tiny\nmodel: a\ndata: {tmp_path}\n")
    config = read_config(file, "robust-r1-sft")
    assert config.data_file("robust-r1-sft") == tmp_path / "sft.jsonl"
    assert config.data_file("robust-r1-grpo") == tmp_path / "rl.jsonl"
    file.write_text(f"preset: tiny\nmodel: a\ndata: {tmp_path / 'own.jsonl'}\n")
    assert read_config(file, "robust-r1-sft").data_file("robust-r1-sft").name == "own.jsonl"


def test_memory_and_time_follow_from_parameters():
    parameters, work = ParameterCount(trained=10**9, frozen=10**8, active=5 * 10**8), Work(1000, 100_000, 4)
    plain = Footprint(parameters, work, HardwareSettings(gpus=1, tflops=100.0, utilisation=0.5))
    assert plain.state_gib == pytest.approx((16e9 + 4e8) / 2**30)
    # 2 · 5e8 operations a token and pass, 4 passes, 1e8 tokens, at 5e13 a second
    assert plain.hours == pytest.approx(4e17 / 5e13 / 3600)
    shared = Footprint(parameters, work, HardwareSettings(gpus=8), average=True, reference=True)
    assert shared.gib_per_gpu == pytest.approx((20e9 + 4e8 + 4.4e9) / 2**30 / 8)
