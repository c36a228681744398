"""CLEAR's and Robust-R1's rewards against recorded cases, in every profile.

Set MMDBENCH_GOLDEN to run against another set: a folder with training/rewards.json, or with rewards.json.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from mmdbench.scoring import JudgeReply
from mmdbench.training.rewards import (
    LatentSimilarity,
    Rewards,
    RewardWeights,
    Solution,
    accuracy_reward,
    decision_reward,
    format_reward,
    group_advantages,
    is_correct,
    is_restored,
    judged_text,
    latent_quality,
    read_score,
    weighted_sum,
)
from mmdbench.training.robust_r1 import (
    RobustR1Rewards,
    answer_reward,
    blocks_reward,
    degradation_reward,
    length_reward,
    read_degradations,
)

GOLDEN = Path(os.environ.get("MMDBENCH_GOLDEN") or Path(__file__).parents[1] / "golden")
FILE = next((f for f in (GOLDEN / "training/rewards.json", GOLDEN / "rewards.json") if f.is_file()), None)
DATA = {"cases": [], "tolerance": 0} if FILE is None else json.loads(FILE.read_text("utf-8"))
SCALES = {"population": "population", "sample_plus_1e-4": "sample", "mean_only": "none"}
MATRICES = {"paper": "paper", "code_original": "code", "code_smooth": "code-smooth"}


class Script:
    """A judge that gives the replies of a case in turn; `!error` is a call that fails."""

    id = "script"

    def __init__(self, replies) -> None:
        self.replies, self.calls = replies, 0

    def ask(self, call):
        self.calls += 1
        reply = self.replies[self.calls - 1]
        return JudgeReply("no connection", "error") if reply == "!error" else JudgeReply(reply)


def pieces(given):
    return [None if piece == "<picture>" else piece for piece in given["pieces"]]


def accuracy(given, profile):
    if profile == "strict":
        return read_score(given["reply"])
    judge = Script(given["replies"])
    value = accuracy_reward(judge, "an answer", Solution("a", "q"), profile=profile)
    return {"value": value, "calls": judge.calls}


def decision(given, profile):
    return decision_reward(is_restored(pieces(given)), is_correct(given["r_acc"]), MATRICES[profile])


def quality(given, profile):
    if profile == "code_vae":
        return latent_quality(given["generated"], given["clean"])
    names = {"mse": "r_mse", "cosine": "cosine", "local": "r_local", "vit": "cosine_vit"}
    return LatentSimilarity(**{ours: given[theirs] for ours, theirs in names.items()}).quality("both")


def total(given, _):
    found = Rewards(given["r_acc"], given["r_fmt"], given["r_dec"])
    return weighted_sum(found, RewardWeights(*given["weights"]))


def pairs(given):
    return [tuple(pair) for pair in given]


def robust_r1_total(given, profile):
    if profile == "paper":
        return RobustR1Rewards(given["r_deg"], given["r_len"]).total()
    rewards = RobustR1Rewards(given["type"], given["length"], given["accuracy"], given["format"])
    return rewards.total("code")


QUANTITIES = {
    "r_acc_reader": accuracy,
    "judged_text": lambda given, _: judged_text(pieces(given)),
    "r_fmt": lambda given, profile: format_reward(pieces(given), profile),
    "r_dec": decision,
    "latent_quality": quality,
    "total": total,
    "advantage": lambda given, profile: list(group_advantages(given["rewards"], SCALES[profile])),
    "r_deg": lambda given, profile: degradation_reward(
        pairs(given["truth"]), pairs(given["predicted"]), profile
    ),
    "degradation_reader": lambda given, _: list(map(list, read_degradations(given["text"]))),
    "r_len": lambda given, _: length_reward(given["length"], given["truth_length"]),
    "robust_r1_format": lambda given, _: blocks_reward(given["text"]),
    "robust_r1_accuracy": lambda given, _: answer_reward(given["text"], given["solution"]),
    "robust_r1_total": robust_r1_total,
}


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: case["id"])
def test_a_recorded_case(case) -> None:
    expected, profile = case["expected"], case["profile"]
    if expected == "ValueError":
        with pytest.raises(ValueError, match="must be a number"):
            QUANTITIES[case["quantity"]](case["input"], profile)
        return
    found = QUANTITIES[case["quantity"]](case["input"], profile)
    # The latent qualities were recorded in float32.
    tolerance = 1e-5 if case["quantity"] == "latent_quality" else DATA["tolerance"]
    if expected == "nan":
        assert math.isnan(found)
    elif isinstance(expected, (float, int)) or (
        isinstance(expected, list) and case["quantity"] == "advantage"
    ):
        assert found == pytest.approx(expected, abs=tolerance)
    else:
        assert found == expected


@pytest.mark.skipif("MMDBENCH_GOLDEN" in os.environ, reason="another set may have other cases")
def test_every_quantity_has_cases() -> None:
    assert {case["quantity"] for case in DATA["cases"]} == set(QUANTITIES)
    assert len(DATA["cases"]) == 189
