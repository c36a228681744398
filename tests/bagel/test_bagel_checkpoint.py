"""Files of a checkpoint: found, checked before they are read, and refused with reasons."""

from __future__ import annotations

from clear_checkpoints import GOLDEN, SIZES, open_engine, torch, write_checkpoint  # isort: skip

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from mmdbench.bagel.checkpoint import file_digest, find_weights, read_weights
from mmdbench.bagel.loading import (
    BagelCheckpoint,
    load_engine,
    open_checkpoint,
)
from mmdbench.errors import ModelError, UsageError
from mmdbench.system.weights_header import read_header

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "base"))


def opened(folder: Path, *, generation: bool = True) -> BagelCheckpoint:
    return open_checkpoint(folder, folder / "ema.safetensors", SIZES, generation=generation)


def rewrite(folder: Path, change, name: str = "ema.safetensors") -> None:
    state = load_file(folder / name)
    change(state)
    save_file(state, folder / name)


def test_every_tensor_arrives_unchanged(made: Path) -> None:
    engine, state = open_engine(made), load_file(made / "ema.safetensors")
    loaded = engine.model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    vae = load_file(made / "ae.safetensors")
    assert all(torch.equal(value, vae[key]) for key, value in engine.vae.state_dict().items())


def test_bfloat16_files_and_models(folder: Path) -> None:
    def halve(state):
        for key, value in state.items():
            state[key] = value.bfloat16()

    rewrite(folder, halve)
    engine = load_engine(opened(folder), CPU, torch.bfloat16)
    assert {p.dtype for p in engine.model.parameters()} == {torch.bfloat16}
    assert opened(folder).needed_bytes(torch.bfloat16) == 2 * (332_224 + 1_399_787)


def test_understanding_loads_without_generation_and_autoencoder(folder: Path) -> None:
    def strip(state):
        for key in list(state):
            if any(mark in key for mark in ("_moe_gen", "vae2llm", "llm2vae", "time_embedder", "latent_pos")):
                del state[key]

    whole = opened(folder, generation=False).needed_bytes(torch.float32)
    rewrite(folder, strip)
    (folder / "ae.safetensors").unlink()
    engine = open_engine(folder, generation=False)
    assert engine.vae is None
    assert not any("moe_gen" in key for key in engine.model.state_dict())
    assert opened(folder, generation=False).needed_bytes(torch.float32) == whole
    with pytest.raises(ModelError, match=r"lacks ae\.safetensors"):
        opened(folder)


def test_a_file_without_generation_expert_cannot_restore(folder: Path) -> None:
    rewrite(folder, lambda state: state.pop("llm2vae.weight"))
    with pytest.raises(
        ModelError, match=r"1 missing \(llm2vae\.weight\).*use another file, or the mode text"
    ):
        opened(folder)


def test_missing_tables_are_computed(folder: Path) -> None:
    before = open_engine(folder).model.state_dict()
    rewrite(folder, lambda s: [s.pop(f"{name}_pos_embed.pos_embed") for name in ("vit", "latent")])
    after = open_engine(folder).model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_keys_and_shapes_are_named(folder: Path) -> None:
    def spoil(state):
        state["connector.fc1.bias"] = torch.zeros(63)
        del state["connector.fc2.bias"]
        state["surprise"] = torch.zeros(1)

    rewrite(folder, spoil)
    with pytest.raises(ModelError) as caught:
        opened(folder)
    text = str(caught.value)
    assert "1 missing (connector.fc2.bias)" in text
    assert "1 unexpected (surprise)" in text
    assert "connector.fc1.bias is [63], not [64]" in text


def test_the_autoencoder_is_not_the_model(folder: Path) -> None:
    with pytest.raises(ModelError, match="It looks like the autoencoder"):
        open_checkpoint(folder, folder / "ae.safetensors", SIZES, generation=True)


def test_a_sharded_checkpoint(folder: Path) -> None:
    state = load_file(folder / "ema.safetensors")
    keys = sorted(state)
    parts = {"a.safetensors": keys[:70], "b.safetensors": keys[70:]}
    for name, own in parts.items():
        save_file({key: state[key] for key in own}, folder / name)
    index = {"weight_map": {key: name for name, own in parts.items() for key in own}}
    (folder / "ema.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    (folder / "ema.safetensors").unlink()
    path = find_weights(folder, None)
    assert path.name == "ema.safetensors.index.json"
    checkpoint = open_checkpoint(folder, path, SIZES, generation=True)
    loaded = load_engine(checkpoint, CPU, torch.float32).model.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    index["weight_map"][keys[0]] = "b.safetensors"
    path.write_text(json.dumps(index), "utf-8")
    with pytest.raises(ModelError, match="it does not"):
        read_weights(path)


@pytest.mark.parametrize("name", ["../a.safetensors", "/a.safetensors", "", 7])
def test_an_index_names_no_weights_elsewhere(tmp_path: Path, name: object) -> None:
    path = tmp_path / "ema.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": name}}), "utf-8")
    with pytest.raises(ModelError, match="which is not inside"):
        read_weights(path)


def test_finding_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="do not exist"):
        find_weights(tmp_path / "none", None)
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "ema.safetensors").touch()
    with pytest.raises(ModelError, match=r"Did you mean.*sft/ema\.safetensors"):
        find_weights(tmp_path, None)
    (tmp_path / "ema.safetensors").touch()
    assert find_weights(tmp_path, None).name == "ema.safetensors"
    assert find_weights(tmp_path, "model").name == "ema.safetensors"
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UsageError, match="both ema and model"):
        find_weights(tmp_path, None)
    assert find_weights(tmp_path, "model").name == "model.safetensors"
    assert find_weights(tmp_path / "model.safetensors", "ema").name == "model.safetensors"
    with pytest.raises(UsageError, match="must be 'ema' or 'model'"):
        find_weights(tmp_path, "best")


def test_broken_files(folder: Path) -> None:
    path = folder / "ema.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(ModelError, match=f"has {len(whole) - 100} bytes; its header promises {len(whole)}"):
        read_header(path)
    for junk in (b"", b"version https://git-lfs.github.com/spec/v1\n", whole[:50]):
        path.write_bytes(junk)
        with pytest.raises(ModelError, match="is not a safetensors file"):
            read_header(path)
    with pytest.raises(ModelError, match="not a safetensors file"):
        read_weights(folder / "vocab.json.bin")
    (folder / "llm_config.json").write_text('{"hidden_size": 64,}', "utf-8")
    with pytest.raises(ModelError, match=r"llm_config\.json is not valid JSON"):
        opened(folder)
    (folder / "llm_config.json").write_text('{"hidden_size": 64}', "utf-8")
    with pytest.raises(ModelError, match="has no 'num_hidden_layers'"):
        opened(folder)
    (folder / "vit_config.json").unlink()
    with pytest.raises(ModelError, match=r"lacks vit_config\.json"):
        opened(folder)


def test_other_sizes_do_not_fit(folder: Path) -> None:
    config = json.loads((folder / "llm_config.json").read_text("utf-8"))
    config["intermediate_size"] = 97
    (folder / "llm_config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError, match=r"18 ill-shaped .*is \[64, 96\], not \[64, 97\]"):
        opened(folder)


def test_a_config_that_transformers_5_saved_anew(folder: Path) -> None:
    before = opened(folder).architecture
    config = json.loads((folder / "llm_config.json").read_text("utf-8"))
    config["rope_parameters"] = {"rope_theta": config.pop("rope_theta"), "rope_type": "default"}
    (folder / "llm_config.json").write_text(json.dumps(config), "utf-8")
    assert opened(folder).architecture == before
    config["rope_parameters"]["rope_theta"] = 5.0
    (folder / "llm_config.json").write_text(json.dumps(config), "utf-8")
    assert opened(folder).architecture.language.rope_theta == 5.0


def test_digests_see_every_sampled_place(tmp_path: Path, made: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes((made / "ema.safetensors").read_bytes())
    first = file_digest(path)
    assert first == file_digest(path) | {"file": "w.safetensors"}
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert file_digest(path) != first
    # A file too large to read whole: header, beginning and end still count.
    few = file_digest(path, samples=4, block=64)
    data[-1] ^= 1
    path.write_bytes(data)
    assert file_digest(path, samples=4, block=64) != few


def test_the_golden_copy_is_whole() -> None:
    assert {p.name for p in GOLDEN.iterdir()} >= {"settings.json", "expected.json", "reference.npz"}
