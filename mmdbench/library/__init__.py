"""mmdbench in Python: evaluate, report, compare, check and build without the command line."""

from __future__ import annotations

import gc
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdbench.library.building import BuildOptions, BuildSummary, build
    from mmdbench.library.callables import batched
    from mmdbench.library.checking import CheckResult, CheckRow
    from mmdbench.library.citing import cite
    from mmdbench.library.comparing import RunComparison, compare
    from mmdbench.library.drop_monitor import DropMonitor
    from mmdbench.library.evaluating import Forecast, evaluate, forecast
    from mmdbench.library.options import EvaluateOptions
    from mmdbench.library.report import Report, load_report
    from mmdbench.library.run import Run, load_run
    from mmdbench.library.shown_tables import ShownTable, TableSet, Value
    from mmdbench.library.user_interface import Progress

__all__ = [
    "BuildOptions",
    "BuildSummary",
    "CheckResult",
    "CheckRow",
    "DropMonitor",
    "EvaluateOptions",
    "Forecast",
    "Progress",
    "Report",
    "Run",
    "RunComparison",
    "ShownTable",
    "TableSet",
    "Value",
    "batched",
    "build",
    "cite",
    "compare",
    "evaluate",
    "forecast",
    "load_report",
    "load_run",
]

_MODULES = {
    **dict.fromkeys(("BuildOptions", "BuildSummary", "build"), "building"),
    **dict.fromkeys(("CheckResult", "CheckRow"), "checking"),
    "DropMonitor": "drop_monitor",
    "EvaluateOptions": "options",
    **dict.fromkeys(("Forecast", "evaluate", "forecast"), "evaluating"),
    "Progress": "user_interface",
    **dict.fromkeys(("Report", "load_report"), "report"),
    **dict.fromkeys(("Run", "load_run"), "run"),
    **dict.fromkeys(("RunComparison", "compare"), "comparing"),
    **dict.fromkeys(("ShownTable", "TableSet", "Value"), "shown_tables"),
    "batched": "callables",
    "cite": "citing",
}


def __getattr__(name: str) -> Any:
    # Loaded late: a verb imports this package for one of its modules, and waits for those alone.
    if name in _MODULES:
        return getattr(_imported(f"mmdbench.library.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _imported(module: str) -> ModuleType:
    """A module, imported without looking for garbage, of which there is none then: a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        return import_module(module)
    finally:
        if enabled:
            gc.enable()


def __dir__() -> list[str]:
    return sorted(__all__)
