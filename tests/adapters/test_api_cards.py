"""Model cards and what is sent for them: a few lines of TOML, the exact bytes, nothing secret."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from mmdbench.adapters._openai_api.pictures import PictureRules, fit
from mmdbench.adapters._openai_api.response import outcome_of
from mmdbench.adapters._openai_api.settings import read_settings
from mmdbench.adapters.openai_api import chat_body, chat_body_bytes
from PIL import Image

from mmdbench.errors import ModelError, UnknownNameError, UsageError
from mmdbench.models import open_model
from mmdbench.models.cards import (
    ModelCard,
    find_card,
    known_cards,
    read_cards,
    set_options,
    shipped_cards,
)
from mmdbench.models.failures import AttemptError
from mmdbench.models.prices import Price
from mmdbench.models.tokens import image_tokens
from mmdbench.records import ImageBytes, Request
from pictures import picture, png
from profiled_pictures import encoded, photo, rgb_profile

STANZA = """
[mine]
adapter = "openai"
model = "m-1"
endpoint = "https://host.example/v1"
key_env = "MY_KEY"
generation = { temperature = 0 }
price = { input = 1, output = 2, date = "2025-05-01" }
"""


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "MMDBENCH_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def request(*images, prompt="Which?", **generation):
    return Request("k", prompt, prompt, {}, images, 0, generation)


def jpeg(pixels, quality=95):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return ImageBytes(buffer.getvalue(), "image/jpeg")


def test_a_card_is_found_where_it_should_be(tmp_path):
    config = tmp_path / "config" / "mmdbench"
    config.mkdir(parents=True)
    (config / "models.toml").write_text(STANZA)
    assert find_card("mine").model == "m-1"
    (tmp_path / "models.toml").write_text(STANZA.replace("m-1", "m-2"))
    assert find_card("mine").model == "m-2"
    (tmp_path / "given.toml").write_text(STANZA.replace("m-1", "m-3"))
    assert find_card("mine", [tmp_path / "given.toml"]).model == "m-3"
    assert find_card("mine", [tmp_path / "given.toml"]).price == Price(1, 2, "2025-05-01")
    assert {"mine", "chance", "gpt-4.1"} <= set(known_cards())
    with pytest.raises(UnknownNameError, match="Did you mean 'mine'"):
        find_card("mien")


def test_any_model_at_any_address():
    card = find_card("openai:org/model@v2@https://host.example:8443/api/v1")
    assert (card.model, card.endpoint) == ("org/model@v2", "https://host.example:8443/api/v1")
    assert card.key_env == "MMDBENCH_API_KEY"  # never the key of OpenAI to somebody else
    assert find_card("openai:gpt-9").key_env == "OPENAI_API_KEY"
    assert find_card("vllm:Qwen/Qwen2.5-VL-7B-Instruct").endpoint == "http://127.0.0.1:8000/v1"
    local = find_card("vllm:/data/checkpoints/tiny@http://127.0.0.1:9/v1")
    assert (local.name, local.model) == ("vllm:tiny", "/data/checkpoints/tiny")
    assert "/data" not in str(open_model(local).fingerprint())
    with pytest.raises(UsageError, match="needs a name after the colon"):
        find_card("openai:@https://host.example/v1")


def test_set_changes_fields_parts_and_options():
    card = set_options(
        shipped_cards()["gpt-4.1-mini"],
        [
            "generation.top_p=0.5",
            "temperature=1",
            "max_side=no",
            "concurrency=8",
            "price.input=9",
        ],
    )
    assert (card.price.input, card.price.output) == (9, 1.6)
    assert card.generation == {"temperature": 1, "max_tokens": 2048, "top_p": 0.5}
    assert (card.options["concurrency"], card.options["max_side"]) == (8, "no")
    with pytest.raises(UsageError, match="--set needs key=value"):
        set_options(card, ["nonsense"])
    for setting, message in (
        ("context.x=1", "field context is no table"),
        ("model.x=1", "field model is no table"),
        ("price=1", "price of the card .* must be a table"),
        ("max_side.x=1", "max_side is no table"),
    ):
        with pytest.raises(UsageError, match=message):
            set_options(card, [setting])
    with pytest.raises(UnknownNameError, match="Did you mean 'concurrency'"):
        read_settings(set_options(shipped_cards()["vllm"], ["concurency=3"]))


@pytest.mark.parametrize("address", ["localhost", "localhost:8000/v1", "host.example/v1", "ftp://host/v1"])
def test_an_address_without_its_scheme_never_gets_the_question_sent_elsewhere(address):
    with pytest.raises(UsageError, match="does not begin with http"):
        find_card(f"openai:qwen@{address}")


def test_an_at_sign_may_be_part_of_a_models_name():
    assert find_card("openai:claude-3@20240620").model == "claude-3@20240620"
    assert find_card("openai:@cf/meta/llama").model == "@cf/meta/llama"
    assert find_card("openai:a@b@https://host.example/v1").model == "a@b"


@pytest.mark.parametrize("name", ["jpeg75", "reasoning", "image_first"])
@pytest.mark.parametrize("value", ["no", "False", "0", "'false'"])
def test_a_switch_is_true_or_false_and_nothing_else(name, value):
    with pytest.raises(UsageError, match=f"{name} must be true or false"):
        read_settings(set_options(shipped_cards()["vllm"], [f"{name}={value}"]))


@pytest.mark.parametrize("name", ["vllm", "chance"])
def test_any_card_may_say_that_the_prompt_opens_the_thought_and_it_changes_no_reply(name):
    plain = set_options(shipped_cards()[name], ["model=m"] if name == "vllm" else [])
    opened = set_options(plain, ["opens_thought=true"])
    assert open_model(plain).fingerprint() == open_model(opened).fingerprint()
    assert opened.options["opens_thought"] is True
    with pytest.raises(UsageError, match="opens_thought must be true or false, got 'no'"):
        open_model(set_options(plain, ["opens_thought=no"]))


def test_an_option_that_an_adapter_does_not_know_is_no_traceback():
    with pytest.raises(ModelError, match=r"'chance' cannot load the model 'chance'.*nonsense"):
        open_model(set_options(shipped_cards()["chance"], ["nonsense=1"]))


@pytest.mark.parametrize(
    "rule", [3, {"patch": 0}, {"patch": "32"}, {"per_tile": 170, "tile": 0}, {"side": 3}]
)
def test_image_tokens_that_cannot_be_read_are_reported(rule):
    with pytest.raises(UsageError, match="Cannot read the image tokens"):
        image_tokens((640, 480), rule)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("key_env", "api_key"), "never holds a secret"),
        (("generation = {", "generation = { hf_token = 'x',"), "'hf_token'; a card never"),
        (("generation = {", "generation = { extra = [{ X-Api-Key = 'x' }],"), "'X-Api-Key'; a card never"),
        (("price = { input = 1,", "price = { inptu = 1,"), "Did you mean 'input'"),
        ((', date = "2025-05-01"', ""), "date of that price"),
        (("input = 1", 'input = "1"'), "US dollars"),
        (("adapter =", "adaptor ="), "Did you mean 'adapter'"),
        (("generation = {", "generation = 3 #"), "must be a table"),
        (("generation = {", "generation = { stop = [2027-01-14],"), "generation .* no date or time"),
        (("generation = {", "images = { tokens = { at = 07:32:00 } } \ngeneration = {"), "images .* no date"),
        (
            ("generation = {", "options = { timeout = 1979-05-27T07:32:00Z } \ngeneration = {"),
            "options .* no date",
        ),
        (("https", "ftp"), "must begin with http"),
        (("https://", "https://me:pw@"), "no user name, password"),
    ],
)
def test_a_wrong_card_is_refused_with_the_reason(tmp_path, change, message):
    path = tmp_path / "cards.toml"
    path.write_text(STANZA.replace(*change))
    with pytest.raises(UsageError, match=message):
        read_settings(read_cards(path)["mine"])


def test_a_missing_key_is_named_before_anything_is_asked(monkeypatch):
    model = open_model(shipped_cards()["gpt-4.1-mini"])
    with pytest.raises(ModelError, match="OPENAI_API_KEY is not set"):
        model.check()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-with space")
    with pytest.raises(ModelError, match="holds a character that no key has") as caught:
        open_model(shipped_cards()["gpt-4.1-mini"]).check()
    assert "with" not in str(caught.value).replace("OPENAI_API_KEY holds", "")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-good\n")
    open_model(shipped_cards()["gpt-4.1-mini"]).check()


def test_pictures_go_as_they_are():
    image = jpeg(picture(3))
    body, sent = chat_body(request(image, temperature=0), read_settings(shipped_cards()["gpt-4.1-mini"]))
    part, text = body["messages"][0]["content"]
    head, _, data = part["image_url"]["url"].partition(",")
    assert (head, base64.b64decode(data)) == ("data:image/jpeg;base64", image.data)
    assert part["image_url"]["detail"] == "high"
    assert text == {"type": "text", "text": "Which?"}
    assert (body["model"], body["temperature"], sent) == ("gpt-4.1-mini", 0, [])


@pytest.mark.parametrize("image_first", [True, False])
def test_the_body_that_is_sent_is_the_one_that_is_described(image_first):
    options = {"image_first": image_first}
    settings = read_settings(
        ModelCard("x", "openai", model="m", endpoint="http://h.example", options=options)
    )
    images = [ImageBytes(png(picture(seed)), "image/png") for seed in (1, 2)]
    asked = request(*images, prompt='picture-"\u2028é\0', temperature=0, stop=["\0", '"'])
    body, sent = chat_body(asked, settings)
    assert chat_body_bytes(asked, settings) == (json.dumps(body).encode(), sent)


def test_reasoning_models_get_no_temperature():
    settings = read_settings(shipped_cards()["gpt-5-mini"])
    body, _ = chat_body(request(**settings.generation), settings)
    assert "temperature" not in body
    assert body["max_completion_tokens"] > 1000
    for wrong in ("generation.temperature=0", "generation.max_tokens=10"):
        with pytest.raises(UsageError, match="takes no"):
            read_settings(set_options(shipped_cards()["gpt-5-mini"], [wrong]))


def test_jpeg75_reproduces_what_vlmevalkit_sends_and_says_so():
    pixels = picture(4, 60, 80)
    made, done = fit(ImageBytes(png(pixels), "image/png"), PictureRules(jpeg75=True))
    assert made.data == jpeg(pixels, 75).data
    assert (made.mime, done) == ("image/jpeg", {"jpeg75": True, "bytes": len(made.data)})
    card = set_options(shipped_cards()["gpt-4.1-mini"], ["jpeg75=true"])
    assert open_model(card).fingerprint() != open_model(shipped_cards()["gpt-4.1-mini"]).fingerprint()


def test_a_picture_that_is_too_large_is_resized_on_the_record_or_refused():
    big = ImageBytes(png(picture(5, 300, 400)), "image/png")
    for rules in ({"max_side": 200}, {"max_bytes": 60_000}):
        with pytest.raises(AttemptError, match="the server takes") as caught:
            fit(big, PictureRules(**rules))
        assert caught.value.kind == "too_large"
        made, done = fit(big, PictureRules(oversize="resize", **rules))
        with Image.open(io.BytesIO(made.data)) as image:
            assert list(image.size) == done["resized"]["to"]
            assert image.size[0] < 400
            assert abs(image.size[0] / image.size[1] - 4 / 3) < 0.02
        assert len(made.data) == done["bytes"] <= rules.get("max_bytes", 1e9)
        assert done["resized"]["from"] == [400, 300]
    with pytest.raises(AttemptError, match="also at 32 pixels"):
        fit(big, PictureRules(oversize="resize", max_bytes=50))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("rules", [{"max_side": 50, "oversize": "resize"}, {"formats": ("jpeg",)}])
def test_a_picture_made_smaller_or_encoded_anew_keeps_its_profile(kind, rules):
    image = ImageBytes(encoded(photo(), kind, icc=rgb_profile()), f"image/{kind.lower()}")
    made, done = fit(image, PictureRules(**rules))
    with Image.open(io.BytesIO(made.data)) as sent:
        assert sent.info["icc_profile"] == rgb_profile()
    assert (done is None) == (kind == "JPEG" and "formats" in rules)
    vlmevalkit, _ = fit(image, PictureRules(jpeg75=True, max_side=50, oversize="resize"))
    with Image.open(io.BytesIO(vlmevalkit.data)) as sent:
        assert "icc_profile" not in sent.info


def test_a_format_that_is_not_taken_is_sent_without_loss():
    buffer = io.BytesIO()
    Image.fromarray(picture(6)).save(buffer, "WEBP", quality=80)
    image = ImageBytes(buffer.getvalue(), "image/webp")
    made, done = fit(image, PictureRules(formats=("png", "jpeg")))
    assert (made.mime, done["format"]) == ("image/png", "png")
    with Image.open(io.BytesIO(made.data)) as a, Image.open(buffer) as b:
        assert np.array_equal(np.asarray(a), np.asarray(b.convert("RGB")))


def test_only_settings_that_change_replies_change_the_fingerprint():
    base = shipped_cards()["gpt-4.1-mini"]

    def name(*changes):
        return open_model(set_options(base, list(changes))).fingerprint()

    for change in (
        "model=x",
        "endpoint=https://other.example/v1",
        "detail=low",
        "system=Be brief.",
        "jpeg75=true",
    ):
        assert name(change) != name(), change
    for change in (
        "concurrency=3",
        "rpm=5",
        "timeout=9",
        "key_env=OTHER",
        "reply_mb=3",
        "price.input=7",
    ):
        assert name(change) == name(), change


@pytest.mark.parametrize(
    "body", [b"[]", b"3", b'{"choices": [3]}', b'{"choices": [{"message": {"content": 3}}]}', b"{"]
)
def test_any_other_json_is_malformed_and_not_an_answer(body):
    with pytest.raises(AttemptError) as caught:
        outcome_of("application/json", body)
    assert caught.value.kind == "malformed"


def test_a_card_of_another_adapter_may_name_its_model(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[tiny]\nadapter = "hf"\nmodel = "org/tiny"\noptions = { family = "janus" }\n')
    assert read_cards(path)["tiny"] == ModelCard("tiny", "hf", model="org/tiny", options={"family": "janus"})


def test_no_part_of_a_key_is_left_where_a_text_is_cut():
    key = "sk-0123456789abcdef"
    page = ("<" * 70 + key).encode()
    for kind in ("text/html", "application/json"):
        with pytest.raises(AttemptError) as caught:
            outcome_of(kind, page, key)
        assert "sk-0" not in str(caught.value)
    choice = {"message": {"content": "A"}, "finish_reason": key}
    named = json.dumps({"model": f"m-{key}", "choices": [choice]})
    assert key not in repr(outcome_of("application/json", named.encode(), key))


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}, {"prompt": 9, "completion": 2}),
        ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 61}, {"prompt": 9, "completion": 52}),
        ({"prompt_tokens": 9, "completion_tokens": 2}, {"prompt": 9, "completion": 2}),
        ({"prompt_tokens": 9}, {"prompt": 9, "completion": 0}),
        ({"completion_tokens": 9}, None),
        ({"prompt_tokens": 9, "completion_tokens": 50, "total_tokens": 59,
          "prompt_tokens_details": {"cached_tokens": 4},
          "completion_tokens_details": {"reasoning_tokens": 40}},
         {"prompt": 9, "completion": 50, "cached": 4, "reasoning": 40}),
    ],
)  # fmt: skip
def test_tokens_of_thoughts_are_counted_also_where_only_the_total_has_them(usage, counted):
    choice = {"message": {"content": "A"}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "usage": usage}).encode()
    assert outcome_of("application/json", body).details.get("usage") == counted


@pytest.mark.parametrize(
    "name", ["concurrency", "rpm", "tpm", "attempts", "backoff", "longest_wait", "timeout", "reply_mb"]
)
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, 1e300, True, "2"])
def test_a_limit_that_is_none_is_refused(name, value):
    card = ModelCard("x", "openai", model="m", endpoint="http://127.0.0.1/v1", options={name: value})
    with pytest.raises(UsageError, match=f"The option {name} must be between"):
        read_settings(card)
