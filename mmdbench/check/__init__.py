"""Compare a run with a baseline: is it worse than tolerated, and are there enough questions to tell?

::

    baseline.py   the file that `--accept` writes: packed grades of each question, and the run's identity
    gates.py      `macro-hard:1.0`, `MMStar/*/hard:3`: rows, and the points that each may lose
    verdicts.py   regressed, unchanged, improved or cannot tell, from the paired interval
    output.py     console, JSON, JUnit, GitHub annotations and step summary
"""

from __future__ import annotations

from mmdbench.check.baseline import accept, read_baseline
from mmdbench.check.gates import Gate, parse_gate
from mmdbench.check.verdicts import ALPHA, CheckReport, CheckRow, check_run, refusal

__all__ = [
    "ALPHA",
    "CheckReport",
    "CheckRow",
    "Gate",
    "accept",
    "check_run",
    "parse_gate",
    "read_baseline",
    "refusal",
]
