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


QUANTITIES = {
    "r_acc_reader": accuracy,
    "judged_text": lambda given, _: judged_text(pieces(given)),
    "r_fmt": lambda given, profile: format_reward(pieces(given), profile),
    "r_dec": decision,
    "latent_quality": quality,
    "total": total,
    "advantage": lambda given, profile: list(group_advantages(given["rewards"], SCALES[profile])),
}


CASES = [case for case in DATA["cases"] if case["quantity"] in QUANTITIES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_recorded_case(case) -> None:
    expected, profile = case["expected"], case["profile"]
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
