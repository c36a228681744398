"""Spellings of one model and swaps: the rule, and its table in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmdbench.models.names import is_one_model, undated

PAGE = Path(__file__).parents[2] / "docs" / "models.md"

ONE = [
    ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
    ("gpt-4.1-mini", "openai/gpt-4.1-mini-2025-04-14"),
    ("models/gemini-2.5-flash", "gemini-2.5-flash"),
    ("google/gemini-2.5-flash:free", "Gemini-2.5-Flash"),
    ("gemini-2.0-flash", "gemini-2.0-flash-001"),
    ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
    ("claude-3-5-sonnet@20241022", "claude-3-5-sonnet-20241022"),
    ("mistral-large-latest", "mistral-large-2411"),
    ("llava:latest", "llava"),
    ("gpt-4", "gpt-4-0613"),
    ("doubao-seed-2-0-lite", "doubao-seed-2-0-lite-260428"),
    ("gemini-2.5-flash-preview", "gemini-2.5-flash-preview-09-2025"),
    ("/data/models/Qwen2.5-VL-7B-Instruct/", "Qwen/Qwen2.5-VL-7B-Instruct"),
    ("C:\\models\\qwen.gguf", "qwen"),
    ("accounts/fireworks/models/qwen3-vl", "qwen3-vl"),
]
TWO = [
    ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20"),
    ("gpt-4.1-mini", "gpt-4.1"),
    ("gpt-4.1-mini-2025-04-14", "gpt-4.1-2025-04-14"),
    ("gpt-4-0613", "gpt-4-1106"),
    ("doubao-seed-2-1-pro-260628", "doubao-seed-2-1-pro-260915"),
    ("gemini-2.0-flash-001", "gemini-2.0-flash-002"),
    ("gemini-2.5-flash-preview-05-20", "gemini-2.5-flash"),
    ("gemini-2.5-flash", "gemini-3-flash"),
    ("llava:7b", "llava:13b"),
    ("qwen3-vl", "qwen3-vl:thinking"),
    ("Qwen2.5-VL-7B-Instruct", "Qwen2.5-VL-7B-Instruct-AWQ"),
    ("a", ""),
]


@pytest.mark.parametrize(("first", "second"), ONE)
def test_spellings_of_one_model(first, second):
    assert is_one_model([first, second])
    assert is_one_model([second, first])


@pytest.mark.parametrize(("first", "second"), TWO)
def test_names_of_two_models(first, second):
    assert not is_one_model([first, second])


def test_an_undated_name_does_not_join_two_dates():
    assert not is_one_model(["gpt-4o-2024-08-06", "gpt-4o", "gpt-4o-2024-11-20"])
    assert is_one_model([])


def test_a_number_that_is_no_date_is_a_part_of_the_name():
    assert undated("paligemma-448") == ("paligemma-448", "")
    assert undated("model-9999") == ("model-9999", "")


def test_the_table_of_the_page_is_what_the_rule_says():
    rows = re.findall(r"^\| `([^|]+)` \| `([^|]+)` \| (one|two) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) >= 8
    for first, second, verdict in rows:
        assert is_one_model([first, second]) == (verdict == "one"), (first, second)
