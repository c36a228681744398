"""The adapter: a card opens a model, and the outcome of a request has its details."""

from __future__ import annotations

from clear_checkpoints import (
    BOS,
    GOLDEN,
    RESTORE,
    card,
    picture,
    request,
    torch,
    write_checkpoint,
    write_speaker,
)

# isort: split

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mmdbench.adapters import clear
from mmdbench.adapters._clear.prompts import INTERLEAVE, THINK
from PIL import Image

from mmdbench.bagel import dialogue, loading
from mmdbench.bagel.answers import answer_of
from mmdbench.errors import DownloadError, ModelError, UnknownNameError, UsageError
from mmdbench.records import ImageBytes

VISIBLE = (65, 66, 67)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speaker(tmp_path_factory.mktemp("restorer"), RESTORE)


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speaker(tmp_path_factory.mktemp("speaker"), VISIBLE)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The engines that are loaded during a test."""
    found: list[object] = []
    load = loading.load_engine
    monkeypatch.setattr(loading, "load_engine", lambda *how: found.append(load(*how)) or found[-1])
    return found


def test_a_card_asks_for_compiled_steps_and_keeps_its_fingerprint(
    speaker: Path, engines: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogue, "run_dialogues", lambda _engine, inputs, *_: [done] * len(inputs))
    done = dialogue.DialogueResult(0, texts=["<answer>A</answer>"], tokens=[1])
    prints = []
    for given in ({}, {"compile": "false"}, {"compile": "true"}):
        model = clear.load(card(speaker, **given))
        model.generate([request(0)])
        prints.append(model.fingerprint())
    assert [engine.speed.compiler for engine in engines] == ["", "", "inductor"]
    assert prints[0] == prints[1] == prints[2]
    with pytest.raises(UsageError, match="option compile must be true or false"):
        clear.load(card(speaker, compile="inductor"))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>a</think> <answer> B </answer> <answer>C</answer>", "B"),
        ("<think>a</think><answer>it is\nB</answer>", "it is\nB"),
        ("<think>a</think><answer>B", "B"),
        ("<think>a</think> <think>b</think> C ", "C"),
        ("D. <image_restore>", "D."),
        ("<answer></answer>", ""),
    ],
)
def test_answers(text: str, answer: str) -> None:
    assert answer_of(text) == answer


def test_the_details_of_a_restored_sample(restorer: Path) -> None:
    (outcome,) = clear.load(card(restorer)).generate([request(1)])
    assert outcome.status == "empty"
    details = outcome.details
    assert details["texts"] == ["<image_restore>"] * 3
    assert (details["restorations"], details["stop"]) == (2, "turn limit")
    assert details["tokens"] == [len(RESTORE)] * 3
    assert set(details["seconds"]) == {"image", "text", "denoise", "feedback", "decode"}
    assert details["seconds"]["denoise"] > 0
    assert details["seconds"]["decode"] == 0
    assert isinstance(details["seed"], int)
    assert "images" not in details


def test_statuses(speaker: Path, tmp_path: Path) -> None:
    (said,) = clear.load(card(speaker)).generate([request(1)])
    assert (said.text, said.status, said.details["stop"]) == ("ABC", "ok", "no tag")
    endless = write_speaker(tmp_path, VISIBLE, endless=True)
    (cut,) = clear.load(card(endless)).generate([request(1)])
    assert (cut.text, cut.status, cut.details["stop"]) == ("AB" + "C" * 13, "truncated", "token limit")
    broken = replace(request(2), images=(ImageBytes(b"no picture", "image/png"),))
    failed, fine = clear.load(card(speaker)).generate([broken, request(1)])
    assert (failed.status, fine.status) == ("error", "ok")


@pytest.mark.parametrize("mode", ["text", "think"])
def test_understanding_modes(golden: Path, mode: str, engines: list, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = clear.load(card(golden, mode=mode, batch_size=3))
    monkeypatch.setattr(dialogue, "encode_picture", None)
    outcomes = opened.generate([request(i) for i in range(3)])
    assert all(len(o.details["texts"]) == 1 and o.details["restorations"] == 0 for o in outcomes)
    (engine,) = engines
    assert engine.vae is None
    assert not any("moe_gen" in name for name in engine.model.state_dict())


@pytest.mark.parametrize(
    "options", [{"mode": "text"}, {"feedback": "both"}, {"temperature": 1.2, "top_p": 0.9}]
)
@pytest.mark.parametrize("which", ["golden", "restorer"])
def test_batches_and_order_do_not_matter(request_of: Callable, options: dict, which: str) -> None:
    folder = request_of(which)
    requests = [request(i) for i in range(4)]
    alone = [o.details["texts"] for o in clear.load(card(folder, **options)).generate(requests)]
    batched = clear.load(card(folder, **options, batch_size=3))
    assert [o.details["texts"] for o in batched.generate(requests)] == alone
    backwards = clear.load(card(folder, **options, batch_size=2)).generate(requests[::-1])
    assert [o.details["texts"] for o in backwards] == alone[::-1]


@pytest.fixture
def request_of(request: pytest.FixtureRequest) -> Callable:
    return request.getfixturevalue


def test_a_batch_that_does_not_fit_is_halved_and_that_is_remembered(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = clear.load(card(golden, batch_size=4, mode="text"))
    whole, sizes = dialogue.run_dialogues, []

    def run_dialogues(engine, samples, *rest):
        sizes.append(len(samples))
        if len(samples) > 1:
            raise torch.OutOfMemoryError("no room")
        return whole(engine, samples, *rest)

    expected = [
        o.text for o in clear.load(card(golden, mode="text")).generate([request(i) for i in range(4)])
    ]
    monkeypatch.setattr(dialogue, "run_dialogues", run_dialogues)
    assert [o.text for o in model.generate([request(i) for i in range(4)])] == expected
    assert (sizes, model.batch_size) == ([4, 2, 1, 1, 1, 1], 1)


def test_one_sample_that_does_not_fit_is_an_error(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_dialogues(*_):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(dialogue, "run_dialogues", run_dialogues)
    with pytest.raises(ModelError, match="too little memory for one request"):
        clear.load(card(golden)).generate([request(1)])


def test_pictures_are_kept_on_request(restorer: Path, tmp_path: Path) -> None:
    (inside,) = clear.load(card(restorer, keep_images="details")).generate([request(1)])
    first = Image.open(io.BytesIO(base64.b64decode(inside.details["images"][0])))
    folder = tmp_path / "kept"
    (beside,) = clear.load(card(restorer, keep_images=str(folder))).generate([request(1)])
    assert beside.details["images"] == ["key1-1.png", "key1-2.png"]
    assert Image.open(folder / "key1-1.png").tobytes() == first.tobytes()
    assert beside.details["seconds"]["decode"] > 0


def test_pictures_follow_from_the_requests_seed(restorer: Path) -> None:
    model = clear.load(card(restorer, keep_images="details", max_turns=2))
    asked = [replace(request(1), seed=seed) for seed in (1, 2, 1)]
    first, other, same = model.generate(asked)
    assert first.details["images"] == same.details["images"] != other.details["images"]
    assert first.details["seed"] == same.details["seed"] != other.details["seed"]


def test_generation_settings_of_a_request(speaker: Path, tmp_path: Path) -> None:
    model = clear.load(card(write_speaker(tmp_path, VISIBLE, endless=True)))
    short, long = model.generate(
        [request(1, generation={"max_new_tokens": 3}), request(1, generation={"max_new_tokens": 5})]
    )
    assert (short.text, long.text) == ("AB", "ABCC")
    with pytest.raises(UnknownNameError, match="max_new_tokens"):
        model.generate([request(1, generation={"max_tokens": 3})])


def test_fingerprints(golden: Path, restorer: Path) -> None:
    def of(folder: Path = golden, **options: object) -> object:
        return clear.load(card(folder, **options)).fingerprint()

    first = of()
    assert first == of() == of(batch_size=4) == of(keep_images="details")
    assert first["system_prompt"]["exact"] is False
    changes = [
        {"steps": 5},
        {"guidance": [3.0, 1.5]},
        {"renorm": "channel"},
        {"preset": "repo-eval"},
        {"feedback": "reencode"},
        {"latent_source": "degraded"},
        {"mode": "text"},
        {"max_new_tokens": 9},
        {"vit_max": 84},
        {"dtype": "bfloat16"},
        {"seed": 1},
    ]
    found = [of(**change) for change in changes] + [of(restorer)]
    assert all(other != first for other in found)
    assert len({repr(other) for other in found}) == len(found)


def test_another_prompt_is_another_model(golden: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("Say A.", "utf-8")
    one, other = clear.load(card(golden)), clear.load(card(golden, system_prompt_file=str(own)))
    assert one.fingerprint()["system_prompt"] != other.fingerprint()["system_prompt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feedbck": "bridge"}, "Did you mean 'feedback'"),
        ({"feedback": "brige"}, "Did you mean 'bridge'"),
        ({"renorm": "locl"}, "global, channel, text_channel|Did you mean"),
        ({"steps": 1}, "at least 2"),
        ({"steps": "many"}, "a whole number"),
        ({"guidance": [3.0]}, "two numbers"),
        ({"top_p": 1.5}, "between 0 and 1"),
        ({"vit_max": 980}, "must be between 28 and 112"),
        ({"base_dir": "$CLEAR_TEST_UNSET/x"}, r"\$CLEAR_TEST_UNSET is not set"),
        ({"sizes_file": "none.json"}, "holds no sizes"),
        ({"consider_think": "maybe"}, "true or false"),
    ],
)
def test_wrong_options(golden: Path, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clear.load(card(golden, **options))


def test_options_as_words_and_from_the_environment(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEAR_TEST_DIR", str(golden))
    words = card(golden, base_dir="$CLEAR_TEST_DIR", steps="5", guidance="3, 1.5", consider_think="false")
    numbers = card(golden, steps=5, guidance=[3.0, 1.5], consider_think=False)
    assert clear.load(words).fingerprint() == clear.load(numbers).fingerprint()


def test_the_known_prompts() -> None:
    assert (INTERLEAVE.characters, INTERLEAVE.sha256[:8]) == (1820, "f30b4828")
    place = (INTERLEAVE.repository, INTERLEAVE.commit, INTERLEAVE.file)
    commit = "411d6bdb210c7d79eb7e5304b0f1feeae3034c9a"
    assert place == ("https://github.com/haoxiangzhao12138/CLEAR", commit, "prompts.py")
    assert (THINK.characters, THINK.sha256[:8]) == (227, "5eff0088")


def test_no_prompt_no_model(golden: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("MMDBENCH_CLEAR_PROMPT", raising=False)
    with pytest.raises(ModelError, match="system_prompt_file=PATH"):
        clear.load(card(golden, system_prompt_file=None, offline=True))
    with pytest.raises(ModelError, match="nothing may be downloaded"):
        clear.load(card(golden, mode="think", system_prompt_file=None, offline=True))
    assert (
        clear.load(card(golden, mode="text", system_prompt_file=None)).fingerprint()["system_prompt"] is None
    )


def test_the_environment_may_name_the_prompt_of_clear(
    golden: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path))
    unset = {"system_prompt_file": None, "offline": True}
    monkeypatch.setenv("MMDBENCH_CLEAR_PROMPT", str(golden / "prompt.txt"))
    named = clear.load(card(golden, **unset))
    assert named.fingerprint() == clear.load(card(golden)).fingerprint()
    monkeypatch.setenv("MMDBENCH_CLEAR_PROMPT", "http://127.0.0.1:9/owner/name")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9/owner/name"):
        clear.load(card(golden, system_prompt_file=None, offline=False))
    with pytest.raises(ModelError, match="nothing may be downloaded"):  # BAGEL's prompt is from elsewhere
        clear.load(card(golden, **unset, mode="think"))


def test_the_weights_are_loaded_once_when_first_asked(golden: Path, engines: list) -> None:
    model = clear.load(card(golden))
    assert engines == []
    for _ in range(2):
        model.generate([request(1)])
    assert len(engines) == 1


def test_the_speaker_and_its_markers() -> None:
    """The ids that the tiny checkpoints generate are those of the golden vocabulary."""
    assert BOS == 305
    assert (GOLDEN / "settings.json").is_file()
    assert picture(1).size == (150, 100)
