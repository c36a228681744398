"""Degradation perception: a model names the corruption that a picture shows, and its strength.

::

    wording.py   the question, in our own words, with the list of the types; a benchmark that asks it
    reading.py   a reply → the (type, strength) pairs that it claims
    reward.py    r_deg, the degradation reward of Robust-R1 (arXiv 2512.17532)
    grading.py   claims and recipes → grades and a `Score`
"""

from __future__ import annotations

from mmdbench.scoring.perception.grading import PROTOCOL, TASK, check_perception, score_perception
from mmdbench.scoring.perception.reading import Claim, Claims, read_claims
from mmdbench.scoring.perception.reward import degradation_reward
from mmdbench.scoring.perception.wording import perception_prompt, perception_questions

__all__ = [
    "PROTOCOL",
    "TASK",
    "Claim",
    "Claims",
    "check_perception",
    "degradation_reward",
    "perception_prompt",
    "perception_questions",
    "read_claims",
    "score_perception",
]
