"""A run against a baseline: is it worse by more than is tolerated, and can that be told at all?

::

    baseline.py   what `--accept` keeps: per-question grades, packed, and what they are grades of
    gates.py      `macro-hard:1.0`, `MMStar/*/hard:3`: which rows, and how much each may lose
    verdicts.py   regressed, unchanged, improved or cannot tell, from the paired interval
    output.py     console, JSON, JUnit, GitHub annotations and step summary
"""

from __future__ import annotations

from mmdbench.check.baseline import accept, read_baseline
from mmdbench.check.gates import Gate, parse_gate
from mmdbench.check.verdicts import ALPHA, CheckReport, CheckRow, check_run

__all__ = ["ALPHA", "CheckReport", "CheckRow", "Gate", "accept", "check_run", "parse_gate", "read_baseline"]
