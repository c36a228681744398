"""Measure how much a vision-language model loses when its images get worse.

>>> import mmdbench
>>> len(mmdbench.get_corruption_names())
16

`corrupt` degrades an image; `get_corruption_names` lists the corruptions. `evaluate` asks a model clean and
degraded questions, `load_run`, `load_report` and `compare` read what it answered, and `build` writes degraded
benchmarks, as the command line (`mmdbench --help`) does.
Importing this package loads neither numpy, OpenCV, pandas nor torch.

PYTEST_DONT_REWRITE: pytest, which loads the plugin, leaves the asserts of this module alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mmdbench import errors
from mmdbench._version import __version__

if TYPE_CHECKING:
    from mmdbench import benches, corruptions, scoring
    from mmdbench.corruptions import corrupt, get_corruption_names
    from mmdbench.corruptions.chain import Chain
    from mmdbench.library import (
        BuildOptions,
        BuildSummary,
        CheckResult,
        CheckRow,
        DropMonitor,
        EvaluateOptions,
        Forecast,
        Progress,
        Report,
        Run,
        RunComparison,
        ShownTable,
        TableSet,
        Value,
        batched,
        build,
        cite,
        compare,
        evaluate,
        forecast,
        load_report,
        load_run,
    )
    from mmdbench.models.cards import ModelCard
    from mmdbench.models.registry import AsyncModel, Model
    from mmdbench.records import Outcome, Request

__all__ = [
    "AsyncModel",
    "BuildOptions",
    "BuildSummary",
    "Chain",
    "CheckResult",
    "CheckRow",
    "DropMonitor",
    "EvaluateOptions",
    "Forecast",
    "Model",
    "ModelCard",
    "Outcome",
    "Progress",
    "Report",
    "Request",
    "Run",
    "RunComparison",
    "ShownTable",
    "TableSet",
    "Value",
    "__version__",
    "batched",
    "benches",
    "build",
    "cite",
    "compare",
    "corrupt",
    "corruptions",
    "errors",
    "evaluate",
    "forecast",
    "get_corruption_names",
    "load_report",
    "load_run",
    "scoring",
]

_LAZY = {
    "Chain": "mmdbench.corruptions.chain",
    "ModelCard": "mmdbench.models.cards",
    **dict.fromkeys(("corrupt", "get_corruption_names"), "mmdbench.corruptions"),
    **dict.fromkeys(("AsyncModel", "Model"), "mmdbench.models.registry"),
    **dict.fromkeys(("Outcome", "Request"), "mmdbench.records"),
}
_ROOMS = ("benches", "corruptions", "errors", "scoring")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"mmdbench.{name}")
    if name in __all__:
        return getattr(importlib.import_module(_LAZY.get(name, "mmdbench.library")), name)
    raise AttributeError(f"module 'mmdbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
