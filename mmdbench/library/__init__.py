"""mmdbench in Python: evaluate, report, compare, check and build without the command line."""

from __future__ import annotations

from mmdbench.library.building import BuildOptions, BuildSummary, build
from mmdbench.library.callables import batched
from mmdbench.library.checking import CheckResult
from mmdbench.library.citing import cite
from mmdbench.library.comparing import RunComparison, compare
from mmdbench.library.evaluating import Forecast, evaluate, forecast
from mmdbench.library.options import EvaluateOptions
from mmdbench.library.report import Report, load_report
from mmdbench.library.run import Run, load_run
from mmdbench.library.shown_tables import ShownTable, TableSet
from mmdbench.library.user_interface import Progress

__all__ = [
    "BuildOptions",
    "BuildSummary",
    "CheckResult",
    "EvaluateOptions",
    "Forecast",
    "Progress",
    "Report",
    "Run",
    "RunComparison",
    "ShownTable",
    "TableSet",
    "batched",
    "build",
    "cite",
    "compare",
    "evaluate",
    "forecast",
    "load_report",
    "load_run",
]
