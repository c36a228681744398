"""CLEAR's rewards against examples worked by hand."""

from __future__ import annotations

import pytest

from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.scoring import JudgeReply
from mmdbench.training.rewards import (
    Rewards,
    RewardWeights,
    accuracy_prompt,
    accuracy_reward,
    decision_reward,
    format_reward,
    read_verdict,
    restorations,
    weighted_sum,
)

ASKS = "<think>too dark to tell</think>\n<image_restore>"
ANSWERS = "<think>a red cup</think> <answer>B</answer>"


class Says:
    """A judge that replies from a list."""

    id = "says"

    def __init__(self, *replies) -> None:
        self.replies, self.prompts = list(replies), []

    def ask(self, call):
        assert (call.temperature, call.max_tokens > 0) == (0.0, True)
        self.prompts.append(call.prompt)
        reply = self.replies.pop(0)
        return reply if isinstance(reply, JudgeReply) else JudgeReply(reply)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([ANSWERS], 1),
        ([ASKS, ANSWERS], 1),
        ([ASKS, ASKS, ANSWERS], 1),
        ([ASKS, ASKS, ASKS, ANSWERS], 0),  # one text too many
        ([], 0),
        ([ASKS], 0),  # never answers
        ([ANSWERS, ANSWERS], 0),  # answers before the end
        (["<answer>B</answer>"], 0),  # does not think
        (["<think> </think><answer>B</answer>"], 0),  # an empty thought
        (["<think>a cup</think>B"], 0),
        (["<think>a cup</think><answer> </answer>"], 0),
        (["<think>a cup</think><answer>B</answer><answer>C</answer>"], 0),
        (["<think>a cup</think><answer>B</answer> surely"], 0),
        (["well <think>a cup</think><answer>B</answer>"], 0),
        (["<think>a cup <image_restore></think><answer>B</answer>"], 0),
        (["<think>dark</think><image_restore> please", ANSWERS], 0),
        (["<think>dark</think><image_restore><answer>B</answer>"], 0),
        (["<think>line\nline</think>\n\n<answer>B\nC</answer>\n"], 1),
    ],
)
def test_the_format_reward(turns, expected) -> None:
    assert format_reward(turns) == expected


@pytest.mark.parametrize("filler", ["\n" * 200_000, "<think> " * 30_000, "a b " * 50_000])
def test_a_very_long_text_is_read_in_linear_time(filler) -> None:
    assert format_reward([f"<think>x</think>{filler}<answer>B</answer>{filler}x"]) == 0
    assert format_reward([filler]) == 0


def test_the_most_turns_of_a_dialogue_can_be_set() -> None:
    assert format_reward([ASKS] * 3 + [ANSWERS], most_turns=4) == 1


def test_restorations_are_counted_as_the_loop_carries_them_out() -> None:
    assert restorations([ASKS, ASKS, ANSWERS]) == 2
    assert restorations([ANSWERS]) == 0
    assert restorations(["<image_restore><answer>B</answer>"]) == 0


@pytest.mark.parametrize(
    ("restored", "needed", "expected"),
    [(True, True, 1.0), (False, False, 1.0), (True, False, -0.5), (False, True, -0.25)],
)
def test_the_decision_reward(restored, needed, expected) -> None:
    assert decision_reward(restored, needed, idle=-0.5, missed=-0.25) == expected


def test_a_wrong_decision_is_worth_nothing_unless_said_otherwise() -> None:
    assert decision_reward(True, False) == decision_reward(False, True) == 0


def test_the_weighted_sum_by_hand() -> None:
    weights = RewardWeights(accuracy=0.6, format=0.1, decision=0.3)
    # 0.6 · 1 + 0.1 · 1 + 0.3 · 0 and 0.6 · 0 + 0.1 · 1 + 0.3 · 1
    assert weighted_sum(Rewards(1, 1, 0), weights) == pytest.approx(0.7)
    assert weighted_sum(Rewards(0, 1, 1), weights) == pytest.approx(0.4)
    assert weighted_sum(Rewards(1, 1, 1)) == 3  # all count alike
    assert weighted_sum(Rewards(1, 1, 0.5)) == 2.5


def test_a_trajectory_from_end_to_end() -> None:
    turns = [ASKS, ANSWERS]
    judge = Says("1")
    found = Rewards(
        accuracy_reward(judge, "Which cup?", "the red one", "B, red") or 0.0,
        format_reward(turns),
        decision_reward(restorations(turns) > 0, needed=False),
    )
    assert found == Rewards(1.0, 1.0, 0.0)
    assert judge.prompts == [accuracy_prompt("Which cup?", "the red one", "B, red")]
    assert judge.prompts[0].endswith("Question: Which cup? Right: the red one Answer: B, red\nVerdict:")


@pytest.mark.parametrize(("text", "verdict"), [("1", 1), (" 0\n", 0), ("Verdict: 1.", 1), ("1.0", 1)])
def test_verdicts_that_are_read(text, verdict) -> None:
    assert read_verdict(text) == verdict


@pytest.mark.parametrize("text", ["", "yes", "10", "0.5", "1 or 0", "The answer is 1"])
def test_verdicts_that_say_nothing(text) -> None:
    assert read_verdict(text) is None


def test_the_judge_has_three_attempts_and_is_remembered(tmp_path) -> None:
    journal = JsonlJournal(tmp_path / "judge.jsonl")
    judge = Says("hm", JudgeReply("no connection", "error"), "0")
    assert accuracy_reward(judge, "q", "t", "a", journal=journal) == 0
    again = Says("1")  # only the failed call is made again
    assert accuracy_reward(again, "q", "t", "a", journal=JsonlJournal(tmp_path / "judge.jsonl")) == 1
    assert len(again.prompts) == 1
    assert accuracy_reward(Says(), "q", "t", "a", journal=JsonlJournal(tmp_path / "judge.jsonl")) == 1


def test_a_judge_without_a_verdict_leaves_the_row_open() -> None:
    assert accuracy_reward(Says("a", "b", "c"), "q", "t", "a") is None


def test_an_empty_answer_needs_no_judge() -> None:
    assert accuracy_reward(Says(), "q", "t", "  ") == 0
