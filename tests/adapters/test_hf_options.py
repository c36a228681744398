"""Changes that a card makes to a local model: its chat template, token limit, quantisation, LoRA."""

from __future__ import annotations

import json
import logging
import shutil
from importlib import util
from pathlib import Path

import pytest

import torchvision_shim
from pictures import picture, png

if reason := torchvision_shim.why_not("torch", "torchvision", "transformers"):
    pytest.skip(reason, allow_module_level=True)

import torch
from mmdbench.adapters._hf.model import THINKING_TOKENS
from mmdbench.adapters.hf import load
from safetensors.torch import load_file, save_file

from mmdbench.errors import MissingExtraError, ModelError, UnknownNameError, UsageError
from mmdbench.models import ModelCard
from mmdbench.models.cards import set_options
from mmdbench.records import ImageBytes, Request
from optional_packages import needs
from tiny_checkpoints import built, llava, open_with_checkpoint

# peft asks for an attribute that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

THINKING = (
    "{% if add_generation_prompt and enable_thinking is not defined or enable_thinking %}<think>\n"
    "{% elif add_generation_prompt %}<think>\n\n</think>\n\n{% endif %}"
)


def card(place, *settings, **generation) -> ModelCard:
    return set_options(ModelCard("mine", "hf", model=str(place), generation=generation), settings)


def asked(count=2):
    images = [ImageBytes(png(picture(i)), "image/png") for i in range(count)]
    return [Request(str(i), "What is here?", "", {}, (image,)) for i, image in enumerate(images)]


def texts(model):
    return [outcome.text for outcome in model.generate(asked())]


@pytest.fixture
def thinker(tmp_path):
    """A checkpoint whose template opens a thought unless it is told not to."""
    folder = Path(shutil.copytree(built("llava"), tmp_path / "thinker"))
    with (folder / "chat_template.jinja").open("a") as file:
        file.write(THINKING)
    return folder


def test_variables_of_the_chat_template_change_the_prompt_and_the_fingerprint(thinker):
    plain = load(card(thinker, max_new_tokens=3))
    model = load(card(thinker, "chat_template.enable_thinking=false", max_new_tokens=3))
    assert plain.generate(asked())[0].details["opens_thought"] is True
    assert "opens_thought" not in model.generate(asked())[0].details
    assert model.fingerprint() == {**plain.fingerprint(), "chat_template": {"enable_thinking": False}}


def test_a_thinking_model_may_write_more_unless_its_card_says_how_much(thinker, caplog):
    def limit(*settings, **generation):
        return load(card(thinker, *settings, **generation)).fingerprint()["generation"]["max_new_tokens"]

    with caplog.at_level(logging.WARNING, "mmdbench"):
        assert limit("chat_template.enable_thinking=false") == 2048
        assert limit(max_new_tokens=7) == limit("max_new_tokens=7") == 7
        assert caplog.messages == []
        assert limit() == THINKING_TOKENS > 2048
    assert "thinks before it answers, in up to 16384 tokens" in caplog.messages[0]
    assert str(thinker) not in caplog.messages[0]


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (["chat_template.enable_thinkin=false"], UsageError, "does not depend on 'enable_thinkin'"),
        (["chat_template.tokenize=true"], UsageError, r"chat_template\.tokenize .* is set by mmdbench"),
        (["chat_template=yes"], UsageError, "must be a table"),
        (["chat_template.x=[1]"], UsageError, "must be a table of texts, numbers"),
        (["quantization=4"], UsageError, "must be a text"),
        (["quantization=5bit"], UnknownNameError, "4bit"),
        (["quantization=4bit", "vision_tower=x"], UsageError, "cannot replace quantised weights"),
    ],
)
def test_settings_that_cannot_be_obeyed_are_refused(settings, kind, message):
    with pytest.raises(kind, match=message):
        load(card(built("llava"), *settings))


def test_an_option_that_is_no_table_has_no_parts():
    with pytest.raises(UsageError, match="family is no table"):
        card("x", "family=llava", "family.name=llava")


def test_a_family_with_a_prompt_of_its_own_takes_no_variables():
    with pytest.raises(UsageError, match="does not depend on 'enable_thinking'"):
        load(card(built("emu3"), "chat_template.enable_thinking=false"))


@pytest.mark.parametrize(("setting", "extra"), [("quantization=4bit", "quantized"), ("lora=x", "lora")])
def test_a_missing_package_names_its_extra(setting, extra, monkeypatch):
    found = util.find_spec
    absent = ("bitsandbytes", "peft")
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name in absent else found(name, *rest))
    with pytest.raises(MissingExtraError, match=rf"mmdbench\[{extra}\]"):
        load(card(built("llava"), setting))


@needs("bitsandbytes", "accelerate")
@pytest.mark.parametrize(("kind", "record"), [("4bit", "nf4"), ("8bit", "int8")])
def test_quantised_weights_answer_and_are_part_of_the_fingerprint(kind, record, tmp_path):
    folder = llava(tmp_path / "wide", wide=True)
    model, loaded = open_with_checkpoint(card(folder, f"quantization={kind}", max_new_tokens=4))
    kinds = {type(module).__module__.partition(".")[0] for module in loaded.model.modules()}
    assert "bitsandbytes" in kinds
    assert {outcome.status for outcome in model.generate(asked())} <= {"ok", "truncated", "empty"}
    found = model.fingerprint()
    assert found["quantization"] == record
    plain = load(card(folder, max_new_tokens=4)).fingerprint()
    assert {key: found[key] for key in plain} == plain


@pytest.fixture
def lora(tmp_path):
    """A LoRA of the tiny LLaVA whose weights change its answers, as peft saves it."""
    from peft import LoraConfig, get_peft_model

    _, loaded = open_with_checkpoint(card(built("llava")))
    made = get_peft_model(loaded.model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    with torch.no_grad():
        for name, tensor in made.named_parameters():
            if "lora_B" in name:
                tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)))
    made.save_pretrained(tmp_path / "lora")
    return tmp_path / "lora"


@needs("peft")
def test_a_lora_answers_as_its_merged_weights_do_and_is_known_by_its_content(lora, tmp_path):
    from peft import PeftModel

    plain = load(card(built("llava"), max_new_tokens=8))
    tuned = load(card(built("llava"), f"lora={lora}", max_new_tokens=8))
    _, loaded = open_with_checkpoint(card(built("llava")))
    merged = Path(shutil.copytree(built("llava"), tmp_path / "merged"))
    for old in merged.glob("*.safetensors*"):
        old.unlink()
    PeftModel.from_pretrained(loaded.model, str(lora)).merge_and_unload().save_pretrained(merged)
    assert texts(tuned) == texts(load(card(merged, max_new_tokens=8))) != texts(plain)
    found = tuned.fingerprint()
    assert found == {**plain.fingerprint(), "lora": found["lora"]}
    moved = load(card(built("llava"), f"lora={shutil.copytree(lora, tmp_path / 'moved')}"))
    assert moved.fingerprint()["lora"] == found["lora"]
    config = tmp_path / "moved" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "lora_alpha": 99}))
    again = load(card(built("llava"), f"lora={tmp_path / 'moved'}"))
    assert again.fingerprint()["lora"] != found["lora"]


@needs("peft")
def test_a_lora_that_would_not_work_is_refused(lora, tmp_path):
    def refused(message, place):
        with pytest.raises(ModelError, match=message):
            load(card(built("llava"), f"lora={place}"))

    refused("There is no LoRA folder", tmp_path / "nowhere")
    weights = lora / "adapter_model.safetensors"
    named = {name.replace("layers.0", "layers.7"): tensor for name, tensor in load_file(weights).items()}
    save_file(named, weights, metadata={"format": "pt"})
    refused("does not fit LlavaForConditionalGeneration: .* weights differ", lora)
    save_file({name: tensor[:1] for name, tensor in named.items()}, weights, metadata={"format": "pt"})
    refused("does not fit LlavaForConditionalGeneration", lora)
    weights.unlink()
    refused(r"There is no adapter_model\.safetensors", lora)
    weights.touch()
    (lora / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING"}')
    refused("of the kind PROMPT_TUNING", lora)
    (lora / "adapter_config.json").write_text("[]")
    refused("is not the config of a LoRA", lora)
