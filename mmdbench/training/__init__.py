"""Rewards of CLEAR and Robust-R1, and CLEAR's recipe: questions to answer, or to restore first.

::

    samples.py    a graded run of the design `drawn` → samples, each with its mode or a reason to leave it out
    selection.py  the samples that are kept: modes in balance, corruptions and levels spread evenly
    traces.py     a judge model's reasoning for each kept sample, checked
    assignment.py the steps above for the run of a base model
    dataset.py    the data set: one JSON line for each sample, and its pictures
    rewards/      CLEAR's rewards: accuracy, format, decision, latent quality, and their sum
    robust_r1.py  Robust-R1's rewards: degradations, length, answer and format

Source: CLEAR (arXiv 2604.04780, appendix C) as far as it is known to us; filters and balance are
parameters with defaults of ours.
"""

from __future__ import annotations

from mmdbench.training.assignment import Assignment, AssignmentRules, assign_samples
from mmdbench.training.dataset import DATASET, SUMMARY, TraceSet, write_dataset
from mmdbench.training.samples import TrainingSample, find_samples
from mmdbench.training.selection import Selection, select_samples
from mmdbench.training.traces import Trace, TraceWriter, trace_prompt

__all__ = [
    "DATASET",
    "SUMMARY",
    "Assignment",
    "AssignmentRules",
    "Selection",
    "Trace",
    "TraceSet",
    "TraceWriter",
    "TrainingSample",
    "assign_samples",
    "find_samples",
    "select_samples",
    "trace_prompt",
    "write_dataset",
]
