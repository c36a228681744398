"""mmdbench in Python: evaluate, report, compare, check and build without the command line."""

from __future__ import annotations

from mmdbench.library.callables import batched
from mmdbench.library.comparing import compare
from mmdbench.library.evaluating import Forecast, evaluate, forecast
from mmdbench.library.options import EvaluateOptions
from mmdbench.library.report import Report, report
from mmdbench.library.run import Run, load_run
from mmdbench.library.shown_tables import ShownTable, TableSet
from mmdbench.library.user_interface import Progress

__all__ = [
    "EvaluateOptions",
    "Forecast",
    "Progress",
    "Report",
    "Run",
    "ShownTable",
    "TableSet",
    "batched",
    "compare",
    "evaluate",
    "forecast",
    "load_run",
    "report",
]
