"""The adapter `vllm_offline`: whole batches go to vLLM's `LLM.chat`, and no answer to another question."""

from __future__ import annotations

import shutil
import struct
import sys
from importlib import metadata

import pytest

from mmdbench.cli.evaluate import evaluate
from mmdbench.errors import MissingExtraError, ModelError, UnknownNameError, UsageError
from mmdbench.models.cards import find_card, set_options
from mmdbench.models.registry import open_model
from mmdbench.records import ImageBytes, Request
from mmdbench.run.store import read_replies
from pictures import picture, png
from verb_calls import call

# LLM, chat, SamplingParams and the outputs have the arguments of vLLM's main branch.
PACKAGE = """
from dataclasses import dataclass

made, chats, behave = [], [], lambda messages: {}

@dataclass
class EngineArgs:
    max_model_len: int | None = None
    limit_mm_per_prompt: dict | None = None
    disable_log_stats: bool = True

class EngineDeadError(Exception):
    pass

@dataclass(kw_only=True)
class SamplingParams:
    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = 16

@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list
    cumulative_logprob: float | None
    logprobs: None
    routed_experts: None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    lora_request: None = None

class RequestOutput:
    def __init__(self, request_id, prompt, prompt_token_ids, prompt_logprobs, outputs, finished, metrics=None,
                 lora_request=None, encoder_prompt=None, encoder_prompt_token_ids=None,
                 num_cached_tokens=None):
        self.request_id, self.prompt, self.prompt_token_ids = request_id, prompt, prompt_token_ids
        self.outputs, self.finished = outputs, finished

class LLM:
    def __init__(self, model, *, runner="auto", convert="auto", tokenizer=None, tokenizer_mode="auto",
                 skip_tokenizer_init=False, trust_remote_code=False, allowed_local_media_path="",
                 allowed_media_domains=None, tensor_parallel_size=1, dtype="auto", quantization=None,
                 revision=None, tokenizer_revision=None, chat_template=None, seed=0,
                 gpu_memory_utilization=0.92, cpu_offload_gb=0, enforce_eager=False,
                 mm_processor_kwargs=None, **kwargs):
        given = dict(locals())
        EngineArgs(**given.pop("kwargs"))
        if tensor_parallel_size > 2:
            raise ValueError("World size (4) is larger than the number of available GPUs (2)")
        made.append({**given, **kwargs})

    def chat(self, messages, sampling_params=None, use_tqdm=True, lora_request=None, chat_template=None,
             chat_template_content_format="auto", add_generation_prompt=True, continue_final_message=False,
             tools=None, chat_template_kwargs=None, tokenization_kwargs=None, mm_processor_kwargs=None):
        assert len(sampling_params) == len(messages)
        chats.append((messages, sampling_params, use_tqdm, chat_template_kwargs))
        return [self._answer(number, turns) for number, turns in enumerate(messages)]

    def _answer(self, number, turns):
        said = {"text": f"A. {hash(str(turns)) % 1000}", "finish": "stop", "prompt": "USER: ? ASSISTANT:"}
        said |= behave(turns)
        answer = CompletionOutput(0, said["text"], [1, 2, 3], None, None, finish_reason=said["finish"])
        return RequestOutput(str(number), said["prompt"], [5] * 90, None, [answer], True)
"""


@pytest.fixture
def vllm(tmp_path, monkeypatch):
    """A vLLM that answers as a test tells it to; engines are in `made`, calls in `chats`."""
    site = tmp_path / "site"
    (site / "vllm-0.99.0.dist-info").mkdir(parents=True)
    (site / "vllm-0.99.0.dist-info" / "METADATA").write_text("Name: vllm\nVersion: 0.99.0\n")
    (site / "vllm").mkdir()
    (site / "vllm" / "__init__.py").write_text(PACKAGE)
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    monkeypatch.syspath_prepend(site)
    import vllm

    yield vllm
    del sys.modules["vllm"]


@pytest.fixture
def folder(tmp_path):
    """A folder with the files that a checkpoint is known by."""
    made = tmp_path / "weights"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "new"}')
    (made / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    return made


def card(folder, *settings):
    return set_options(find_card(f"vllm-offline:{folder}"), settings)


def requests(count=3, **generation):
    images = [ImageBytes(png(picture(i)), "image/png") for i in range(count)]
    settings = {"temperature": 0, "max_tokens": 9, **generation}
    return [Request(str(i), f"Which {i}?", "", {}, (image,), i, settings) for i, image in enumerate(images)]


def test_a_batch_is_one_call_with_pictures_and_settings(vllm, folder):
    model = open_model(
        card(folder, "tensor_parallel=2", "engine.max_model_len=4096", "chat_template.enable_thinking=false")
    )
    assert vllm.made == [], "nothing is loaded before it is needed"
    outcomes = model.generate(requests())
    assert [o.status for o in outcomes] == ["ok"] * 3
    assert len({o.text for o in outcomes}) == 3
    assert outcomes[0].details == {"finish_reason": "stop", "usage": {"prompt": 90, "completion": 3}}
    ((messages, sampling, use_tqdm, variables),) = vllm.chats
    part, text = messages[1][0]["content"]
    assert part["image_url"]["url"].startswith("data:image/png;base64,")
    assert text == {"type": "text", "text": "Which 1?"}
    assert (sampling[1].temperature, sampling[1].max_tokens, sampling[1].seed) == (0, 9, None)
    assert (use_tqdm, variables) == (False, {"enable_thinking": False})
    model.generate(requests(1, temperature=0.6))
    assert vllm.chats[1][1][0].seed == 0
    (engine,) = vllm.made
    assert (engine["model"], engine["tensor_parallel_size"], engine["max_model_len"]) == (
        str(folder),
        2,
        4096,
    )


def test_order_of_text_and_pictures_system_prompt_and_no_pictures(vllm, folder):
    model = open_model(card(folder, "image_first=false", "system=Be brief."))
    model.generate([requests(1)[0], Request("k", "Two and two?", "", {}, ())])
    shown, blind = vllm.chats[0][0]
    assert [part["type"] for part in shown[1]["content"]] == ["text", "image_url"]
    assert shown[0] == {"role": "system", "content": "Be brief."}
    assert blind[1] == {"role": "user", "content": "Two and two?"}
    assert vllm.chats[0][1][1].max_tokens == 2048, "vLLM's own limit is 16"


@pytest.mark.parametrize(
    ("finish", "text", "status"),
    [
        ("length", "A", "truncated"),
        ("stop", " ", "empty"),
        ("abort", "A", "error"),
        (None, "A", "error"),
        ("odd", "A", "error"),
    ],
)
def test_ends_of_an_answer(vllm, folder, finish, text, status):
    vllm.behave = lambda turns: {"finish": finish, "text": text, "prompt": "USER: ? ASSISTANT: <think>\n"}
    (outcome,) = open_model(card(folder)).generate(requests(1))
    assert outcome.status == status
    assert outcome.details["opens_thought"] is True
    assert outcome.reason
    assert outcome.text == ("A" if status == "truncated" else "")


def test_no_answer_goes_to_another_question(vllm, folder, monkeypatch):
    model = open_model(card(folder))
    chat = vllm.LLM.chat
    monkeypatch.setattr(vllm.LLM, "chat", lambda self, *args, **more: [*chat(self, *args, **more), "left"])
    with pytest.raises(RuntimeError, match="4 answers to 3 requests"):
        model.generate(requests())


def test_a_dead_engine_stops_the_run_and_another_error_is_that_of_a_request(vllm, folder):
    def fail(turns, kind):
        raise kind("no")

    model = open_model(card(folder))
    vllm.behave = lambda turns: fail(turns, vllm.EngineDeadError)
    with pytest.raises(ModelError, match="engine has ended: no"):
        model.generate(requests())
    vllm.behave = lambda turns: fail(turns, ValueError)
    with pytest.raises(ValueError, match="no"):
        model.generate(requests())


def test_the_fingerprint_names_all_that_could_change_a_reply(vllm, folder, tmp_path):
    def known(place=folder, *settings):
        return dict(open_model(card(place, *settings)).fingerprint())

    plain = known()
    assert plain["vllm"] == metadata.version("vllm") == "0.99.0"
    assert (plain["repo"], str(folder) in str(plain)) == ("folder", False)
    assert known(shutil.copytree(folder, tmp_path / "moved")) == plain
    assert known(folder, "engine.gpu_memory_utilization=0.5", "batch=3") == plain
    seen = [
        known(folder, s)
        for s in ("tensor_parallel=2", "engine.dtype=float16", "system=x", "chat_template.a=1")
    ]
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 3) + b"{} ")
    seen += [known(), plain]
    assert len({str(one) for one in seen}) == len(seen)


def test_what_cannot_work_is_an_error_before_a_request(vllm, folder, monkeypatch, tmp_path):
    def refused(kind, message, *settings, place=folder):
        with pytest.raises(kind, match=message):
            open_model(card(place, *settings)).check()

    refused(
        ModelError, r"vLLM cannot load .*World size \(4\) is larger.*tensor_parallel", "tensor_parallel=4"
    )
    refused(ModelError, "unexpected keyword argument 'max_len'", "engine.max_len=3")
    refused(UsageError, "does not take the generation settings .* 'top_q'", "generation.top_q=1")
    refused(
        UsageError,
        "engine.tensor_parallel_size .* has a place of its own: tensor_parallel",
        "engine.tensor_parallel_size=2",
    )
    refused(UnknownNameError, "Did you mean 'batch'", "bach=3")
    refused(UsageError, "must be a table", "engine=fast")
    refused(UsageError, "must be true or false", "image_first=1")
    refused(UsageError, "tensor_parallel in .* must be a whole number", "tensor_parallel=0.5")
    refused(ModelError, "There are no weights", place=tmp_path)
    with pytest.raises(UsageError, match="names no checkpoint"):
        open_model(find_card("vllm-offline"))
    monkeypatch.setattr("mmdbench.adapters.vllm_offline.util.find_spec", lambda name: None)
    refused(MissingExtraError, r"mmdbench\[vllm\]")


def test_a_run_in_batches_is_stored_like_any_other(vllm, folder, tmp_path, make_tsv):
    words = ["--model", f"vllm-offline:{folder}", "--bench", make_tsv(3), "-o", tmp_path / "run", "--quiet"]
    call(evaluate, *words, "--set", "batch=8", "--no-canary")
    replies = read_replies(tmp_path / "run")
    assert {reply.status for reply in replies.values()} == {"ok"}
    assert [len(messages) for messages, *_ in vllm.chats] == [8, 4]
    assert len(vllm.made) == 1
