"""VLMEvalKit itself: its models on our variants, its datasets through ours, its import guarded."""

from __future__ import annotations

import logging
import os
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from torchvision_shim import mend_torchvision, why_not

pytestmark = pytest.mark.filterwarnings("ignore")  # of a foreign package and its idioms

mend_torchvision()
if why := why_not("torch", "transformers", "tabulate", "validators"):
    pytest.skip(why, allow_module_level=True)

from mmdbench.benches.vlmevalkit_guard import kit_module, kit_version  # noqa: E402
from mmdbench.errors import ModelError  # noqa: E402

try:
    CONFIG = kit_module("vlmeval.config")
except Exception as error:  # noqa: BLE001 - not installed, or not whole
    pytest.skip(f"VLMEvalKit cannot be imported here: {error}", allow_module_level=True)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import BatchFeature  # noqa: E402

from judge_server import serving  # noqa: E402
from mmdbench.benches import open_bench  # noqa: E402
from mmdbench.errors import UnknownNameError, UsageError  # noqa: E402
from mmdbench.models import open_model  # noqa: E402
from mmdbench.models.cards import find_card, set_options  # noqa: E402
from mmdbench.records import ImageBytes, Request, RunPlan  # noqa: E402
from mmdbench.results.graded_run import load_results  # noqa: E402
from mmdbench.run.inputs import RunInputs  # noqa: E402
from mmdbench.run.runner import run_plan  # noqa: E402
from mmdbench.run.store import read_replies  # noqa: E402
from mmdbench.system.digest import pixel_digest  # noqa: E402
from pictures import picture, png  # noqa: E402
from tiny_checkpoints import built  # noqa: E402

NAME = "granite_vision_3.3-2b"


@pytest.fixture
def on_cpu(monkeypatch):
    """VLMEvalKit's adapters ask for CUDA; here that is the CPU."""
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda self, *_: self)
    to = BatchFeature.to

    def to_cpu(self, *args, **kwargs):
        args = tuple("cpu" if a == "cuda" else a for a in args)
        return to(self, *args, **kwargs)

    monkeypatch.setattr(BatchFeature, "to", to_cpu)


def card(**changes):
    name = next(n for n, maker in CONFIG.supported_VLM.items() if maker.func.__name__ == "GraniteVision3")
    settings = [f"model_path={built('llava')}", *(f"{k}={v}" for k, v in changes.items())]
    return set_options(find_card(f"vlmeval:{name}"), settings)


def image(seed):
    return ImageBytes(png(picture(seed)), "image/png")


def test_one_of_its_adapters_answers_about_our_variants(on_cpu, tmp_path, make_tsv) -> None:
    path = make_tsv(rows=3)
    model = open_model(card(**{"generation.max_new_tokens": 6}))
    plan = RunPlan("vlmeval", (str(path),), levels=("clean", "hard"))
    bench = open_bench(path)
    summary = run_plan(RunInputs(plan, [bench], model, card(), tmp_path / "run"))
    assert (summary.asked, summary.failed) == (6, 0)
    replies = read_replies(tmp_path / "run").values()
    assert {reply.status for reply in replies} <= {"ok", "empty"}
    assert load_results(tmp_path / "run").planned == 6
    identity = model.fingerprint()
    assert identity["vlmevalkit"] == kit_version()
    assert identity["class"] == "GraniteVision3"
    assert identity["arguments"]["model_path"] == Path(built("llava")).name
    assert len(identity["checkpoint"]) == 64


def test_it_is_given_the_variants_bytes_and_our_prompt(on_cpu, monkeypatch) -> None:
    model = open_model(card(**{"generation.max_new_tokens": 2}))
    seen = []

    def generate(message, dataset=None):
        seen.append(
            (message, dataset, [Path(m["value"]).read_bytes() for m in message if m["type"] == "image"])
        )
        return "B"

    monkeypatch.setattr(model.inner, "generate", generate)
    images = (image(1), ImageBytes(b"\xff\xd8bytes", "image/jpeg"))
    (made,) = model.generate([Request("k", "Which?\n", "q", {}, images, 1)])
    assert (made.text, made.status) == ("B", "ok")
    ((message, dataset, contents),) = seen
    assert [part["type"] for part in message] == ["image", "image", "text"]
    assert message[-1]["value"] == "Which?\n"
    assert contents == [one.data for one in images]
    assert message[1]["value"].endswith(".jpg")
    assert dataset == "mmdbench"  # a name that no prompt rule of its knows


def test_a_template_that_opens_the_thought_is_recorded_with_each_reply(on_cpu) -> None:
    model = open_model(card(**{"generation.max_new_tokens": 2}))
    asked = Request("k", "Which?\n", "q", {}, (image(1),), 1)
    assert "opens_thought" not in model.generate([asked])[0].details
    model.inner.processor.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    assert model.generate([asked])[0].details["opens_thought"] is True
    assert "apply_chat_template" not in vars(model.inner.processor)


class Templated:
    """A class whose tokenizer renders its prompt, as text or in another form."""

    def __init__(self, form):
        self.tokenizer, self.form = self, form

    def apply_chat_template(self):
        return self.form

    def decode(self, ids):
        return "".join(map(chr, ids))

    def generate(self, message, dataset=None):
        self.tokenizer.apply_chat_template()
        return "round, so A"


IDS = [ord(c) for c in "assistant\n<think>\n"]


@pytest.mark.parametrize(
    "form", ["<think>", ["a", "<think>\n"], IDS, [IDS], torch.tensor([IDS]), {"input_ids": [IDS]}]
)
def test_prompts_are_read_in_every_form_that_templates_make(monkeypatch, form) -> None:
    monkeypatch.setitem(CONFIG.supported_VLM, "templated", partial(Templated, form))
    model = open_model(find_card("vlmeval:templated"))
    (made,) = model.generate([Request("k", "Which?\n", "q", {}, (), 1)])
    assert (made.text, made.details) == ("round, so A", {"opens_thought": True})


@pytest.mark.parametrize("form", ["<think></think>", [], None, {}, [[ord("A")]], 7])
def test_a_prompt_that_opens_no_thought_or_cannot_be_read_fails_no_reply(monkeypatch, form) -> None:
    monkeypatch.setitem(CONFIG.supported_VLM, "templated", partial(Templated, form))
    (made,) = open_model(find_card("vlmeval:templated")).generate([Request("k", "Which?\n", "q", {}, (), 1)])
    assert (made.text, made.details) == ("round, so A", {})


class Toy:
    """One of its model classes, which answers with its own inputs."""

    def __init__(self, **given):
        self.seen = []

    def generate(self, message, dataset=None):
        pictures = [Path(part["value"]) for part in message if part["type"] == "image"]
        self.seen.append((torch.is_grad_enabled(), np.random.rand(), all(p.exists() for p in pictures)))
        return "A"

    def use_custom_prompt(self, dataset):
        raise KeyError(f"no prompt with {os.environ['SOME_API_KEY']}")


@pytest.fixture
def toy(monkeypatch):
    """The card of a model whose class is `Toy`, with the arguments of registry and card."""

    def made(registered=(), **options):
        monkeypatch.setitem(CONFIG.supported_VLM, "toy", partial(Toy, **dict(registered)))
        return replace(find_card("vlmeval:toy"), options=options)

    return made


def test_it_answers_without_gradients_from_a_seed_of_the_requests_own(toy) -> None:
    model = open_model(toy())
    request = Request("k", "Which one?", "q", {}, (image(1),), 1)
    state = np.random.get_state()[1].copy()
    with ThreadPoolExecutor(1) as pool:  # gradients are a thread's own
        pool.submit(model.generate, [request]).result()
    model.generate([request, replace(request, seed=2)])
    first, again, other = model.inner.seen
    assert [grad for grad, _, _ in model.inner.seen] == [False] * 3
    assert first[1] == again[1] != other[1]
    assert torch.is_grad_enabled()
    assert (np.random.get_state()[1] == state).all()


def test_no_picture_of_a_request_gives_way_to_another_of_it(toy, monkeypatch) -> None:
    # Private: 64 pictures are kept, which needs no option.
    monkeypatch.setattr("mmdbench.adapters._vlmeval.model._PICTURES_KEPT", 2)
    model = open_model(toy())
    first, second, third, fourth = (image(seed) for seed in range(4))
    for images in ((first,), (second,), (first, third), (fourth, first, second, third)):
        model.generate([Request("k", "Which one?", "q", {}, images, 1)])
    assert [there for _, _, there in model.inner.seen] == [True] * 4
    assert len(list(model.folder.iterdir())) <= 2 + 4


def test_the_fingerprint_holds_all_that_changes_replies_and_no_secret(toy) -> None:
    shown = open_model(toy(eos_token_id=7, key_frames=4)).fingerprint()["arguments"]
    assert shown == {"eos_token_id": 7, "key_frames": 4}
    secrets = {"hf_token": "hf_12345678", "sk": "12345678", "client": {"api_key": "12345678", "retry": 2}}
    identity = open_model(toy(secrets)).fingerprint()
    assert identity["arguments"] == {"client": {"retry": 2}}
    assert "12345678" not in str(identity)


def test_a_failing_prompt_of_its_own_is_named_without_keys(toy, make_tsv, monkeypatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-1234567890")
    (question, *_) = open_bench(make_tsv(rows=1)).questions
    model = open_model(toy(dataset="MMStar", own_prompts=True))
    with pytest.raises(ModelError, match=r"no prompt for question.*KeyError") as caught:
        model.prompt(question, "ours")
    assert "sk-1234567890" not in str(caught.value)


def test_texts_about_failures_become_a_status(on_cpu, monkeypatch) -> None:
    model = open_model(card())
    request = Request("k", "Which one?", "q", {}, (image(1),), 1)
    monkeypatch.setenv("SOME_API_KEY", "sk-1234567890")
    monkeypatch.setattr(model.inner, "generate", lambda **_: "Failed to obtain answer via API. sk-1234567890")
    (failed,) = model.generate([request])
    assert (failed.status, failed.text) == ("error", "")
    assert "sk-1234567890" not in failed.reason
    monkeypatch.setattr(model.inner, "generate", lambda **_: {"prediction": "A", "reasoning": "red"})
    (pair,) = model.generate([request])
    assert (pair.text, pair.details) == ("A", {"vlmeval": {"reasoning": "red"}})
    monkeypatch.setattr(model.inner, "generate", lambda **_: "  ")
    assert model.generate([request])[0].status == "empty"

    def leak(**_):
        raise ValueError("denied for sk-1234567890")

    monkeypatch.setattr(model.inner, "generate", leak)
    with pytest.raises(RuntimeError, match="denied") as caught:
        model.generate([request])
    assert "sk-1234567890" not in str(caught.value)


def test_a_model_behind_an_api_answers_and_its_key_stays_hidden(monkeypatch, caplog, capsys) -> None:
    key = "sk-a-very-secret-key"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    for name in ("http_proxy", "HTTP_PROXY", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.DEBUG)
    request = Request("k", "Which one?", "q", {}, (image(1),), 1)
    with serving(lambda _: "B") as server:
        settings = [f"api_base={server.url}/chat/completions", "verbose=true", "wait=0", "retry=1"]
        model = open_model(set_options(find_card("vlmeval:GPT4o_MINI"), settings))
        (made,) = model.generate([request])
        (body,), (headers,) = server.bodies, server.headers
    assert (made.text, made.status) == ("B", "ok")
    assert headers["authorization"] == f"Bearer {key}"  # the key went where it belongs
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["image_url", "text"]
    with serving(lambda _: (500, {}, f"no access for {key}".encode())) as server:
        model.inner.api_base = f"{server.url}/chat/completions"
        (failed,) = model.generate([request])
    assert failed.status == "error"
    seen = capsys.readouterr()
    assert "API Key: [hidden]" in caplog.text  # it does write its key into its log
    assert key not in caplog.text + seen.out + seen.err + failed.reason + str(model.fingerprint())


def test_a_question_that_is_an_address_is_not_fetched(on_cpu, monkeypatch) -> None:
    model = open_model(card())
    told = []
    monkeypatch.setattr(
        model.inner, "generate_inner", lambda message, dataset=None: told.append(message) or "A"
    )
    model.generate([Request("k", "http://127.0.0.1:9/x.png", "q", {}, (image(1),), 1)])
    assert told[0][-1] == {"type": "text", "value": "http://127.0.0.1:9/x.png\n"}


def test_its_own_prompts_are_asked_when_wanted(on_cpu, make_tsv) -> None:
    (question, *_) = open_bench(make_tsv(rows=1)).questions
    plain = open_model(card())
    assert plain.prompt(question, "ours") == "ours"
    own = open_model(card(dataset="MMStar", own_prompts="true"))
    assert own.prompt(question, "ours").endswith(
        "Answer with the option's letter from the given choices directly."
    )
    assert own.fingerprint()["dataset"] == "MMStar"
    with pytest.raises(UsageError, match="own_prompts needs"):
        open_model(card(own_prompts="true"))


def test_another_checkpoint_has_another_fingerprint(on_cpu, tmp_path) -> None:
    import shutil

    copy = tmp_path / Path(built("llava")).name
    shutil.copytree(built("llava"), copy)
    same = open_model(card(model_path=str(copy))).fingerprint()
    assert same == open_model(card()).fingerprint()
    (copy / "generation_config.json").write_text("{}")
    assert open_model(card(model_path=str(copy))).fingerprint() != same


def test_unknown_models_and_models_that_cannot_be_made_are_errors() -> None:
    with pytest.raises(UnknownNameError, match="model of VLMEvalKit"):
        open_model(find_card("vlmeval:no-such-model"))
    with pytest.raises(ModelError, match="cannot make"):
        open_model(set_options(card(), ["model_path=/nowhere/at/all"]))


def test_a_dataset_of_its_is_read_from_its_file(tmp_path, make_tsv, monkeypatch) -> None:
    make_tsv(rows=4, name="AI2D_TEST.tsv")
    bench = open_bench("vlmeval:AI2D_TEST", data_dir=tmp_path, offline=True)
    assert (bench.name, bench.family, len(bench.questions)) == ("AI2D_TEST", "plain", 4)
    make_tsv(rows=2, name="CCBench.tsv")
    assert open_bench("vlmeval:CCBench", data_dir=tmp_path).family == "circular"
    with pytest.raises(UnknownNameError, match="dataset of VLMEvalKit"):
        open_bench("vlmeval:NoSuchSet", data_dir=tmp_path)


def test_a_dataset_whose_class_makes_its_rows_is_written_down(tmp_path, make_tsv, monkeypatch) -> None:
    import pandas as pd

    module = kit_module("vlmeval.dataset")
    source = open_bench(make_tsv(rows=3))
    picture_file = tmp_path / "one.png"
    picture_file.write_bytes(png(picture(7)))
    frame = pd.DataFrame(
        {
            "index": [0, 1],
            "question": ["Which\tone?", "And this?"],
            "A": ["None", "yes"],
            "B": ["red", None],
            "answer": ["A", "A"],
            "image_path": [str(picture_file), [str(picture_file), str(picture_file)]],
        }
    )
    made = type("Made", (), {"data": frame})()
    monkeypatch.setattr(module, "build_dataset", lambda name: made)
    bench = open_bench("vlmeval:AI2D_TEST", data_dir=tmp_path / "data")
    assert [q.options for q in bench.questions] == [{"A": "None", "B": "red"}, {"A": "yes"}]
    assert bench.questions[0].text == "Which\tone?"
    assert [len(q.images) for q in bench.questions] == [1, 2]
    assert bench.questions[0].images[0].read() == picture_file.read_bytes()
    assert len(source.questions) == 3
    assert str(tmp_path / "data") not in os.environ.values()


def test_a_build_of_ours_loads_in_its_dataset_class(tmp_path, make_tsv, monkeypatch) -> None:
    from build_samples import build
    from mmdbench.benches import decode_image

    source = make_tsv(rows=4, name="own.tsv")
    plan = {"levels": ("hard",), "design": "grid", "corruptions": ("graffiti",)}
    build(source, tmp_path / "LMUData", codec="png", **plan)
    monkeypatch.setenv("LMUData", str(tmp_path / "LMUData"))
    dataset = kit_module("vlmeval.dataset").build_dataset("own_hard_graffiti")
    assert type(dataset).__name__ == "CustomMCQDataset"
    ours = open_bench(tmp_path / "LMUData" / "own_hard_graffiti.tsv")
    for number, question in enumerate(ours.questions):
        message = dataset.build_prompt(dataset.data.iloc[number])
        (shown,) = [part["value"] for part in message if part["type"] == "image"]
        theirs = pixel_digest(decode_image(Path(shown).read_bytes(), shown))
        assert theirs == pixel_digest(decode_image(question.images[0].read(), "ours"))


def test_the_real_import_leaves_tls_and_environment_alone() -> None:
    # What VLMEvalKit replaces is private to ssl.
    assert ssl._create_default_https_context().verify_mode == ssl.CERT_REQUIRED  # noqa: SLF001 - see above
    code = (
        "import os, ssl, logging; before = dict(os.environ); from torchvision_shim import mend_torchvision; "
        "mend_torchvision(); import torch; from mmdbench.benches.vlmevalkit_guard import kit_module; "
        "kit_module('vlmeval.config'); "
        "assert ssl._create_default_https_context().verify_mode == ssl.CERT_REQUIRED; "
        "assert dict(os.environ) == before, set(os.environ) ^ set(before); "
        "assert not logging.getLogger().handlers; assert torch.is_grad_enabled(); print('as it was')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "support")}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "as it was", done.stderr[-2000:]
