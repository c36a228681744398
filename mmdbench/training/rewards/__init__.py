"""CLEAR's rewards of reinforcement learning: accuracy, format, decision, latent quality and their sum.

::

    completion.py  a completion as one string or as pieces; its answer, and whether it restored
    accuracy.py    R_acc: a judge's score from 0 to 1
    layout.py      R_fmt: the two patterns of the system prompt
    decision.py    R_dec: by what came of restoring, or of not restoring
    latent.py      the quality of a restored picture in latent space, which has weight 0
    total.py       the weighted sum, and advantages within a group

Two profiles: `paper` (CLEAR, arXiv 2604.04780, section 3.4 and appendix I) and `code`, the authors'
published training code where it differs. Judge prompts are in our own words.
"""

from __future__ import annotations

from mmdbench.training.rewards.accuracy import (
    ACCURACY_HEADS,
    Solution,
    accuracy_prompt,
    accuracy_reward,
    read_code_score,
    read_score,
)
from mmdbench.training.rewards.completion import Completion, completion_text, is_restored, judged_text
from mmdbench.training.rewards.decision import DECISIONS, decision_reward, is_correct
from mmdbench.training.rewards.latent import LATENT_WEIGHTS, LatentSimilarity, latent_quality
from mmdbench.training.rewards.layout import format_reward
from mmdbench.training.rewards.total import Rewards, RewardWeights, group_advantages, weighted_sum

__all__ = [
    "ACCURACY_HEADS",
    "DECISIONS",
    "LATENT_WEIGHTS",
    "Completion",
    "LatentSimilarity",
    "RewardWeights",
    "Rewards",
    "Solution",
    "accuracy_prompt",
    "accuracy_reward",
    "completion_text",
    "decision_reward",
    "format_reward",
    "group_advantages",
    "is_correct",
    "is_restored",
    "judged_text",
    "latent_quality",
    "read_code_score",
    "read_score",
    "weighted_sum",
]
