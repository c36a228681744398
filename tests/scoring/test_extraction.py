"""Extraction of the answer from a reply that holds thoughts as well."""

from __future__ import annotations

import pytest

from mmdbench.errors import UnknownNameError
from mmdbench.scoring import EXTRACTIONS, extract_answer, is_truncated
from mmdbench.scoring.extraction import clear_bagel_text

FINAL = "### The final answer is:"
LONG_S = "<an\u017fwer>B</an\u017fwer>"


@pytest.mark.parametrize(("text", "sane", "clear"), [
    # clear: a failed match falls back to the whole text, never to the next marker
    ("<answer>\nA</answer><CONCLUSION>B</CONCLUSION>", "A", "<answer>\nA</answer><CONCLUSION>B</CONCLUSION>"),
    ("<CONCLUSION>\nB</CONCLUSION>### The final answer is: C",
     "<CONCLUSION>\nB</CONCLUSION>### The final answer is: C",
     "<CONCLUSION>\nB</CONCLUSION>### The final answer is: C"),
    ("</answer><answer> B", "B", "</answer><answer> B"),
    (f"{FINAL} A {FINAL} B", f"{FINAL} A {FINAL} B", "B"),
    ("<answer>A<answer>B</answer>", "B", "A<answer>B"),
    ("<answer>A</answer> so <answer>B", "B", "A"),
    ("<answer>A</answer><think>or <answer></think>", "A", "A"),
    ("<answer>A</answer><think></think><answer>B", "B", "A"),
    ("<answer>A <answer> </think> B", "B", "<answer>A <answer> </think> B"),
    ("## The final answer is: A", "## The final answer is: A", "## The final answer is: A"),
    ("a /think> b", "a /think> b", "a /think> b"),
    ("<conclusion>A</conclusion>", "<conclusion>A</conclusion>", "<conclusion>A</conclusion>"),
    (" x </think> y </THINK> z ", "z", "x </think> y </THINK> z"),
    (LONG_S, LONG_S, LONG_S),
])  # fmt: skip
def test_modes(text, sane, clear):
    assert extract_answer(text) == extract_answer(text, mode="sane") == sane
    assert extract_answer(text, mode="clear") == clear
    assert extract_answer(text, mode="none") == text


@pytest.mark.parametrize("start", [
    "answer> </answer>", "<answer </answer>", "<answer> /answer>", "<answer> </answer",
    "<answer> <answer>", "</answer>",
])  # fmt: skip
def test_clear_looks_further_unless_both_answer_tags_are_there(start):
    assert extract_answer(f"{start} <CONCLUSION>B</CONCLUSION>", mode="clear") == "B"


def test_only_whole_tags_enclose_an_answer():
    for extract in (lambda text: extract_answer(text, mode="clear"), clear_bagel_text):
        assert extract("xanswer>A</answer><answer>B</answer>") == "B"
        assert extract("<answer>A</answers B</answer>") == "A</answers B"


def test_tags_are_ascii():
    assert extract_answer("a </thin\u212a> b") == "a </thin\u212a> b"
    assert extract_answer("<answer>A </thin\u212a>") == "A </thin\u212a>"


@pytest.mark.parametrize(("text", "cut"), [
    ("<think>and then", True),
    ("<THINK>and then", True),
    ("<think>a</think> B", False),
    ("<think>a</think> <think>b", True),
    ("</think><think>", True),
    ("<think>maybe <answer>B", False),
    ("<think>maybe <answer>B</answer>", False),
    ("B", False),
    ("</think>", False),
    ("I think> so", False),
    ("", False),
])  # fmt: skip
def test_truncated_thinking(text, cut):
    assert is_truncated(text) is cut


def test_unknown_mode():
    with pytest.raises(UnknownNameError, match="Did you mean 'sane'"):
        extract_answer("B", mode="insane")
    assert EXTRACTIONS == ("sane", "clear", "none")


def test_the_first_block_of_bagels_text_may_be_empty():
    assert clear_bagel_text("<answer></answer>B</answer>") == ""
    assert clear_bagel_text("<answer>\nB\n</answer> or <answer>C</answer>") == "B"
    assert clear_bagel_text("B") == ""
