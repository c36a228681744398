"""Unfinished thoughts and cut replies are unresolved; letters that are words are counted."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mmdbench.records import Outcome, Question
from mmdbench.scoring import JudgeReply, begins_thought
from mmdbench.scoring.letters import begins_with_option, word_after
from scoring_by_keyword import score

LATE = "Four legs, so option A is possible, but the ears"
CUT = [
    "<think>Four legs, so A is possible, but", "[THINK]A", "\u25c1think\u25b7A, but", "<seed:think>A",
    "<REASONING>it may be A but then", "<|channel|>analysis<|message|>A or", "<think>The <answer> tag: A",
]  # fmt: skip


@dataclass(frozen=True)
class Bench:
    name: str
    family: str
    questions: tuple[Question, ...]


class Judge:
    """Rules for A, and remembers the rows that it was asked about."""

    id = "fake/1"

    def __init__(self):
        self.asked = []

    def ask(self, call):
        self.asked.append(call.index)
        return JudgeReply("A")


def plain(count, family="plain"):
    cells = {"A": "apple", "B": "pear", "C": "plum", "answer": "A"}
    return Bench(
        "toy", family, tuple(Question("toy", i, {"question": f"q{i}", **cells}) for i in range(count))
    )


def grade(reply, extraction="sane", **more):
    (found,) = score(plain(1), {0: reply}, extraction=extraction, **more).grades
    return found


@pytest.mark.parametrize("extraction", ["sane", "lenient"])
@pytest.mark.parametrize("text", CUT)
def test_an_unfinished_thought_is_no_answer(text, extraction):
    found = grade(Outcome(text, "truncated"), extraction)
    assert (found.verdict, found.hit, found.label, found.stage) == (
        "unresolved",
        0,
        None,
        "unfinished_thought",
    )


def test_the_finish_reason_makes_no_answer_of_a_thought():
    for text in CUT[:-1]:
        assert grade(text).stage == grade(Outcome(text, "ok")).stage == "unfinished_thought"
    assert grade("<think>hm <answer>A").label == "A"  # a stop string ended it


def test_the_published_extractions_read_on():
    for mode in ("none", "clear"):
        assert grade(Outcome("<think> A or so", "truncated"), mode).label == "A"


@pytest.mark.parametrize("text", [
    "A", "A. Because the picture", "(A) apple", "**A**", "The answer is A", "Answer: A. It", "A\nThe picture",
    "The correct answer is option A, because", "apple. It is round", "An apple. It", "A because it is round",
    "<think>B?</think> I see that A", "<answer>A",
])  # fmt: skip
def test_a_cut_reply_that_begins_with_its_answer_is_read(text):
    assert grade(Outcome(text, "truncated")).label == "A"


@pytest.mark.parametrize(
    "text", [LATE, "A is possible, but", "An apple may be seen, but", "A round thing that", "Is it A"]
)
def test_a_cut_reply_that_names_an_option_in_passing_is_unresolved(text):
    found = grade(Outcome(text, "truncated"))
    assert (found.verdict, found.stage, found.details) == ("unresolved", "cut_off", {"letters": "A"})
    assert grade(text).label == "A"


def test_a_thought_that_the_prompt_opened_is_known_from_the_other_replies():
    done = dict.fromkeys(range(3), "round, so A</think>A")
    stages = [g.stage for g in score(plain(5), done | {3: LATE, 4: Outcome(LATE, "truncated")}).grades]
    assert stages == ["letter"] * 3 + ["unfinished_thought"] * 2
    # One stray closing mark says nothing about plain replies.
    stray = score(plain(5), {0: "x</think>A"} | dict.fromkeys(range(1, 5), "A"))
    assert [g.label for g in stray.grades] == ["A"] * 5


def test_details_of_a_reply_tell_where_its_thought_was():
    opened = Outcome(LATE, details={"opens_thought": True})
    assert grade(opened).stage == "unfinished_thought"
    # Only the closing mark, or the opening one once more: a thought that was closed.
    for closed in ("round</think>A", "<think>round</think>A", "\n<think>\nround\n</think>\n\nA"):
        assert grade(Outcome(closed, details={"opens_thought": True})).label == "A"
    inner = Outcome("so <reflection>B?</reflection> A", details={"opens_thought": True})
    assert grade(inner).stage == "unfinished_thought"
    # The server keeps the thought apart: a text came after it, none did not.
    assert grade(Outcome("I see that A", "truncated", details={"reasoning": "B?"})).label == "A"
    assert grade(Outcome("", "truncated", details={"reasoning": "A?"})).stage == "unfinished_thought"
    # Robust-R1's tags may be special tokens, which are in `raw` alone.
    raw = {"answer_tag": "absent", "raw": "<REASONING>it may be A"}
    assert grade(Outcome("it may be A", details=raw)).stage == "unfinished_thought"


def test_no_judge_is_asked_about_an_unfinished_thought():
    judge = Judge()
    made = score(plain(2), {0: "<think>A?", 1: Outcome(LATE, "truncated")}, judge=judge)
    assert judge.asked == [1]
    assert [g.stage for g in made.grades] == ["unfinished_thought", "judge"]
    open_answers = Judge()
    made = score(plain(2, "mmvet"), {0: "<think>A?", 1: "apple"}, judge=open_answers)
    assert set(open_answers.asked) == {1}
    assert made.grades[0].stage == "unfinished_thought"
    assert not any("A judge would settle" in w for w in score(plain(1), {0: "<think>A?"}).warnings)


@pytest.mark.parametrize(("text", "word"), [
    ("A brown dog runs", "brown"), ("I see. A dog", "dog"), ("A. brown", ""), ("A is right", ""),
    ("Option A looks", ""), ("A", ""), ("A apple", ""), ("A brown dog, so A", ""), ("A-frame house", ""),
    ("answer is A brown", ""),
])  # fmt: skip
def test_a_letter_that_is_a_word(text, word):
    assert word_after(text, "A", "apple") == word


def test_only_letters_that_are_words_count_as_such():
    assert word_after("B dog", "B", "x") == ""
    assert grade("A brown dog runs").details == {"word": "A brown"}
    assert grade("A brown dog runs").label == "A"  # clear/1 keeps its rules
    assert grade("A").details == {}


def test_an_option_is_named_first_or_not():
    assert begins_with_option("apple", "A", "apple")
    assert not begins_with_option("pineapple", "A", "apple")
    assert not begins_with_option("", "A", "")


def test_no_judge_is_asked_about_a_group_with_an_unfinished_thought():
    cells = {"A": "apple", "B": "pear", "answer": "A", "question": "q"}
    rows = tuple(Question("toy", i, cells) for i in (0, 1_000_000, 1, 1_000_001))
    judge = Judge()
    replies = {0: "A", 1_000_000: "<think>A", 1: "A", 1_000_001: "?"}
    made = score(Bench("toy", "circular", rows), replies, judge=judge)
    assert judge.asked == [1_000_001]
    assert made.group_hits == {0: 0, 1: 1}


def test_a_prompt_that_ends_in_an_opening_mark():
    assert begins_thought("<|im_start|>assistant\n<think>\n")
    assert begins_thought("assistant [THINK]")
    assert not begins_thought("<think>\n\n</think>\n\n")
    assert not begins_thought("the mark <think> opens a thought")
    assert not begins_thought("assistant:")


PIECES = ("<think>", "`", " ", "<answer>", "</answer>", "[", '"A ', "$", "<|channel|> ", "A b ", "\\text{ ")


@pytest.mark.parametrize("piece", PIECES)
def test_a_long_reply_of_marks_is_read(piece):
    # Quadratic time would be minutes.
    for mode in ("sane", "lenient"):
        assert not grade(Outcome("```" + piece * 5_000, "truncated"), mode).hit
