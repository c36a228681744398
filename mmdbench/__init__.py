"""Measure how much a vision-language model loses when its images get worse.

>>> import mmdbench
>>> len(mmdbench.get_corruption_names())
16

`corrupt` degrades an image; `get_corruption_names` lists the corruptions. The command line
(`mmdbench --help`) builds degraded benchmarks, runs models on them and reports the drops.
Importing this package loads neither numpy, OpenCV, pandas nor torch.
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
    from mmdbench.library import Report, Run, batched, compare, evaluate, forecast, load_run, report
    from mmdbench.models.cards import ModelCard
    from mmdbench.models.registry import AsyncModel, Model
    from mmdbench.records import Outcome, Request

__all__ = [
    "AsyncModel",
    "Chain",
    "Model",
    "ModelCard",
    "Outcome",
    "Report",
    "Request",
    "Run",
    "__version__",
    "batched",
    "benches",
    "compare",
    "corrupt",
    "corruptions",
    "errors",
    "evaluate",
    "forecast",
    "get_corruption_names",
    "load_run",
    "report",
    "scoring",
]

_LAZY = {
    "Chain": "mmdbench.corruptions.chain",
    "corrupt": "mmdbench.corruptions",
    "get_corruption_names": "mmdbench.corruptions",
    **dict.fromkeys(("ModelCard",), "mmdbench.models.cards"),
    **dict.fromkeys(("AsyncModel", "Model"), "mmdbench.models.registry"),
    **dict.fromkeys(("Outcome", "Request"), "mmdbench.records"),
    **dict.fromkeys(
        ("Report", "Run", "batched", "compare", "evaluate", "forecast", "load_run", "report"),
        "mmdbench.library",
    ),
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in __all__:
        return importlib.import_module(f"mmdbench.{name}")
    raise AttributeError(f"module 'mmdbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
