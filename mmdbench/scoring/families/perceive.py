"""Questions about the degradation of pictures, which the task in `scoring.perception` grades."""

from __future__ import annotations

from mmdbench.scoring.families.prompts import column_prompt
from mmdbench.scoring.family import Family, Metric

__all__ = ["PERCEIVE"]

PERCEIVE = Family(
    "perceive",
    prompt=column_prompt("question"),
    metrics=(Metric("type accuracy", "type accuracy"),),
    grading=None,
)
"""The family of a benchmark that is asked about its pictures' degradation."""
