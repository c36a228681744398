"""The cards that come with mmdbench: old runs need some, prices have a source."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from mmdbench.adapters._openai_api.settings import read_settings

from child_processes import Child, run_program
from faulty_server import FaultyServer
from mmdbench.cli.doctor import doctor
from mmdbench.cli.evaluate import evaluate
from mmdbench.cli.listing import list_names
from mmdbench.errors import ModelError, UnknownNameError, UsageError
from mmdbench.models.cards import find_card, read_cards, retirement, shipped_cards
from mmdbench.models.registry import open_model
from mmdbench.models.tokens import image_tokens
from verb_calls import call

DATA = Path(__file__).resolve().parents[1] / "data"
STORED = json.loads((DATA / "shipped_cards.json").read_text())
CARDS = shipped_cards()
PAID = {name: card for name, card in CARDS.items() if card.price}


@pytest.fixture(autouse=True)
def _without_cards_of_a_user(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_shipped_cards_hold_no_secret():
    """A file of a user is searched for keys, and so is a copy of the shipped one."""
    assert read_cards(Path(__file__).resolve().parents[2] / "adapters" / "cards.toml") == CARDS


FIND_WITH_A_KEY_THAT_IS_AN_ENDPOINT = f"""
import os
os.environ["SOME_API_KEY"] = "{CARDS["openai"].endpoint}"
from mmdbench.models.cards import find_card
assert find_card("chance").adapter == "chance"
"""


def test_shipped_cards_are_not_searched_for_secrets():
    """In a process of its own, for they are read once."""
    with Child([FIND_WITH_A_KEY_THAT_IS_AN_ENDPOINT], run_program) as child:
        assert child.wait() == 0, child.stderr


@pytest.mark.parametrize("name", STORED)
def test_a_card_of_earlier_versions_keeps_all_that_reply_keys_are_made_from(name):
    """tests/data/shipped_cards.json holds the cards of the first version: old runs resume only with these."""
    stored, card = STORED[name], CARDS[name]
    for field in ("adapter", "model", "options", "generation", "endpoint"):
        assert getattr(card, field) == stored[field], field
    if "fingerprint" in stored:
        found = open_model(replace(card, model=card.model or "m")).fingerprint()
        assert {key: found[key] for key in stored["fingerprint"]} == stored["fingerprint"]


def test_every_provider_has_a_form_for_any_model_and_cards_of_current_ones():
    providers = {
        "openai": ("gpt-6.1-sol", "gpt-6-luna", "gpt-5.4-mini"),
        "google": ("gemini-4-argon", "gemini-3.8-flash", "gemini-3.5-flash-lite"),
        "anthropic": ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"),
        "xai": ("grok-4.7", "grok-4.3"),
        "mistral": ("mistral-large-4-0", "ministral-14b-2512"),
        "qwen": ("qwen3.8-max", "qwen3-vl-235b-a22b-instruct"),
        "moonshot": ("kimi-k3.1-pro", "kimi-k2.6"),
        "zhipu": ("glm-5.3-flash", "glm-4.5v"),
    }
    for form, models in providers.items():
        other = find_card(f"{form}:any-model")
        assert (other.model, other.price, other.retired) == ("any-model", None, None)
        for name in models:
            assert (CARDS[name].endpoint, CARDS[name].key_env) == (other.endpoint, other.key_env)
            assert CARDS[name].retired is None
    assert not [name for name in CARDS if name.startswith("_")]


@pytest.mark.parametrize("name", PAID)
def test_a_paid_card_has_a_price_with_date_and_source(name):
    card = PAID[name]
    assert card.model == name
    assert card.price.output >= card.price.input > (card.price.cached_input or 0)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", card.price.date)
    assert re.fullmatch(r"(litellm|genai-prices) [\d.]+", card.price.source)
    assert card.endpoint.startswith("https://")
    assert card.context >= 128_000
    assert "png" in read_settings(card).pictures.formats
    assert 250 < image_tokens((1024, 768), card.images.get("tokens", {})) < 40_000


def test_prices_and_factors_that_were_wrong_are_those_that_are_billed():
    cached = {name: CARDS[name].price.cached_input for name in STORED if name.startswith("gemini-2.5")}
    assert cached == {"gemini-2.5-flash": 0.03, "gemini-2.5-flash-lite": 0.01, "gemini-2.5-pro": 0.125}
    square = {
        name: image_tokens((1024, 1024), CARDS[name].images["tokens"]) for name in STORED if name in PAID
    }
    assert (square["gpt-5-mini"], square["gpt-5-nano"]) == (1229, 1536)  # 1,024 patches at 1.2 and at 1.5
    assert (square["gpt-4.1"], square["gpt-4.1-mini"]) == (765, 1659)
    assert image_tokens((2048, 4096), CARDS["gpt-4o"].images["tokens"]) == 1105
    assert image_tokens((512, 512), CARDS["gpt-4o-mini"].images["tokens"]) == 2833 + 5667
    assert image_tokens((640, 480), CARDS["gemini-3-flash-preview"].images["tokens"]) == 1120


@pytest.mark.parametrize(
    "case", json.loads((DATA / "image_tokens.json").read_text()), ids=lambda case: case["source"]
)
def test_tokens_of_pictures_are_those_of_the_packages_that_the_rules_are_from(case):
    found = [[w, h, image_tokens((w, h), case["rule"])] for w, h, _ in case["tokens"]]
    assert found == case["tokens"]


def test_a_card_takes_from_its_base_what_it_does_not_say_itself(tmp_path):
    path = tmp_path / "cards.toml"
    path.write_text(
        '[_mine]\nadapter = "openai"\nendpoint = "https://host.example/v1"\nkey_env = "MY_KEY"\n'
        "generation = { temperature = 0, max_tokens = 9 }\n"
        'price = { input = 1, cached_input = 0.5, output = 2, date = "2026-01-01" }\n'
        '[a]\nbase = "_mine"\nmodel = "m"\ngeneration.max_tokens = 7\n'
        'price = { input = 3, output = 4, date = "2026-02-02" }\n'
        '[b]\nbase = "a"\nretired = 2026-05-05\n'
        '[c]\nbase = "gpt-6-luna"\ngeneration.reasoning_effort = "high"\n'
    )
    cards = read_cards(path)
    assert set(cards) == {"a", "b", "c"}
    assert cards["a"].generation == {"temperature": 0, "max_tokens": 7}
    assert cards["a"].price.cached_input is None  # a price is one thing, and is not mixed
    assert (cards["b"].model, cards["b"].retired) == ("m", date(2026, 5, 5))
    assert cards["c"].generation == {"max_completion_tokens": 8192, "reasoning_effort": "high"}
    assert (cards["c"].model, cards["c"].key_env) == ("gpt-6-luna", "OPENAI_API_KEY")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('base = "gpt-6-lunar"', r"base of the card \[x\].*Did you mean 'gpt-6-luna'"),
        ("base = 3", r"base of the card \[x\]"),
        ('base = "x"', r"base of the card \[x\]"),
        ('adapter = "chance"\nretired = "soon"', "retired of the card .x. must be a date such as"),
        (
            'adapter = "chance"\nretired = 2026-01-01T00:00:00',
            "retired of the card .x. must be a date such as",
        ),
    ],
)
def test_a_base_or_a_date_that_is_none_is_refused(tmp_path, line, message):
    path = tmp_path / "cards.toml"
    path.write_text(f"[x]\n{line}\n")
    with pytest.raises((UsageError, UnknownNameError), match=message):
        read_cards(path)


def test_a_retirement_is_announced_before_and_after_its_day():
    card = replace(CARDS["chance"], retired=date(2026, 12, 11))
    assert retirement(CARDS["chance"]) == ""
    assert retirement(card, date(2026, 12, 9)) == "chance retires on 2026-12-11, in 2 days."
    assert retirement(card, date(2026, 12, 10)) == "chance retires on 2026-12-11, in 1 day."
    assert "was retired on 2026-12-11: its provider may refuse" in retirement(card, date(2026, 12, 11))


def test_list_eval_dry_run_and_doctor_name_the_retirement(tmp_path, make_tsv):
    (tmp_path / "models.toml").write_text(
        '[late]\nadapter = "chance"\nretired = 2020-01-01\n[soon]\nadapter = "chance"\nretired = 9998-01-01\n'
    )
    rows = {row["name"]: row for row in json.loads(call(list_names, "models", "--json"))}
    assert [rows[name]["retired"] for name in ("late", "soon", "chance")] == ["2020-01-01", "9998-01-01", ""]
    assert "2020-01-01" in call(list_names, "models")
    words = ("--bench", make_tsv(2), "--level", "clean", "-o", tmp_path / "run")
    for name, sentence in (
        ("late", "late was retired on 2020-01-01"),
        ("soon", "soon retires on 9998-01-01"),
    ):
        assert sentence in call(doctor, "--model", name, code=3)
        for more in (("--dry-run",), ("--quiet",)):
            assert sentence in call(evaluate, "--model", name, *words, *more)
        words = (*words[:-1], tmp_path / "other")
    assert "retire" not in call(evaluate, "--model", "chance", *words[:-1], tmp_path / "third", "--dry-run")


def test_a_deployment_is_asked_at_the_version_of_the_environment(monkeypatch, make_tsv, tmp_path):
    with FaultyServer() as server:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url.removesuffix("/v1"))
        monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", "key-of-azure-0123")
        words = ("--bench", make_tsv(2), "--level", "clean", "-o", tmp_path / "run", "--quiet", "--no-canary")
        call(evaluate, "--model", "azure-dated:my deployment", *words)
    lines, headers = zip(*server.seen, strict=True)
    path = "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21"
    assert set(lines) == {f"POST {path} HTTP/1.1"}
    assert {(sent["api-key"], "authorization" in sent) for sent in headers} == {("key-of-azure-0123", False)}
    assert "key-of-azure" not in (tmp_path / "run" / "manifest.json").read_text()


def test_an_endpoint_may_be_in_the_environment(monkeypatch):
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    with pytest.raises(ModelError, match="environment variable AZURE_OPENAI_ENDPOINT is not set"):
        open_model(find_card("azure:my-deployment"))
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com")
    card = find_card("azure:my-deployment")
    assert (card.endpoint, card.model) == ("https://mine.openai.azure.com/openai/v1", "my-deployment")
    assert open_model(card).fingerprint()["endpoint"] == card.endpoint
    assert find_card("azure:d@https://other.example/v1").endpoint == "https://other.example/v1"


@pytest.mark.parametrize(
    ("form", "endpoint"),
    [
        ("openrouter:google/gemini-4-argon", "https://openrouter.ai/api/v1"),
        ("ollama:qwen3-vl:8b", "http://127.0.0.1:11434/v1"),
        ("lmstudio:qwen/qwen3-vl-8b", "http://127.0.0.1:1234/v1"),
    ],
)
def test_gateways_and_local_servers_take_any_model(form, endpoint):
    card = find_card(form)
    assert (card.endpoint, card.model) == (endpoint, form.partition(":")[2])
