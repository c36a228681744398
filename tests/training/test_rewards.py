"""CLEAR's rewards against examples worked by hand; tests/conformance has the recorded cases."""

from __future__ import annotations

import math

import pytest

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.scoring import JudgeReply
from mmdbench.training.rewards import (
    ACCURACY_HEADS,
    LatentSimilarity,
    Rewards,
    RewardWeights,
    Solution,
    accuracy_prompt,
    accuracy_reward,
    decision_reward,
    format_reward,
    group_advantages,
    is_correct,
    is_restored,
    judged_text,
    latent_quality,
    read_code_score,
    read_score,
    weighted_sum,
)

ASKS = "<think>too dark to tell</think>\n<image_restore>"
ANSWERS = "<think>a red cup</think> <answer>B</answer>"


class Says:
    """A judge that replies from a list."""

    id = "says"

    def __init__(self, *replies) -> None:
        self.replies, self.calls = list(replies), []

    def ask(self, call):
        self.calls.append(call)
        reply = self.replies.pop(0)
        return reply if isinstance(reply, JudgeReply) else JudgeReply(reply)


# --- format --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "paper", "code"),
    [
        ([ANSWERS], 1, 1),
        ([ASKS, ANSWERS], 1, 1),
        ([ASKS, object(), ANSWERS], 1, 1),  # the restored picture between them
        ([ASKS, ASKS, ANSWERS], 0, 1),  # two restorations
        ([], 0, 0),
        ([ASKS], 0, 0.35),  # never answers
        ([ANSWERS, ANSWERS], 0, 1),
        (["<answer>B</answer>"], 0, 0.35),
        (["<think> </think><answer>B</answer>"], 0, 1),  # a blank is no thought, but a character
        (["<think>a cup</think>B"], 0, 0.35),
        (["<think>a cup</think><answer>B</answer><answer>C</answer>"], 0, 1),
        (["<think>a cup</think><answer>B</answer> surely"], 0, 1),
        (["<think>a cup <image_restore></think><answer>B</answer>"], 0, 1),
        (["<think>dark</think><image_restore> please", ANSWERS], 0, 1),
        (["<think>dark</think><image_restore><answer>B</answer>"], 0, 1),
        (["<think>line\nline</think>\n\n<answer>B\nC</answer>\n"], 1, 1),
        (["</think><answer>B</answer>"], 0, 0.35),  # the first </think> is at the start
        (["a cup</think><answer>B</answer>"], 0, 0.65),
        (["<answer>B</answer><think>a</think><answer>C</answer>"], 0, 0.7),  # the first answer counts
    ],
)
def test_the_format_reward(texts, paper, code) -> None:
    assert (format_reward(texts), format_reward(texts, "code")) == (paper, code)
    joined = " ".join(text for text in texts if isinstance(text, str))
    assert (format_reward(joined), format_reward(joined, "code")) == (paper, code)


@pytest.mark.parametrize("filler", ["\n" * 200_000, "<think> " * 30_000, "a b " * 50_000])
def test_a_very_long_text_is_read_in_linear_time(filler) -> None:
    for profile in ("paper", "code"):
        long = f"<think>x</think>{filler}<answer>B</answer>{filler}x"
        assert format_reward([long], profile) == (0 if profile == "paper" else 1)
        assert format_reward([filler], profile) == 0


# --- accuracy ------------------------------------------------------------------------------------


def test_the_paper_s_judge_sees_truth_and_answer_and_the_code_s_the_question_too() -> None:
    solution = Solution("the red one", "Which cup?")
    prompts = {}
    for profile in ("paper", "code"):
        judge = Says("Score: 0.6")
        assert accuracy_reward(judge, [ASKS, None, ANSWERS], solution, profile=profile) == 0.6
        (call,) = judge.calls
        assert (call.temperature, call.prompt_id) == (0, ACCURACY_HEADS[profile].id)
        assert call.prompt == accuracy_prompt("B", solution, profile)
        prompts[profile] = call.prompt
    assert "Which cup?" not in prompts["paper"]
    assert "Question: Which cup?\nRight answer: the red one\nAnswer to grade: B\n" in prompts["code"]
    assert "Right answer: the red one\nAnswer to grade: B\n" in prompts["paper"]
    assert ACCURACY_HEADS["paper"].id != ACCURACY_HEADS["code"].id


def test_the_judge_is_asked_again_and_remembered(tmp_path) -> None:
    journal = JsonlJournal(tmp_path / "judge.jsonl")
    judge = Says("hm", JudgeReply("no connection", "error"), "0.25", "0.25")
    assert accuracy_reward(judge, "a", Solution("t"), journal=journal) == 0.25
    assert [call.attempt for call in judge.calls] == [1, 2, 3]
    # A failed call is not remembered, what was answered is.
    assert accuracy_reward(judge, "a", Solution("t"), journal=JsonlJournal(journal.path)) == 0.25
    assert len(judge.calls) == 4


def test_without_a_score_the_paper_has_none_and_the_code_0() -> None:
    assert accuracy_reward(Says(*["1.4"] * 3), "a", Solution("t")) is None
    assert accuracy_reward(Says(*["Wrong."] * 5), "a", Solution("t"), profile="code") == 0
    judge = Says("Wrong.")
    assert accuracy_reward(judge, "a", Solution("t"), profile="code", attempts=1) == 0


@pytest.mark.parametrize("completion", ["  ", [], [ANSWERS, None], "<answer> </answer>"])
def test_an_empty_answer_needs_no_judge(completion) -> None:
    assert accuracy_reward(Says(), completion, Solution("t")) == 0


def test_the_last_piece_is_judged() -> None:
    assert judged_text([ANSWERS, None, "<think>x</think><answer> C </answer> <answer>D</answer>"]) == "C"
    assert judged_text("<answer>never closed ") == "<answer>never closed"


@pytest.mark.parametrize(
    ("text", "strict", "code"),
    [
        ("0.8.", None, None),
        ("Score: 0.8.", None, None),
        ("-0.4", None, 0.4),
        ("True.", None, None),
        ("True", None, 1.0),
        ("score : 1.0 ", 1.0, 1.0),
        ("1.", None, 1.0),
        ("0.5/1", None, 0.5),
        ("", None, 0.5),
        ("nan", None, 0.5),
    ],
)
def test_replies_of_a_judge(text, strict, code) -> None:
    assert (read_score(text), read_code_score(text)) == (strict, code)


# --- decision, sum -------------------------------------------------------------------------------


def test_the_decision_is_judged_from_the_outcome() -> None:
    assert is_restored([ASKS, None, ANSWERS])
    assert not is_restored(ANSWERS)
    found = {
        matrix: [decision_reward(g, c, matrix) for g, c in ((1, 1), (0, 1), (1, 0), (0, 0))]
        for matrix in ("paper", "code", "code-smooth")
    }
    assert found == {
        "paper": [1, 0, 0, -1],
        "code": [1, 0.6, 0.4, -0.2],
        "code-smooth": [1, 0.5, 0.5, -0.2],
    }


def test_the_weighted_sum_by_hand() -> None:
    # .675 + .1 + .15; .15 + .1 − .15; the worst
    assert weighted_sum(Rewards(0.9, 1, 1)) == pytest.approx(0.925)
    assert weighted_sum(Rewards(0.2, 1, -1)) == pytest.approx(0.10)
    assert weighted_sum(Rewards(0, 0, -1)) == pytest.approx(-0.15)
    assert weighted_sum(Rewards(1, 1, 1, latent=1.0), RewardWeights(latent=0.5)) == 1.5


def test_a_reward_that_is_nan_counts_as_0() -> None:
    assert weighted_sum(Rewards(0.9, 1, 1, latent=math.nan), RewardWeights(latent=0.5)) == 0.925
    assert weighted_sum(Rewards(math.nan, 1, 1)) == 0.25


def test_a_trajectory_from_end_to_end() -> None:
    completion = [ASKS, None, ANSWERS]
    accuracy = accuracy_reward(Says("0.9"), completion, Solution("the red one"))
    decision = decision_reward(is_restored(completion), is_correct(accuracy))
    assert weighted_sum(Rewards(accuracy, format_reward(completion), decision)) == 0.925


# --- latent quality, advantages ------------------------------------------------------------------


def test_latent_quality_by_hand() -> None:
    # MSE 2 and no cosine; g = -k with MSE 4, as in the specification.
    assert latent_quality([[0.0, 2.0]], [[0.0, 0.0]]) == pytest.approx(0.3 * math.exp(-1))
    assert latent_quality([[-1.0, 1.0]], [[1.0, -1.0]]) == pytest.approx(0.3 * math.exp(-2))
    # One token alike, one opposite: MSE 1, cosine 0, and a local mean of max(0, ±1).
    expected = 0.3 * math.exp(-0.5) + 0.4 / 2
    assert latent_quality([[1, 0], [0, 1]], [[1, 0], [0, -1]]) == pytest.approx(expected)
    # The longer one is cut.
    assert latent_quality([[1, 0], [0, 1]], [[1, 0]]) == 1


def test_latent_quality_with_vit_features() -> None:
    # Means (1, 1) and (1, 0), so a cosine of √½.
    features = ([[2.0, 0.0], [0.0, 2.0]], [[1.0, 0.0]])
    assert latent_quality([[1.0]], [[1.0]], "vit", vit=features) == pytest.approx(math.sqrt(0.5))
    assert latent_quality([[1.0]], [[1.0]], "both", vit=features) == pytest.approx(0.7 + 0.3 * math.sqrt(0.5))
    assert math.isnan(latent_quality(None, [[1.0]], "both"))
    assert math.isnan(LatentSimilarity(mse=1, cosine=1, local=1).quality("both"))
    with pytest.raises(UsageError, match="ViT features"):
        latent_quality([[1.0]], [[1.0]], "both")
    with pytest.raises(UsageError, match="2 and 1"):
        latent_quality([[1.0, 0.0]], [[1.0]])
    with pytest.raises(UsageError, match="tokens × values"):
        latent_quality([1.0, 0.0], [[1.0]])


def test_advantages_of_a_group() -> None:
    # Mean .5, and a deviation of .5 (population) or √½ (sample).
    assert group_advantages([1, 0]) == (1, -1)
    assert group_advantages([1, 0], "sample")[0] == pytest.approx(0.5 / (math.sqrt(0.5) + 1e-4))
    assert group_advantages([1, 0], "none") == (0.5, -0.5)


@pytest.mark.parametrize("scale", ["population", "sample", "none"])
def test_equal_rewards_have_no_advantage(scale) -> None:
    # The mean of three times 0.1 is not 0.1 in floating point.
    assert group_advantages([0.1, 0.1, 0.1], scale) == (0, 0, 0)
    # Nor is 0.1 + 0.2 quite 0.3: what sets these apart is rounding, not an answer.
    assert group_advantages([0.1 + 0.2, 0.3], scale) == (0, 0)
    assert group_advantages([0.3], scale) == (0,)
    assert group_advantages([], scale) == ()


def test_unknown_names_and_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="finite"):
        group_advantages([1.0, math.nan])
    with pytest.raises(UnknownNameError, match="papers"):
        format_reward(ANSWERS, "papers")
    with pytest.raises(UnknownNameError, match="profile"):
        accuracy_reward(Says(), "a", Solution("t"), profile="papers")
    with pytest.raises(UnknownNameError, match="matrix"):
        decision_reward(True, True, "smooth")
    with pytest.raises(UnknownNameError, match="scale"):
        group_advantages([1, 0], "std")
    with pytest.raises(UnknownNameError, match="mode"):
        latent_quality([[1.0]], [[1.0]], "clip", vit=([[1.0]], [[1.0]]))
    with pytest.raises(UsageError, match="attempts"):
        accuracy_reward(Says(), "a", Solution("t"), attempts=0)
