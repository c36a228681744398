"""Extraction of the answer from a reply that holds thoughts as well."""

from __future__ import annotations

import pytest

from mmdbench.errors import UnknownNameError
from mmdbench.scoring import EXTRACTIONS, extract_answer, extraction_version, infer_option, is_truncated
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
    assert EXTRACTIONS == ("sane", "clear", "none", "lenient")


def test_the_first_block_of_bagels_text_may_be_empty():
    assert clear_bagel_text("<answer></answer>B</answer>") == ""
    assert clear_bagel_text("<answer>\nB\n</answer> or <answer>C</answer>") == "B"
    assert clear_bagel_text("B") == ""


OPENINGS = {
    "<think>": "</think>", "<thinking>": "</thinking>", "<thought>": "</thought>",
    "<seed:think>": "</seed:think>", "<reason>": "</reason>", "<analysis>": "</analysis>", "<CoT>": "</CoT>",
    "<REASONING>": "<REASONING_END>", "[THINK]": "[/THINK]", "◁think▷": "◁/think▷",
    "<|START_THINKING|>": "<|END_THINKING|>", "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|channel|>analysis<|message|>": "<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel>thought\n": "<channel|>",
}  # fmt: skip


@pytest.mark.parametrize(("opening", "closing"), OPENINGS.items())
def test_a_thought_of_any_family_has_an_end_or_is_unfinished(opening, closing):
    assert is_truncated(f"{opening}it may be A")
    assert not is_truncated(f"{opening}it may be A{closing} B")
    assert extract_answer(f"{opening}it may be A{closing} B") == "B"
    # Where the prompt ends in the opening mark, the reply holds the closing one alone.
    assert extract_answer(f"it may be A{closing} B") == "B"


@pytest.mark.parametrize(("text", "cut"), [
    ("<think>a <reflection>b</reflection> c", True),
    ("<think>[THINK] is a mark</think> B", False),
    ("<think>put it in <answer> B </answer>, or rather", True),
    ("<think>a</think><answer>B</answer><think>more", False),
    ("<SUMMARY>I look at option B", True),
    ("<TYPE>blur", True),
    ("<TYPE>blur<TYPE_END><REASONING>B", True),
    ("<REASONING>A? <CONCLUSION>B</CONCLUSION>", False),
    ("<summary>B", False),
    ("analysis of the picture: B", False),
    ("[think] B", False),
])  # fmt: skip
def test_what_ends_inside_a_thought(text, cut):
    assert is_truncated(text) is cut


def test_a_thought_that_the_prompt_opened():
    assert is_truncated("it may be A", opened=True)
    assert not is_truncated("it may be A</think> B", opened=True)
    assert not is_truncated("it may be A <answer>B</answer>", opened=True)
    assert is_truncated("the <answer> tag, so B", opened=True, cut=True)
    assert not is_truncated("so <answer>B", opened=True)


def test_robust_r1_closes_its_answer_in_its_own_way():
    assert extract_answer("<REASONING>A?<REASONING_END><ANSWER>B<ANSWER_END>") == "B"
    assert extract_answer("<think>the <answer> tag[/THINK]</think> B") == "B"


@pytest.mark.parametrize("text", [
    "B", "$B$", "(b)", '"B"', "B</s>", "\uff22", "\uff08\uff22\uff09", "b.", "**b**", "`B`", "\u2018B\u2019",
    '{"answer": "B"}', '{"answer": "b", "reason": "A brown dog"}', '["B"]', '```json\n{"choice": "(B)"}\n```',
    "\\boxed{B}", "$\\text{B}$", "B<|im_end|>", "<CONCLUSION> B </CONCLUSION>", "<think>A?</think>$B$",
    "<answer>(b)</answer>", "Option b", "\u24b7", "\U0001d401",
])  # fmt: skip
def test_lenient_takes_a_letter_in_other_dress(text):
    assert extract_answer(text, mode="lenient") == "B"


def test_lenient_reads_a_dressed_letter_in_a_sentence_and_leaves_other_texts():
    options = {"A": "cat", "B": "dog"}
    for text in ('The answer is "B".', "It is (b), I think", "so $B$ it is"):
        assert infer_option(extract_answer(text, mode="lenient"), options) == "B"
        assert infer_option(extract_answer(text), options) is None
    for text in ("45º", "m²", "person(s) in view", "a dog", "[" * 9999):
        assert extract_answer(text, mode="lenient") == text
    two = extract_answer('{"x": "A", "y": "B"}', mode="lenient")
    assert infer_option(two, options) is None


def test_a_channel_without_its_special_tokens():
    assert is_truncated("analysisWe see A")
    assert extract_answer("analysisWe see AassistantfinalB") == "B"
    assert extract_answer("analysis: B") == "analysis: B"


def test_each_extraction_has_a_version():
    assert [extraction_version(mode) for mode in EXTRACTIONS] == ["sane/2", "clear/1", "none/1", "lenient/1"]
