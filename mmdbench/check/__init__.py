"""Compare a run with a baseline: is it worse than tolerated, and are there enough questions to tell?

::

    baseline.py   the file that `--accept` writes: packed grades of each question, and the run's identity
    gates.py      `macro-hard:1.0`, `MMStar/*/hard:3`: rows, and the points that each may lose
    verdicts.py   regressed, tolerated, unchanged, improved or cannot tell, from the paired interval
    replacing.py  a run over an earlier baseline: what changes, and why a better one stays
    output.py     console, JSON, JUnit, GitHub annotations and step summary
"""

from __future__ import annotations

from mmdbench.check.baseline import accept, read_baseline
from mmdbench.check.gates import Gate, parse_gate
from mmdbench.check.replacing import Accepted, replace_baseline
from mmdbench.check.verdicts import ALPHA, CheckReport, CheckRow, check_run, let_pass, refusal

__all__ = [
    "ALPHA",
    "Accepted",
    "CheckReport",
    "CheckRow",
    "Gate",
    "accept",
    "check_run",
    "let_pass",
    "parse_gate",
    "read_baseline",
    "refusal",
    "replace_baseline",
]
