"""Errors before a model answers are raised at once, with a remedy; and fingerprints of models."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import util
from pathlib import Path

import pytest

import torchvision_shim
from pictures import picture, png

if reason := torchvision_shim.why_not("torch", "torchvision", "transformers"):
    pytest.skip(reason, allow_module_level=True)

import torch
from mmdbench.adapters._hf import loading
from mmdbench.adapters._hf.checkpoint import folder_version
from mmdbench.adapters._hf.vision_tower import read_tower
from mmdbench.adapters.hf import load
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, CLIPVisionConfig, CLIPVisionModel

from mmdbench.errors import MissingExtraError, MmdbenchError, ModelError, UnknownNameError, UsageError
from mmdbench.models import ModelCard
from mmdbench.records import ImageBytes, Request
from tiny_checkpoints import CLIP, built, open_with_checkpoint

INDEX = "model.safetensors.index.json"


def card(place, generation=None, **options) -> ModelCard:
    return ModelCard(
        "mine", "hf", model=str(place), options=options, generation=generation or {"max_new_tokens": 4}
    )


def ask(model, count=1):
    images = [ImageBytes(png(picture(i)), "image/png") for i in range(count)]
    return model.generate(
        [Request(str(i), "What is here?", "", {}, (image,)) for i, image in enumerate(images)]
    )


@pytest.fixture
def copy(tmp_path):
    """A function that gives a family's checkpoint as a folder of its own."""
    return lambda family: Path(shutil.copytree(built(family), tmp_path / family))


@pytest.fixture
def never_loads(monkeypatch):
    """Fails the test if weights are read."""

    def refuse(*args, **kwargs):
        raise AssertionError("weights were read before the checks were over")

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", refuse)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"atn": "sdpa"}, UnknownNameError, "Did you mean 'attn'"),
        ({"attn": "sdp"}, UnknownNameError, "Did you mean 'sdpa'"),
        ({"dtype": "bf16"}, UnknownNameError, "bfloat16"),
        ({"family": "janu"}, UnknownNameError, "Did you mean 'janus'"),
        ({"image_backend": "cv2"}, UnknownNameError, "torchvision"),
        ({"batch": 0}, UsageError, "batch"),
        ({"batch": True}, UsageError, "whole number"),
        ({"min_pixels": 900, "max_pixels": 800}, UsageError, "below min_pixels"),
        ({"revision": 3}, UsageError, "a text"),
        ({"device": "gpu"}, ModelError, "cuda"),
        ({"device": "cuda:77"}, ModelError, "There is no GPU 'cuda:77'"),
    ],
)
def test_a_card_that_does_not_fit(options, kind, message, never_loads):
    with pytest.raises(kind, match=message):
        load(card(built("llava"), **options))


def test_generation_holds_the_number_of_tokens_and_the_temperature_alone():
    with pytest.raises(UnknownNameError, match="max_new_tokens"):
        load(card(built("llava"), generation={"top_p": 0.7}))
    with pytest.raises(UsageError, match=r"temperature in .* must be at least 0, got -1"):
        load(card(built("llava"), generation={"temperature": -1}))
    with pytest.raises(UsageError, match="names no checkpoint"):
        load(card(""))


def test_the_number_of_tokens_may_be_set_like_any_option():
    """The same as `--set max_new_tokens=3` with a card."""
    model = load(ModelCard("mine", "hf", model=str(built("internvl")), options={"max_new_tokens": 3}))
    assert model.fingerprint()["generation"]["max_new_tokens"] == 3
    assert ask(model)[0].details["usage"]["completion"] <= 3


def test_missing_packages_name_the_extra(monkeypatch):
    found = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda name, *rest: None if name == "transformers" else found(name, *rest)
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'mmdbench\[hf\]'"):
        load(card(built("llava")))


def test_torchvision_is_asked_for_only_where_it_is_needed(monkeypatch, never_loads):
    folders = [built("qwen2.5-vl"), built("internvl")]
    monkeypatch.setitem(sys.modules, "torchvision", None)
    loading.check_torchvision(needed_by="")
    for folder in folders:
        with pytest.raises(MissingExtraError, match=r"torchvision.*mmdbench\[hf\]"):
            load(card(folder))


def test_a_torchvision_for_another_torch_is_recognised(monkeypatch, tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.delitem(sys.modules, "torchvision")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelError, match=r"does not load beside torch .*Install the two together"):
        loading.check_torchvision(needed_by="")


def test_an_old_transformers_is_refused(monkeypatch, never_loads):
    monkeypatch.setattr("transformers.__version__", "4.57.1")
    with pytest.raises(ModelError, match=r"too old.*'mmdbench\[hf\]' \(in a copy of the repository: "):
        load(card(built("llava")))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("./nowhere", "no folder"),
        ("nowhere", "no folder"),
        ("~/no/where", "no folder"),
        ("a/b/c", "no folder"),
    ],
)
def test_a_place_that_is_not_there(place, message):
    with pytest.raises(ModelError, match=message):
        load(card(place))


def test_a_repository_that_cannot_be_reached_says_what_to_check(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"HF_TOKEN.*HF_ENDPOINT.*HF_HUB_OFFLINE"):
        load(card("nobody/nothing"))


@pytest.mark.parametrize("name", ["../a.safetensors", "/a.safetensors", ""])
def test_an_index_names_no_weights_elsewhere(tmp_path, name):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ModelError, match="which is not inside"):
        folder_version(tmp_path)


def test_a_folder_without_a_config(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json.*No such file.*safetensors") as caught:
        load(card(tmp_path))
    assert "None" not in str(caught.value)


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("multi_modality", "deepseek-community/Janus-Pro"),
        ("Emu3", "BAAI/Emu3-Chat-hf"),
        ("internvl_chat", "-hf"),
        ("minicpmv", r"MiniCPM-V 4\.6.*vllm:"),
        ("molmo", "Molmo 2.*vllm:"),
        ("bert", "--upgrade transformers.*known to work: janus, emu3"),
    ],
)
def test_a_checkpoint_of_another_kind_says_what_to_take(model_type, message, copy, never_loads):
    folder = copy("llava")
    edit(folder / "config.json", model_type=model_type)
    with pytest.raises(ModelError, match=message):
        load(card(folder))


def test_a_checkpoint_of_another_family_than_its_card_says(never_loads):
    with pytest.raises(
        ModelError, match=r"The family 'janus' does not fit .* of the type 'gemma3'.*family=generic"
    ):
        load(card(built("gemma3"), family="janus"))


def test_files_that_are_missing_or_cut_short(copy, never_loads):
    folder = copy("llava")
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ModelError, match="its header promises"):
        load(card(folder))
    shard.write_bytes(b"no safetensors")
    with pytest.raises(ModelError, match="is not a safetensors file"):
        load(card(folder))
    shard.unlink()
    with pytest.raises(ModelError, match=r"lacks 1 of the 2 weights files.*model-00002"):
        load(card(folder))
    (folder / INDEX).write_text("[]")
    with pytest.raises(ModelError, match="not an index"):
        load(card(folder))
    (folder / INDEX).unlink()
    (folder / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        load(card(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"Cannot read the config\.json"):
        load(card(folder))


def test_weights_of_another_model_are_never_filled_up_with_chance(copy):
    folder = copy("llava")
    edit(
        folder / "config.json",
        text_config={
            **json.loads((folder / "config.json").read_text())["text_config"],
            "num_hidden_layers": 3,
        },
    )
    with pytest.raises(ModelError, match=r"tensors are missing.*same release"):
        load(card(folder))
    shard = folder / "model-00002-of-00002.safetensors"
    weights = load_file(shard)
    name = next(k for k in weights if k.endswith("weight") and weights[k].ndim == 2)
    save_file({**weights, name: weights[name][:, :-1].contiguous()}, shard, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"does not hold this model|Cannot load the weights"):
        load(card(folder))


def test_a_checkpoint_without_chat_template_or_tokenizer(copy, never_loads):
    folder = copy("llava")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load(card(folder))
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="Cannot load the processor"):
        load(card(folder))


def test_pixels_cannot_be_set_where_pictures_have_one_size(never_loads):
    with pytest.raises(UsageError, match="no bounds of pixels"):
        load(card(built("gemma3"), max_pixels=1000))


def test_too_little_memory_is_an_error_before_loading(monkeypatch, never_loads):
    gib = 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (12 * gib, 16 * gib))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A small GPU")
    device = torch.device("cuda")
    loading.check_memory(9 * gib, device, torch.bfloat16)
    with pytest.raises(
        ModelError, match=r"about 16\.0 GiB in bfloat16; A small GPU has 12\.0 GiB free\. Use a smaller"
    ):
        loading.check_memory(14 * gib, device, torch.bfloat16)
    with pytest.raises(ModelError, match="Use dtype bfloat16"):
        loading.check_memory(28 * gib, device, torch.float32)
    sizes = {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr("os.sysconf", sizes.__getitem__)
    with pytest.raises(ModelError, match=r"this machine has 0\.0 GiB of memory"):
        load(card(built("llava")))


def test_a_fingerprint_changes_with_all_that_could_change_a_reply(copy):
    folder = copy("qwen2.5-vl")
    small = {"min_pixels": 784, "max_pixels": 12544}
    seen = {}

    def known(*args, **options):
        return json.dumps(dict(load(card(*args, **small | options)).fingerprint()), sort_keys=True)

    seen["plain"] = known(folder)
    assert known(built("qwen2.5-vl")) == seen["plain"], "the same files in another folder are the same model"
    seen["tokens"] = known(folder, {"max_new_tokens": 5})
    seen["pixels"] = known(folder, max_pixels=784)
    seen["dtype"] = known(folder, dtype="bfloat16")
    seen["attention"] = known(folder, attn="eager")
    seen["family"] = known(folder, family="robust-r1")
    seen["backend"] = known(folder, image_backend="torchvision")
    shard = folder / "model-00001-of-00002.safetensors"
    weights = load_file(shard)
    save_file({k: v * 1.01 for k, v in weights.items()}, shard, metadata={"format": "pt"})
    seen["weights"] = known(folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("helpful", "unhelpful"))
    seen["template"] = known(folder)
    assert len(set(seen.values())) == len(seen), seen


def test_a_repository_in_the_cache_is_known_by_its_commit(tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "models--owner--tiny"
    shutil.copytree(built("llava"), home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = load(card("owner/tiny"))
    assert model.fingerprint()["checkpoint"] == commit
    assert model.fingerprint()["repo"] == "owner/tiny"
    at_revision = load(card(f"owner/tiny@{commit}"))
    assert ask(model)[0].text == ask(at_revision)[0].text == ask(load(card(built("llava"))))[0].text
    with pytest.raises(ModelError, match="revision"):
        load(card("owner/tiny@v2"))


def test_out_of_memory_halves_the_batch_and_is_remembered(monkeypatch):
    model, loaded = open_with_checkpoint(card(built("llava"), batch=8))
    asked = ask(model, 8)
    network, tried = loaded.model, []
    generate = network.generate

    def with_room_for_three(input_ids, **rest):
        tried.append(len(input_ids))
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(input_ids=input_ids, **rest)

    monkeypatch.setattr(network, "generate", with_room_for_three)
    assert [o.text for o in ask(model, 8)] == [o.text for o in asked]
    assert tried == [8, 4, 2, 2, 2, 2]
    tried.clear()
    ask(model, 4)
    assert tried == [2, 2]


def test_a_picture_too_large_by_itself_is_one_error_and_a_broken_device_is_raised(monkeypatch):
    model, loaded = open_with_checkpoint(card(built("llava"), batch=4))
    network = loaded.model
    generate, calls = network.generate, []

    def fails(input_ids, **rest):
        calls.append(len(input_ids))
        if len(input_ids) > 1 or len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(input_ids=input_ids, **rest)

    monkeypatch.setattr(network, "generate", fails)
    outcomes = ask(model, 3)
    assert [o.status == "error" for o in outcomes] == [False, True, False]
    assert "max_pixels" in outcomes[1].reason
    monkeypatch.setattr(network, "generate", lambda **rest: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ask(model, 2)


@pytest.fixture
def tower() -> CLIPVisionModel:
    torch.manual_seed(3)
    found = CLIPVisionModel(CLIPVisionConfig(**CLIP)).eval()
    with torch.no_grad():
        for tensor in found.parameters():
            tensor.copy_(torch.randn(tensor.shape) / max(1, tensor[0].numel()) ** 0.5)
    return found


def in_the_first_layout(tower: CLIPVisionModel) -> dict:
    """A tower's weights as CLIP's first release and open_clip name them, beside a text tower's."""
    inner = getattr(tower, "vision_model", tower)
    state = {k: v.clone() for k, v in inner.state_dict().items() if not k.endswith("position_ids")}
    names = {
        "embeddings.class_embedding": "class_embedding",
        "embeddings.position_embedding.weight": "positional_embedding",
        "embeddings.patch_embedding.weight": "conv1.weight",
    }
    found = {f"visual.{new}": state.pop(old) for old, new in names.items()}
    for layer in range(CLIP["num_hidden_layers"]):
        here, there = f"encoder.layers.{layer}.", f"visual.transformer.resblocks.{layer}."
        for part in ("weight", "bias"):
            qkv = [state.pop(f"{here}self_attn.{letter}_proj.{part}") for letter in "qkv"]
            found[f"{there}attn.in_proj_{part}"] = torch.cat(qkv)
            found[f"{there}attn.out_proj.{part}"] = state.pop(f"{here}self_attn.out_proj.{part}")
            for new, old in (
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                found[f"{there}{new}.{part}"] = state.pop(f"{here}{old}.{part}")
    for new, old in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
        for part in ("weight", "bias"):
            found[f"visual.{new}.{part}"] = state.pop(f"{old}.{part}")
    assert not state
    text = {"transformer.resblocks.0.ln_1.weight": torch.ones(8), "ln_final.weight": torch.ones(8)}
    return (
        found
        | text
        | {
            "visual.proj": torch.ones(32, 16),
            "logit_scale": torch.ones(()),
            "token_embedding.weight": torch.ones(9, 8),
        }
    )


def test_a_tower_from_elsewhere_takes_the_place_of_the_models_own(tower, tmp_path):
    tower.save_pretrained(tmp_path / "ours")
    save_file(in_the_first_layout(tower), tmp_path / "theirs.safetensors")
    torch.save({"state_dict": in_the_first_layout(tower)}, tmp_path / "theirs.pt")
    places = [
        tmp_path / "ours",
        tmp_path / "ours" / "model.safetensors",
        tmp_path / "theirs.safetensors",
        tmp_path / "theirs.pt",
    ]
    own = load(card(built("llava")))
    opened = [open_with_checkpoint(card(built("llava"), vision_tower=str(place))) for place in places]
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = tower(pixels).last_hidden_state
        for _, loaded in opened:
            network = next(m for m in loaded.model.modules() if isinstance(m, CLIPVisionModel))
            assert torch.equal(network(pixels).last_hidden_state, expected)
    texts = {ask(model)[0].text for model, _ in opened}
    assert len(texts) == 1
    assert texts != {ask(own)[0].text}
    assert own.fingerprint()["vision_tower"] == ""
    assert len({m.fingerprint()["vision_tower"] for m, _ in opened}) == 3, "a folder is its file"


def test_a_tower_that_does_not_fit_is_refused(tower, tmp_path):
    state = in_the_first_layout(tower)
    save_file({k: v for k, v in state.items() if "resblocks.1.ln_2" not in k}, tmp_path / "short.safetensors")
    wide = CLIPVisionModel(CLIPVisionConfig(**{**CLIP, "hidden_size": 64}))
    wide.save_pretrained(tmp_path / "wide")
    (tmp_path / "no.pt").write_bytes(b"no pickle")
    (tmp_path / "empty").mkdir()
    for place, message in (
        ("short.safetensors", "2 keys differ"),
        ("wide", "does not fit"),
        ("no.pt", "Cannot read weights"),
        ("empty", "no weights of a vision tower"),
        ("none.pt", "no vision tower"),
    ):
        with pytest.raises(ModelError, match=message):
            load(card(built("llava"), vision_tower=str(tmp_path / place)))
    save_file(state, tmp_path / "good.safetensors")
    with pytest.raises(ModelError, match="no CLIP vision tower"):
        load(card(built("gemma3"), vision_tower=str(tmp_path / "good.safetensors")))
    assert all("resblocks" not in key for key in read_tower(tmp_path / "good.safetensors"))


def test_every_error_says_what_to_do():
    for broken in (card("./nowhere"), card(built("llava"), device="cuda:77"), card("")):
        with pytest.raises(MmdbenchError) as caught:
            load(broken)
        assert caught.value.hint
