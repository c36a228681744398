"""mmdbench: how much does a vision-language model lose when its images get worse?

>>> import mmdbench
>>> len(mmdbench.get_corruption_names())
16

`corrupt` degrades an image; `get_corruption_names` lists the corruptions. The command line
(`mmdbench --help`) builds degraded benchmarks, runs models on them and reports the drops.
Importing this package loads neither numpy, OpenCV, pandas nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmdbench import errors
from mmdbench._version import __version__

if TYPE_CHECKING:
    from mmdbench.corruptions import corrupt, get_corruption_names

__all__ = ["__version__", "corrupt", "errors", "get_corruption_names"]


def __getattr__(name: str) -> Any:
    if name in ("corrupt", "get_corruption_names"):
        from mmdbench import corruptions

        return getattr(corruptions, name)
    raise AttributeError(f"module 'mmdbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
