"""Rewards of CLEAR and Robust-R1, and training sets by the recipes of CLEAR's paper, its code, and Robust-R1.

::

    rewards/            CLEAR's rewards: accuracy, format, decision, latent quality, and their sum
    robust_r1.py        Robust-R1's rewards: degradations, length, answer and format
    rows.py             rows of LLaVA-OneVision (Parquet, JSON lines) → a benchmark
    filters.py          draws and filters of rows, as in CLEAR's published code
    samples.py          a graded run → samples, each with its mode or a reason to leave it out
    selection.py        as many samples of each mode; a split by picture
    traces.py           traces by a model that sees both pictures, or by an agent
    chains.py           Robust-R1's chains of reasoning
    assignment.py       the recipe of CLEAR's paper, for the run of a base model
    recipes.py          the recipes without a base model
    dataset.py          a training set on disk, and its statistics
    training_format.py  the published format, written and read

Source: CLEAR (arXiv 2604.04780, appendix C) and its published code; Robust-R1 (arXiv 2512.17532, section 4).
"""

from __future__ import annotations

from mmdbench.training.assignment import Assignment, AssignmentRules, assign_samples
from mmdbench.training.chains import write_chain
from mmdbench.training.dataset import RL, SFT, SUMMARY, TrainingSet, set_statistics
from mmdbench.training.filters import RowDraw
from mmdbench.training.recipes import SetPlan, make_set
from mmdbench.training.rows import bench_of_rows
from mmdbench.training.samples import TrainingSample, find_samples
from mmdbench.training.selection import Selection, first_part, select_samples
from mmdbench.training.traces import Trace, ask_agent, write_trace
from mmdbench.training.training_format import Conversation, TrainingRecord, read_records, write_records
from mmdbench.training.writers import Writers

__all__ = [
    "RL",
    "SFT",
    "SUMMARY",
    "Assignment",
    "AssignmentRules",
    "Conversation",
    "RowDraw",
    "Selection",
    "SetPlan",
    "Trace",
    "TrainingRecord",
    "TrainingSample",
    "TrainingSet",
    "Writers",
    "ask_agent",
    "assign_samples",
    "bench_of_rows",
    "find_samples",
    "first_part",
    "make_set",
    "read_records",
    "select_samples",
    "set_statistics",
    "write_chain",
    "write_records",
    "write_trace",
]
