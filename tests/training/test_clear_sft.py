"""CLEAR's supervised training from a training set to checkpoints, on a tiny model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("accelerate", reason="accelerate is not installed (extra: train)")

from safetensors.torch import load_file  # noqa: E402

from clear_checkpoints import open_engine, write_checkpoint  # noqa: E402
from clear_training import small_sft_profile, tiny_samples, write_sft_set  # noqa: E402
from mmdbench.errors import DataError, UsageError  # noqa: E402
from mmdbench.training.clear.checkpoints import latest_checkpoint  # noqa: E402
from mmdbench.training.clear.loop import SftStep, SftTraining, count_steps, make_accelerator  # noqa: E402
from mmdbench.training.clear.packing import seeded  # noqa: E402
from mmdbench.training.clear.pictures import shifted_time  # noqa: E402
from mmdbench.training.clear.profiles import SftProfile  # noqa: E402


class KilledError(Exception):
    """Ends a training in the middle of a step's report."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tiny checkpoint and a training set."""
    folder = tmp_path_factory.mktemp("base")
    write_checkpoint(folder / "model")
    write_sft_set(folder / "set")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield folder
    torch.set_num_threads(threads)


def training(base: Path, folder: Path, profile: SftProfile | None = None, **more) -> SftTraining:
    engine = open_engine(base / "model", generation=True)
    samples = tiny_samples(base / "set/sft.jsonl", engine)
    return SftTraining(
        engine, samples, profile or small_sft_profile(), folder, make_accelerator("no"), more.get("origin")
    )


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted training of six steps, with checkpoints after three and six."""
    folder = tmp_path_factory.mktemp("whole")
    training(base, folder).run(save_every=3)
    return folder


def same_tensors(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_resumed_training_gives_the_weights_of_an_uninterrupted_one(base, whole, tmp_path):
    def killed(step: SftStep) -> None:
        if step.step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        training(base, tmp_path).run(save_every=3, watch=killed)
    (tmp_path / ".0000005.unfinished").mkdir()  # as a kill while a checkpoint is written leaves it
    (tmp_path / ".0000005.unfinished/model.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path).name == "0000003"
    resumed = training(base, tmp_path)
    assert resumed.step == 3
    resumed.run(save_every=3)
    for name in ("model", "ema"):
        file = f"0000006/{name}.safetensors"
        assert same_tensors(whole / file, tmp_path / file)
    assert not same_tensors(whole / "0000003/ema.safetensors", whole / "0000006/ema.safetensors")
    assert (tmp_path / "0000006/data_state.json").read_text() == (
        whole / "0000006/data_state.json"
    ).read_text()


def test_rounded_files_do_not_touch_what_a_resumed_training_reads(base, whole, tmp_path):
    profile = replace(small_sft_profile(), saved_dtype="bfloat16")
    training(base, tmp_path, profile).run(until=3)
    resumed = training(base, tmp_path, profile)
    resumed.run()
    assert {t.dtype for t in load_file(tmp_path / "0000006/ema.safetensors").values()} == {torch.bfloat16}
    exact = load_file(whole / "0000006/model.safetensors")
    assert all(torch.equal(exact[key], tensor.detach()) for key, tensor in resumed.state.tensors.items())


def test_a_checkpoint_is_read_by_the_adapter_and_only_trained_tensors_moved(base, whole):
    engine = open_engine(base / "model", generation=True)
    for name in ("model", "ema"):
        trained = load_file(whole / f"0000006/{name}.safetensors")
        before = engine.model.state_dict()
        assert trained.keys() == before.keys()
        moved = {key for key in before if not torch.equal(before[key], trained[key])}
        frozen = {
            key for key in before if key.startswith(("vit_model.", "vit_pos_embed", "latent_pos_embed"))
        }
        assert not moved & frozen
        assert len(moved) > 0.9 * len(before.keys() - frozen)
    for file in (base / "model").iterdir():
        if file.name != "ema.safetensors":
            (whole / "0000006" / file.name).write_bytes(file.read_bytes())
    loaded = open_engine(whole / "0000006", generation=True)
    assert torch.equal(
        loaded.model.llm2vae.weight, load_file(whole / "0000006/ema.safetensors")["llm2vae.weight"]
    )


def test_a_checkpoint_records_profile_data_and_code(base, tmp_path):
    run = training(base, tmp_path, origin={"data": {"sft.jsonl": "sha256"}})
    run.run(until=1)
    record = json.loads((tmp_path / "0000001/training.json").read_text())
    assert record["profile"]["name"] == "tiny"
    assert record["profile"]["distillation"] == {"mode": "per_layer_kl", "weight": 0.4, "stride": 1}
    assert (record["step"], record["steps"], record["processes"]) == (1, 6, 1)
    assert record["origin"] == {"data": {"sft.jsonl": "sha256"}}
    assert record["code_version"]
    with pytest.raises(UsageError, match="origin, profile differ"):
        training(base, tmp_path, small_sft_profile(learning_rate=1e-4), origin={})


def test_a_damaged_checkpoint_is_named(base, tmp_path):
    training(base, tmp_path).run(until=1)
    part = tmp_path / "0000001/optimizer.00000-of-00001.pt"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(DataError, match="0000001 is damaged"):
        training(base, tmp_path)


def test_a_training_lowers_its_losses(base, tmp_path):
    steps: list[SftStep] = []
    training(base, tmp_path, small_sft_profile(steps=20, learning_rate=5e-3)).run(watch=steps.append)
    for name, share in (("total", 0.7), ("ce", 0.7), ("mse", 1.0), ("distillation", 1.0)):
        begin, end = (sum(getattr(s, name) for s in part) for part in (steps[:6], steps[-6:]))
        assert end < share * begin, name


def test_adding_up_packs_averages_their_gradients(base, tmp_path):
    one = training(base, tmp_path / "one", small_sft_profile(accumulation=2, warmup_steps=2))
    done = one.update()  # the rate of the first update is 0: the weights do not move
    two = training(base, tmp_path / "two", small_sft_profile(warmup_steps=9))
    apart = [two.update(), two.update()]
    assert done.rows == sum(step.rows for step in apart)
    for name in ("ce", "mse", "distillation", "total"):
        mean = sum(getattr(step, name) for step in apart) / 2
        assert getattr(done, name) == pytest.approx(mean, rel=1e-5)


def test_epochs_become_steps_by_rows(base, tmp_path):
    samples = tiny_samples(base / "set/sft.jsonl", open_engine(base / "model", generation=True))
    rows = sum(s.rows for group in samples.values() for s in group)
    profile = small_sft_profile(steps=None, epochs=3.0)
    assert count_steps(profile, samples, 1) == -(-3 * rows // 300)
    assert count_steps(profile, samples, 2) == -(-3 * rows // 600)


def test_a_record_without_a_clean_picture_or_an_answer_is_refused(base, tmp_path):
    engine = open_engine(base / "model", generation=True)
    file = write_sft_set(tmp_path)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for change, message in (
        ({"clean_image": ""}, "no 'clean_image'"),
        ({"image": "../x.png"}, "not inside"),
        ({"image": "pictures/gone.png"}, "cannot read"),
        ({"conversations": [{"from": "human", "value": "Which?"}]}, "no answer"),
    ):
        file.write_text(json.dumps(lines[-1] | change) + "\n")
        with pytest.raises(DataError, match=message):
            tiny_samples(file, engine)


def test_noise_levels_follow_the_shift():
    draws = torch.randn(2000, generator=seeded("levels")).tolist()
    plain, shifted = ([shifted_time(d, s) for d in draws] for s in (1.0, 3.0))
    assert sum(plain) / 2000 == pytest.approx(0.5, abs=0.02)
    assert sum(shifted) / 2000 > 0.65
