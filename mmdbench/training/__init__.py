"""CLEAR's data recipe: which questions a model should answer directly, and which after a restoration.

::

    samples.py   a graded run of the design `drawn` → samples, each with its mode or why it is left out
    choosing.py  the samples that are kept: modes in balance, corruptions and levels spread
    traces.py    a judge model's reasoning for each kept sample, checked before it is believed
    writing.py   the data set: one JSON line for each sample, and its pictures

Source: CLEAR (arXiv 2604.04780, appendix C) as far as it is described to us; filters and balance are
parameters, and their defaults ours.
"""

from __future__ import annotations

from mmdbench.training.choosing import Choice, check_balance, choose
from mmdbench.training.samples import Sample, find_samples
from mmdbench.training.traces import Trace, TraceWriter, trace_prompt
from mmdbench.training.writing import DATASET, SUMMARY, write_dataset

__all__ = [
    "DATASET",
    "SUMMARY",
    "Choice",
    "Sample",
    "Trace",
    "TraceWriter",
    "check_balance",
    "choose",
    "find_samples",
    "trace_prompt",
    "write_dataset",
]
