"""The two measurements of CLEAR run: the small one as it is, the GPU's at the golden set's size."""

from __future__ import annotations

import clear_checkpoints  # isort: skip - skips this module where torch is missing

import json
import sys
from pathlib import Path

import pytest

from mmdbench.bagel.bagel import Bagel
from mmdbench.bagel.checkpoint import read_architecture
from mmdbench.bagel.settings import Sizes

torch = clear_checkpoints.torch
FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("clear", "gpu_clear", "clear_training"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_fast_path_against_the_plain_one(monkeypatch, capsys):
    import clear

    monkeypatch.setattr(sys, "argv", ["clear.py", "--repeats", "1"])
    clear.main()
    found = json.loads(capsys.readouterr().out)
    assert found["largest_latent_difference"] < 1e-4
    for name in ("interleave_one_sample_ms", "text_eight_samples_ms"):
        assert all(value > 0 for value in found[name].values())


def test_the_script_for_a_gpu_in_small(monkeypatch, capsys, tmp_path):
    import gpu_clear

    words = ["--folder", str(tmp_path / "c"), "--tiny", "--steps", "3", "--repeats", "1", "--sizes", "96x64"]
    words += ["--rows", "300", "--compiler", "eager"]  # traces the steps, and compiles nothing
    found = []
    for _ in range(2):  # writes the checkpoint once
        monkeypatch.setattr(sys, "argv", ["gpu_clear.py", *words])
        gpu_clear.main()
        found.append(json.loads(capsys.readouterr().out))
    assert [one["write_s"] > 0 for one in found] == [True, False]
    assert found[0]["parameters"] == 332_224
    assert set(found[0]["tokens_per_second"]) == {"1", "8"}
    token = found[0]["decoded_token"]
    assert token["floor_ms"] > 0
    assert all(token[path]["ms"] > 0 and token[path]["launches"] > 10 for path in ("fast", "eager"))
    (size,) = found[0]["sizes"]
    assert size["latent_tokens"] == 24
    assert all(value > 0 for value in size["restoration_3_steps_s"].values())
    (step,), (learnt,) = found[0]["training"], found[0]["reinforcement"]
    assert step["rows"] >= 300
    assert learnt["rollout_s"] > 0
    for name, one in (("training", step), ("reinforcement", learnt)):
        assert all(one[number] > 0 for number in ("rows", "forward_s", "backward_s", "rows_per_second"))
        assert one["loss"] == found[1][name][0]["loss"]


def test_the_real_size_is_the_published_one(tmp_path):
    import gpu_clear

    for name, changes in (("llm_config.json", gpu_clear.LANGUAGE), ("vit_config.json", gpu_clear.VISION)):
        config = json.loads((gpu_clear.SET / "config" / name).read_text("utf-8"))
        (tmp_path / name).write_text(json.dumps(config | changes), "utf-8")
    architecture = read_architecture(tmp_path, Sizes())
    counts = {}
    for generation in (True, False):
        with torch.device("meta"):
            model = Bagel(architecture, generation=generation)
        counts[generation] = sum(p.numel() for p in model.parameters())
    assert counts == {True: 14_607_260_128, False: 8_052_719_008}
