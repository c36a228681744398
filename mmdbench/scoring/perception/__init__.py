"""Degradation perception: does a model see which corruption a picture shows, and how strong it is?

::

    wording.py   what the model is asked, in our own words, with the list of the types
    reading.py   a reply → the (type, strength) pairs that it claims
    reward.py    r_deg, the degradation reward after Robust-R1 (arXiv 2512.17532)
    bench.py     a benchmark → the same pictures under that one question
    grading.py   claims against recipes → grades and a `Score`
"""

from __future__ import annotations

from mmdbench.scoring.perception.bench import FAMILY, perception_bench
from mmdbench.scoring.perception.grading import PROTOCOL, TASK, check_perception, score_perception
from mmdbench.scoring.perception.reading import Claim, Claims, read_claims
from mmdbench.scoring.perception.reward import degradation_reward
from mmdbench.scoring.perception.wording import perception_prompt

__all__ = [
    "FAMILY",
    "PROTOCOL",
    "TASK",
    "Claim",
    "Claims",
    "check_perception",
    "degradation_reward",
    "perception_bench",
    "perception_prompt",
    "read_claims",
    "score_perception",
]
