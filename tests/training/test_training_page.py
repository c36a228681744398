"""docs/training.md: its walk from photographs to a drop table, run, and its table of memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import torchvision_shim

if reason := torchvision_shim.why_not("torch", "torchvision", "transformers", "accelerate"):
    pytest.skip(reason, allow_module_level=True)

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from typer.testing import CliRunner

from docs_blocks import ROOT, blocks_of, commands_of
from docs_folder import environment, fill_folder
from judge_server import serving
from mmdbench.bagel.bagel import Bagel
from mmdbench.bagel.settings import Architecture, LanguageSizes, Sizes, VisionSizes
from mmdbench.bagel.vae import Autoencoder
from mmdbench.cli import app
from mmdbench.training import read_records
from mmdbench.training.clear.forward import freeze, trained_tensors
from mmdbench.training.config import HardwareSettings
from mmdbench.training.footprint import Footprint, ParameterCount, Work
from mmdbench.training.robust.profiles import VISION

PAGE = ROOT / "docs" / "training.md"
WALK, STEPS = "tiny.yaml", 4
_SHORT = ("steps=2", "device=cpu", "max_new_tokens=8")
FEW = {"assign": ("--sample", "24"), "eval": ("--sample", "4", *(w for s in _SHORT for w in ("--set", s)))}


def write_trace(body: dict) -> str:
    """A trace of the form that the prompt asks for, from a template."""
    text = "".join(part.get("text", "") for part in body["messages"][-1]["content"])
    answer = re.search(r"Right answer: (.*)", text)[1]
    end = f"<think>The picture is clear.</think>\n<answer>{answer}</answer>"
    restores = "<image_restore> alone on a line" in text
    return f"<think>The picture is dark.</think>\n<image_restore>\n{end}" if restores else end


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder as other pages have, whose `gpt-4.1` writes traces and whose `baseline` guesses."""
    work = tmp_path / "work"
    work.mkdir()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with serving(write_trace) as server:
        fill_folder(work, {"judge": server.url, "model": server.url})
        cards = work / "config/mmdbench/models.toml"
        cards.write_text(cards.read_text().replace('adapter = "knowing.py"', 'adapter = "chance"'))
        monkeypatch.chdir(work)
        for name, value in environment(work).items():
            monkeypatch.setenv(name, value)
        yield work
    torch.set_num_threads(before)


def test_the_walk_ends_in_a_drop_table(folder):
    blocks = blocks_of(PAGE)
    place = next(number for number, block in enumerate(blocks) if block.title == WALK)
    # The same training with fewer steps, of fewer questions.
    Path(WALK).write_text(f"{blocks[place].code}\nsettings: {{optimiser: {{steps: {STEPS}}}}}\n")
    shown = {}
    for command in commands_of(blocks[place + 1]):
        words = [word.replace("0000160", f"{STEPS:07d}") for word in command.words[1:]]
        done = CliRunner().invoke(app, [*words, *FEW.get(words[0], ())], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        shown[command.line] = done.output
    assert {record.mode for record in read_records("sets/dark/sft.jsonl")} == {"direct", "generate"}
    assert not (folder / "small/tiny/set").exists()
    drops, asked = list(shown.values())[-2:]
    assert re.search(r"its drop\n.*clean +low +hard +drop", drops, re.DOTALL)
    assert re.search(r"Restorations asked for.*low.*hard", asked, re.DOTALL)


def real_sizes() -> dict[str, tuple[int, int]]:
    """Trained and frozen parameters of CLEAR and of Qwen2.5-VL-3B."""
    language = LanguageSizes(3584, 28, 28, 4, 128, 18944, 152064, 1e6, 1e-6)
    own = Architecture(language, VisionSizes(1152, 26, 16, 4304, 14, 3, 1e-6), Sizes())
    text = {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "vocab_size": 151936}
    text |= {"num_attention_heads": 16, "num_key_value_heads": 2, "tie_word_embeddings": True}
    vision = {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 2048,
    }
    with torch.device("meta"):
        bagel, vae = Bagel(own, generation=True), Autoencoder(own.sizes.vae)
        config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)
        qwen = Qwen2_5_VLForConditionalGeneration(config)
    freeze(bagel)
    trained = sum(tensor.numel() for tensor in trained_tensors(bagel).values())
    whole = sum(tensor.numel() for module in (bagel, vae) for tensor in module.parameters())
    frozen = sum(tensor.numel() for name, tensor in qwen.named_parameters() if VISION in name)
    return {
        "clear": (trained, whole - trained),
        "robust": (sum(tensor.numel() for tensor in qwen.parameters()) - frozen, frozen),
    }


def test_the_table_of_memory_has_the_numbers_of_the_dry_run():
    rows = re.findall(
        r"^\| `([a-z0-9-]+)`(?:, 3B)? \| ([\d.]+) \+ ([\d.]+) B \|(.*)\|$", PAGE.read_text(), re.MULTILINE
    )
    assert len(rows) >= 3
    sizes = real_sizes()
    for task, trained, frozen, cells in rows:
        own = sizes[task.partition("-")[0]]
        assert [trained, frozen] == [f"{count / 1e9:.1f}" for count in own]
        average, reference = task == "clear-sft", task.endswith("-grpo")
        state = Footprint(
            ParameterCount(*own, own[0]),
            Work(1, 1, 3),
            HardwareSettings(),
            average=average,
            reference=reference,
        ).state_gib
        fewest = [-(-state // (0.75 * size * 1e9 / 2**30)) for size in (24, 40, 80, 141)]
        found = [float(cell) for cell in cells.split("|")]
        assert found[:3] == [pytest.approx(state / gpus, rel=0.02) for gpus in (1, 8, 16)]
        assert found[3:] == fewest, task
