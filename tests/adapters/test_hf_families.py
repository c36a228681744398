"""Every family, from files in its releases' format to answers: prompts, batches, greedy text, whole runs."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import torchvision_shim
from pictures import picture, png

if reason := torchvision_shim.why_not("torch", "torchvision", "transformers"):
    pytest.skip(reason, allow_module_level=True)

from mmdbench.adapters._hf.families import FAMILIES
from mmdbench.adapters._hf.loading import LoadedModel
from mmdbench.adapters._hf.model import HfModel
from mmdbench.adapters._hf.prompts import CLOSING, prepare
from mmdbench.adapters.hf import load
from typer.testing import CliRunner

from mmdbench.benches import build_prompt
from mmdbench.cli import app
from mmdbench.models import ModelCard
from mmdbench.models.instructions import OWN_ROBUST_R1
from mmdbench.records import ImageBytes, Question, Request
from mmdbench.results.graded_run import load_results
from mmdbench.run.store import read_replies
from tiny_checkpoints import built, open_with_checkpoint

CHECKPOINTS = {name: name for name in FAMILIES if name not in ("generic", "robust-r1")} | {
    "robust-r1": "qwen2.5-vl"
}
SMALL = {"min_pixels": 28 * 28, "max_pixels": 28 * 28 * 16}
TOKENS = 12


def options(family: str, **more) -> dict:
    own = {"family": family, "instruction": OWN_ROBUST_R1.id} if family == "robust-r1" else {}
    return own | (SMALL if family == "qwen2.5-vl" else {}) | more


def card_of(family: str, folder: Path | None = None, *, tokens: int = TOKENS, **more) -> ModelCard:
    path = folder or built(CHECKPOINTS[family])
    return ModelCard(
        family, "hf", model=str(path), options=options(family, **more), generation={"max_new_tokens": tokens}
    )


def opened(family: str, folder: Path | None = None, **more) -> HfModel:
    return load(card_of(family, folder, **more))


def request(number: int, prompt: str, *pictures) -> Request:
    images = tuple(ImageBytes(png(p), "image/png") for p in pictures)
    return Request(str(number), prompt, prompt, {}, images)


def requests(sizes=((48, 64), (64, 48), (40, 100), (48, 64), (90, 30))) -> list[Request]:
    """Prompts of different lengths about pictures of different shapes, two of them alike."""
    return [
        request(i, f"Question: What is{' really' * i} here?\nOptions:\nA. x\nB. y\n", picture(i, *size))
        for i, size in enumerate(sizes)
    ]


def inputs_of(model: HfModel, loaded: LoadedModel, asked: Request):
    """The network's inputs for one request."""
    return model.inputs([prepare(asked, loaded.checkpoint.family, loaded.processor)])


def text_seen(model: HfModel, loaded: LoadedModel, asked: Request) -> str:
    """The prompt as the model gets it, with each run of image tokens written once."""
    text = loaded.processor.tokenizer.decode(inputs_of(model, loaded, asked)["input_ids"][0])
    return re.sub(
        r"(<image_placeholder>|<image>|<\|image_pad\|>|<image_soft_token>|<IMG_CONTEXT>)\1*", r"\1", text
    )


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_answers_in_a_batch_are_those_given_alone(family):
    together, alone = opened(family, batch=5), opened(family, batch=1)
    batch = together.generate(requests())
    assert [o.text for o in batch] == [alone.generate([r])[0].text for r in requests()]
    assert len({o.text for o in batch}) >= 3, "answers must depend on what is shown and asked"
    assert {o.status for o in batch} <= {"ok", "truncated", "empty"}
    assert all(o.details["usage"]["prompt"] > 20 for o in batch)
    assert all(0 < o.details["usage"]["completion"] <= TOKENS for o in batch)


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_the_picture_decides_and_not_its_neighbours(family):
    model = opened(family, batch=3)
    same = [request(i, "What?", picture(seed)) for i, seed in enumerate((3, 3, 4))]
    first, second, other = (o.text for o in model.generate(same))
    assert first == second != other


QUESTION = Question("toy", 1, {"question": "How many?", "A": "one", "B": "two", "answer": "A"})
ASKED = build_prompt(QUESTION, "plain")
BODY = ASKED.removesuffix(CLOSING)
EXPECTED = {
    "janus": "<|User|>: <begin_of_image><image_placeholder><end_of_image>\n" + BODY
    + "Answer with the option's letter from the given choices directly.\n\n<|Assistant|>:",
    "emu3": "<|extra_203|>You are a helpful assistant. USER: <|image start|>5*6<|image token|><image>"
    f"<|extra_201|><|image end|>{ASKED}. ASSISTANT:",
    "qwen2.5-vl": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    f"<|vision_start|><|image_pad|><|vision_end|>{ASKED}<|im_end|>\n<|im_start|>assistant\n",
    "robust-r1": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    f"{ASKED}\n{OWN_ROBUST_R1.text}<|vision_start|><|image_pad|><|vision_end|><|im_end|>\n"
    "<|im_start|>assistant\n",
    "gemma3": "<bos><start_of_turn>user\n\n\n<start_of_image><image_soft_token><end_of_image>\n\n"
    f"{ASKED.strip()}<end_of_turn>\n<start_of_turn>model\n",
    "internvl": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    f"<img><IMG_CONTEXT></img>\n{ASKED}<|im_end|>\n<|im_start|>assistant\n",
    "llava": f"USER: <image>\n{ASKED} ASSISTANT:",
}  # fmt: skip


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_the_model_gets_exactly_this_text(family):
    model, loaded = open_with_checkpoint(card_of(family))
    prompt = model.prompt(QUESTION, ASKED)
    assert text_seen(model, loaded, request(0, prompt, picture(1))) == EXPECTED[family]


def test_the_closing_sentence_is_the_benchmarks_and_can_be_kept():
    assert ASKED.endswith(CLOSING)
    janus = opened("janus", mcq_ending="")
    assert janus.prompt(QUESTION, ASKED) == ASKED
    assert opened("llava", mcq_ending="Say a letter.").prompt(QUESTION, ASKED) == BODY + "Say a letter."
    no_options = Question("toy", 1, {"question": "How many?"})
    assert opened("janus").prompt(no_options, CLOSING) == CLOSING


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_pictures_are_prepared_by_pillow_also_beside_torchvision(family):
    images = opened(family).fingerprint()["images"]
    assert images["processor"].endswith("Pil") or family == "emu3"  # which has no other


def test_qwen_scales_to_the_pixels_of_the_published_evaluation():
    model, loaded = open_with_checkpoint(ModelCard("q", "hf", model=str(built("qwen2.5-vl"))))
    batch = inputs_of(model, loaded, request(0, "What?", picture(1)))
    patches = int(batch["image_grid_thw"].prod())
    assert 1003520 <= patches * 14 * 14 <= 12845056
    assert model.fingerprint()["generation"] == {"do_sample": False, "max_new_tokens": 2048}


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_generation_defaults_of_the_release_change_nothing(family, tmp_path):
    plain = Path(shutil.copytree(built(CHECKPOINTS[family]), tmp_path / "plain"))
    defaults = json.loads((plain / "generation_config.json").read_text())
    assert {"do_sample", "temperature", "top_p", "top_k", "repetition_penalty"} <= set(defaults)
    kept = {k: v for k, v in defaults.items() if k.endswith("token_id")}
    (plain / "generation_config.json").write_text(json.dumps(kept))
    released, bare = opened(family), opened(family, plain)
    assert [o.text for o in released.generate(requests())] == [o.text for o in bare.generate(requests())]


def test_greedy_text_is_the_likeliest_token_each_time():
    import torch

    model, loaded = open_with_checkpoint(card_of("llava"))
    batch = inputs_of(model, loaded, requests()[0])
    ids = batch["input_ids"]
    for _ in range(TOKENS):
        with torch.inference_mode():
            logits = loaded.model(input_ids=ids, pixel_values=batch["pixel_values"]).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
        if int(ids[0, -1]) in loaded.ends:
            break
    said = ids[0, batch["input_ids"].shape[1] :]
    written = loaded.processor.tokenizer.decode(said, skip_special_tokens=True)
    assert model.generate(requests()[:1])[0].text == written.strip()


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_several_pictures_or_none(family):
    model = opened(family, batch=4)
    asked = [
        request(0, "Which is larger?", picture(1), picture(2)),
        request(1, "What is two and two?"),
        request(2, "What is here?", picture(1)),
        request(3, "Which of these is it?", picture(2), picture(1)),
    ]
    found = model.generate(asked)
    assert {o.status for o in found} <= {"ok", "truncated", "empty"}, [o.reason for o in found]
    assert [o.text for o in found] == [model.generate([r])[0].text for r in asked]


@pytest.mark.parametrize(("family", "token"), [("llava", "<image>"), ("internvl", "<IMG_CONTEXT>")])
def test_a_placeholder_in_a_question_is_no_picture(family, token):
    model, loaded = open_with_checkpoint(card_of(family))
    quoted = request(0, f"What does {token} mean?", picture(1))
    assert f"What does < {token[1:]} mean?" in text_seen(model, loaded, quoted)
    outcome = model.generate([quoted])[0]
    assert outcome.status != "error"
    assert outcome.details["placeholder_in_prompt"] is True
    assert "placeholder_in_prompt" not in model.generate([request(1, "What?", picture(1))])[0].details


def test_a_template_that_opens_the_thought_is_recorded_with_each_reply():
    model, loaded = open_with_checkpoint(card_of("llava"))
    asked = request(0, "What?", picture(1))
    assert "opens_thought" not in model.generate([asked])[0].details
    loaded.processor.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    assert model.generate([asked])[0].details["opens_thought"] is True


def test_emu3_never_pads_pictures_of_another_size(monkeypatch):
    model = opened("emu3", batch=5)
    seen, inputs = [], model.inputs
    monkeypatch.setattr(
        model, "inputs", lambda asked: seen.append([a.pictures[0].size for a in asked]) or inputs(asked)
    )
    model.generate(requests())
    assert sorted(map(len, seen)) == [1, 1, 1, 2]
    assert all(len(set(sizes)) == 1 for sizes in seen)


def test_robust_r1_draws_by_the_requests_seed_and_is_greedy_on_request():
    seeded = [replace(asked, seed=seed) for seed in (1, 2) for asked in requests()]
    sampled, greedy = opened("robust-r1", batch=5), load(card_of("robust-r1", temperature=0))
    assert sampled.fingerprint()["generation"] == {
        "do_sample": True,
        "temperature": 0.6,
        "max_new_tokens": TOKENS,
    }
    assert greedy.fingerprint()["generation"] == {"do_sample": False, "max_new_tokens": TOKENS}
    texts = [outcome.text for outcome in sampled.generate(seeded)]
    assert texts[:5] != texts[5:], "another seed draws another text"
    assert texts == [sampled.generate([one])[0].text for one in seeded]
    said = [outcome.text for outcome in greedy.generate(seeded)]
    assert said[:5] == said[5:]


def test_robust_r1_is_read_between_its_tags(monkeypatch):
    model, loaded = open_with_checkpoint(card_of("robust-r1"))
    said = "<TYPE>blur<TYPE_END><CONCLUSION>B<CONCLUSION_END><ANSWER>\nA. one\n<ANSWER_END>"
    ids = loaded.processor.tokenizer(said + "<|im_end|>", return_tensors="pt")["input_ids"]

    def write(input_ids, **rest):
        import torch

        return torch.cat([input_ids, ids], dim=1)

    monkeypatch.setattr(loaded.model, "generate", write)
    outcome = model.generate([request(0, "What?", picture(1))])[0]
    assert (outcome.text, outcome.status) == ("A. one", "ok")
    assert outcome.details["raw"] == said
    assert outcome.details["answer_tag"] == "closed"
    assert outcome.details["finish"] == "stop"


def test_a_text_that_is_cut_short_is_marked():
    outcome = opened("internvl", tokens=3).generate(requests()[:1])[0]
    assert (outcome.status, outcome.details["finish"], outcome.details["usage"]["completion"]) == (
        "truncated",
        "length",
        3,
    )


def test_one_broken_picture_is_one_error():
    model = opened("llava", batch=3)
    broken = replace(requests()[0], images=(ImageBytes(b"no picture", "image/png"),))
    outcomes = model.generate([requests()[1], broken, requests()[2]])
    assert [o.status == "error" for o in outcomes] == [False, True, False]
    assert "picture" in outcomes[1].reason


@pytest.mark.slow
@pytest.mark.parametrize("family", CHECKPOINTS)
def test_the_command_line_runs_all_of_a_benchmark(family, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = options(family, batch=8)
    stanza = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
    Path("cards.toml").write_text(
        f'["tiny"]\nadapter = "hf"\nmodel = {json.dumps(str(built(CHECKPOINTS[family])))}\n'
        f'generation = {{ max_new_tokens = 3 }}\n["tiny".options]\n{stanza}\n'
    )
    args = (
        "eval --model tiny --model-card cards.toml --bench mini --level clean,hard "
        "--corruption jpeg_compression,scan_lines -o run --quiet"
    )
    result = CliRunner().invoke(app, args.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    replies = read_replies(Path("run")).values()
    assert Counter(r.level for r in replies) == {"clean": 160, "hard": 160}
    assert {r.status for r in replies} <= {"ok", "truncated", "empty"}, {r.reason for r in replies}
    assert load_results(Path("run")).complete
