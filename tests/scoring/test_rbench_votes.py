"""R-Bench under `rbench/official`: votes, a call for each reference, last characters, rounding."""

from __future__ import annotations

from collections import Counter

import pytest

from mmdbench.errors import DataError
from mmdbench.records import Question
from mmdbench.run.stored_plan import StoredBench
from mmdbench.scoring import JudgeReply, Rules, score
from mmdbench.scoring.families.rbench_votes import references

CAPTIONS = ["Two dogs.", "Dogs on a lawn.", "Two dogs.", "Pets outside."]
QUESTIONS = {
    "mcq": {"question": "Which?", "choice": "A.cat; B.dog", "A": "cat", "B": "dog", "answer": "B"},
    "vqa": {"question": "What?", "answer": "a red cup"},
    "cap": {"question": "Describe it.", "answer": str(CAPTIONS)},
}


class Voter:
    """A judge that replies with the next text, or fails where that is None."""

    id = "voter"

    def __init__(self, *replies):
        self.replies, self.calls = list(replies), []

    def ask(self, call):
        self.calls.append(call)
        text = self.replies[(len(self.calls) - 1) % len(self.replies)]
        return JudgeReply("", "error") if text is None else JudgeReply(text)


def graded(task, reply, judge, protocol="rbench/official"):
    bench = StoredBench(f"R-Bench-{task.upper()}", f"rbench-{task}", (Question("b", 0, QUESTIONS[task]),))
    return score(bench, {0: reply}, Rules(protocol), judge=judge)


@pytest.mark.parametrize(
    ("task", "replies", "headline"),
    [
        ("mcq", ["Score: 1", "0", "1", "it is 1", "no: 0"], 100),
        ("mcq", ["1", "1", "0", "0", "1."], 0),
        ("vqa", ["2", "2", "1", "2", "Score: 1"], 80),
        ("vqa", ["2 points", "2/2", "0", "", "3"], 20),
        ("cap", ["1", "0", "2", "1"], 50),
    ],
)
def test_votes_make_the_score(task, replies, headline):
    judge = Voter(*replies)
    made = graded(task, "dog", judge)
    assert made.headline == pytest.approx(headline)
    assert [call.attempt for call in judge.calls] == list(range(1, len(replies) + 1))
    assert {call.temperature for call in judge.calls} == {1.0}
    assert made.counts["judged"] == 1
    assert made.judge_record["temperatures"] == [1.0]


def test_a_judge_gets_what_the_task_needs():
    seen = {}
    for task in QUESTIONS:
        judge = Voter("1")
        graded(task, "the brown one", judge)
        seen[task] = [call.prompt for call in judge.calls]
        assert all("the brown one" in prompt for prompt in seen[task])
        assert {call.prompt_id for call in judge.calls} == {f"mmdbench-rbench-{task}-vote/1"}
    for text in ("Which?", "A.cat; B.dog", "Right option: B"):
        assert text in seen["mcq"][0]
    assert "What?" in seen["vqa"][0]
    assert "a red cup" in seen["vqa"][0]
    assert [len(set(prompts)) for prompts in (seen["mcq"], seen["vqa"])] == [1, 1]
    assert [caption in prompt for caption, prompt in zip(CAPTIONS, seen["cap"], strict=True)] == [True] * 4
    assert "Dogs on a lawn." not in seen["cap"][0]


def test_equal_votes_are_separate_calls():
    judge = Voter("1")
    for task in QUESTIONS:
        graded(task, "dog", judge)
    assert max(Counter(call.key("voter") for call in judge.calls).values()) == 1


def test_a_failed_call_is_no_zero():
    made = graded("vqa", "cup", Voter("2", "2", None, "2", "2"))
    (grade,) = made.grades
    assert (grade.verdict, grade.stage) == ("unresolved", "judge_error")
    assert made.counts["judge_failed"] == 1
    assert any("INCOMPLETE JUDGING" in warning for warning in made.warnings)


def test_our_own_way_asks_about_each_reference_once():
    judge = Voter("0.6", "0.9", "0.3")
    made = graded("cap", "two dogs", judge, "rbench/ours")
    assert made.headline == pytest.approx(60)
    assert [call.prompt.rsplit("\n", 1)[1].split(" | ")[1] for call in judge.calls] == [
        "Two dogs.",
        "Dogs on a lawn.",
        "Pets outside.",
    ]
    half = graded("cap", "two dogs", Voter("0.6", *["no grade"] * 5), "rbench/ours")
    assert half.grades[0].verdict == "unresolved"


def test_our_own_way_is_that_of_every_other_protocol():
    for task, reply in (("mcq", "B"), ("vqa", "0.4"), ("cap", "0.4")):
        ours, other = (graded(task, reply, Voter("0.5"), p) for p in ("rbench/ours", "clear/1"))
        assert (ours.headline, ours.counts) == (other.headline, other.counts)
    assert graded("mcq", "B", None, "rbench/ours").headline == 100
    assert graded("mcq", "B", None).headline is None  # votes need a judge


def test_the_official_wording_is_not_comparable():
    made = graded("vqa", "cup", Voter("2"))
    assert not made.judge_record["comparable"]
    assert any("our own words" in warning for warning in made.warnings)


@pytest.mark.parametrize(
    "text",
    [
        "['a",
        "[]",
        "[1, 2]",
        "['']",
        "[" * 5000,
        f"[{', '.join(['1'] * 60_000)}]",
        str(["a"] * 101),
        "[__import__('os')]",
    ],
)
def test_lists_of_captions_are_bounded(text):
    with pytest.raises(DataError, match="not a list of 1 to 100 captions"):
        references(text)


def test_one_caption_needs_no_brackets():
    assert references(" a cat ") == [" a cat "]
    assert references(' ["a cat", "it\'s a cat"]') == ["a cat", "it's a cat"]
