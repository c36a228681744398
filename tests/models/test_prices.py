"""Prices: the user's own, those of a card, and those of an installed genai-prices."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from mmdbench.cli.evaluate import evaluate
from mmdbench.models.cards import find_card, set_options, with_list_price
from mmdbench.models.prices import Price, listed_price
from verb_calls import call

# The two calls of genai-prices 0.2.3 that are used, with its signatures and its names.
PACKAGE = """
from decimal import Decimal
from types import SimpleNamespace

class Usage:
    def __init__(self, **kwargs):
        self.counts = kwargs

def calc_price(usage, model_ref, *, provider_id=None, provider_api_url=None, genai_request_timestamp=None,
               price_context=None):
    if (model_ref, provider_api_url) != ("gpt-4.1-mini", "https://api.openai.com/v1"):
        raise LookupError(f"Unable to find model with model_ref={model_ref!r}")
    assert usage.counts.get("input_tokens", 0) <= 200_000  # above, prices rise
    read, cached, written = (usage.counts.get(f"{n}_tokens", 0) for n in ("input", "cache_read", "output"))
    price = Decimal("0.5") * (read - cached) + Decimal("0.2") * cached + Decimal("1.7") * written
    return SimpleNamespace(total_price=price / 1_000_000)
"""
SNAPSHOT = """
from datetime import date
from types import SimpleNamespace as New

def get_snapshot():
    days = [date(2026, 11, 9), date(2026, 5, 1), date(9999, 1, 1)]
    prices = [New(constraint=None), *(New(constraint=New(start_date=day)) for day in days)]
    return New(providers=[New(models=[New(prices=prices), New(prices=New())])])
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed genai-prices 9.8.7."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "genai_prices"]:
        monkeypatch.delitem(sys.modules, name)
    site = tmp_path / "site"
    for name in ("genai_prices", "genai_prices-9.8.7.dist-info"):
        (site / name).mkdir(parents=True)
    (site / "genai_prices" / "__init__.py").write_text(PACKAGE)
    (site / "genai_prices" / "data_snapshot.py").write_text(SNAPSHOT)
    (site / "genai_prices-9.8.7.dist-info" / "METADATA").write_text("Name: genai-prices\nVersion: 9.8.7\n")
    monkeypatch.syspath_prepend(site)
    yield
    for name in ("genai_prices", "genai_prices.data_snapshot"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("package")
def test_the_price_of_the_day_is_the_packages_with_its_version_and_date():
    card = find_card("gpt-4.1-mini")
    price = with_list_price(card).price
    found = Price(0.5, 1.7, "2026-11-09", 0.2, "genai-prices 9.8.7")
    assert price == replace(found, batch=0.5)  # the share is the card's, the package has none
    assert str(price) == "0.5 / 1.7 a million tokens (genai-prices 9.8.7, 2026-11-09)"
    assert with_list_price(find_card("openai:gpt-4.1-mini")).price == found  # no card has one
    assert (
        with_list_price(find_card("gpt-4o")).price == find_card("gpt-4o").price
    )  # it does not know this one
    assert with_list_price(find_card("openai:gpt-4.1-mini@http://127.0.0.1:9/v1")).price is None


@pytest.mark.usefixtures("package")
def test_a_price_of_the_users_own_stays():
    own = Price(9, 10, "2026-01-01")
    card = replace(find_card("gpt-4.1-mini"), price=own)
    assert with_list_price(card).price == own
    changed = with_list_price(set_options(find_card("gpt-4.1-mini"), ["price.input=9"])).price
    assert (changed.input, changed.output, changed.source) == (9, 1.6, "")


@pytest.mark.usefixtures("package")
def test_dry_run_and_manifest_say_which_price_it_is(tmp_path, make_tsv, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--bench", make_tsv(2), "--level", "clean", "-o", tmp_path / "run", "--dry-run")
    monkeypatch.setenv("COLUMNS", "200")
    text = call(evaluate, "--model", "gpt-4.1-mini", *words)
    assert "at 0.5 / 1.7 a million tokens (genai-prices 9.8.7, 2026-11-09)" in text
    (tmp_path / "models.toml").write_text(
        '[toy]\nadapter = "chance"\nmodel = "gpt-4.1-mini"\nendpoint = "https://api.openai.com/v1"\n'
    )
    call(evaluate, "--model", "toy", *words[:-1], "--quiet")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["model"]["price"]["source"] == "genai-prices 9.8.7"


def test_without_the_package_the_card_counts(monkeypatch):
    monkeypatch.setattr("mmdbench.models.prices.util.find_spec", lambda name: None)
    card = find_card("gpt-4.1-mini")
    assert with_list_price(card) == card
    assert card.price.source.startswith("litellm ")


def test_the_installed_package_has_the_prices_of_the_cards():
    pytest.importorskip("genai_prices", reason="pip install 'mmdbench[prices]'")
    found = listed_price("gpt-4o-mini", "https://api.openai.com/v1")
    assert (found.input, found.cached_input, found.output) == (0.15, 0.075, 0.6)
    assert found.date > "2026"
