"""tools/card_facts.py: the shipped cards agree with the list that they name, and a difference is found."""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mmdbench.models.cards import shipped_cards
from mmdbench.models.prices import Price

ROOT = Path(__file__).resolve().parents[2]
# The entries of the shipped cards in litellm 1.110.2, and their fields that are compared.
EXCERPT = ROOT / "tests" / "data" / "litellm_prices.json"
CARDS = shipped_cards()


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import card_facts

    yield card_facts
    del sys.modules["card_facts"]


def found(tool, table, listed=lambda model, endpoint: None, cards=CARDS):
    return list(tool.differences(cards, "litellm 1.110.2", table, listed))


def test_the_shipped_cards_have_the_facts_of_the_list_that_they_name(tool):
    table = json.loads(EXCERPT.read_text())
    assert found(tool, table) == []
    assert len(table) == sum(card.price is not None for card in CARDS.values()) > 40


@pytest.mark.parametrize(
    ("model", "change", "line"),
    [
        (
            "gpt-6-luna",
            {"input_cost_per_token": 2e-7},
            "gpt-6-luna: price.input is 0.1, litellm 1.110.2 has",
        ),
        ("gpt-5", {"output_cost_per_token_batches": 8e-6}, "gpt-5: price.output in a batch is 5.0, litellm"),
        ("xai/grok-4.7", {"cache_read_input_token_cost": 1e-7}, "price.cached_input is 0.5, litellm"),
        (
            "claude-opus-5-5",
            {"deprecation_date": "2027-09-09"},
            "retired is never, litellm 1.110.2 has 2027-09",
        ),
        ("zai/glm-4.5v", {"max_input_tokens": 200_000}, "context is 128000, litellm 1.110.2 has 200000"),
        (
            "dashscope/qwen3.8-max",
            {"tiered_pricing": [{"output_cost_per_token": 7e-6}, {"output_cost_per_token": 9e-6}]},
            "qwen3.8-max: price.output is 6.0, litellm 1.110.2 has 7.0",
        ),
    ],
)
def test_a_difference_is_one_line(tool, model, change, line):
    table = json.loads(EXCERPT.read_text())
    table[model] |= change
    (only,) = found(tool, table)
    assert line in only


def test_a_model_that_the_list_does_not_know_and_a_newer_price_are_lines(tool):
    table = json.loads(EXCERPT.read_text())
    del table["moonshot/kimi-k3"]
    newer = Price(0.2, 0.6, "2027-01-01", None, "genai-prices 9.8.7")
    lines = found(tool, table, lambda model, _: newer if model == "gpt-6-luna" else None)
    assert len(lines) == 2
    assert lines[0].endswith(
        'genai-prices has { input = 0.2, output = 0.6, date = "2027-01-01", source = "genai-prices 9.8.7" }'
    )
    assert lines[1] == "kimi-k3: litellm 1.110.2 does not know it"
    other = {"gpt-6-luna": replace(CARDS["gpt-6-luna"], price=newer)}
    assert found(tool, table, lambda model, _: newer, other)[0].startswith("gpt-6-luna: price.input")


def test_check_reads_a_wheel_and_ends_with_one_if_there_is_a_difference(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "listed_price", lambda model, endpoint: None)
    table = json.loads(EXCERPT.read_text())
    for number, (entry, code) in enumerate((({}, 0), ({"output_cost_per_token": 1.0}, 1))):
        table["gpt-6-luna"] |= entry
        wheel = tmp_path / f"litellm-{number}.1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as file:
            file.writestr("litellm/model_prices_and_context_window_backup.json", json.dumps(table))
        monkeypatch.setattr(sys, "argv", ["card_facts.py", "--check", "--litellm", str(wheel)])
        assert tool.main() == code
        assert f"litellm {number}.1" in capsys.readouterr().out
