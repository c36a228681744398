"""Makes a torchvision importable that was built for another torch; the processors only use its Python parts.

The released torchvision beside a CPU build of torch misses its compiled operators, and fails at
the import because it describes two of them that were never defined. Defining their names is
enough; nothing here calls them.
"""

from __future__ import annotations

from importlib import util
from typing import Any

_OPERATORS = ("nms", "qnms")
_kept: list[Any] = []


def mend_torchvision() -> None:
    """Define the missing operators' names if torchvision does not load without them."""
    if util.find_spec("torch") is None or util.find_spec("torchvision") is None:
        return
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in _OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)  # the definitions live as long as this object
    import torchvision  # noqa: F401


def why_not(*packages: str) -> str:
    """The reason why packages cannot be imported; empty if they can."""
    mend_torchvision()
    for name in packages:
        try:
            __import__(name)
        except Exception as error:  # noqa: BLE001 - whatever a package raises at its import
            return f"{name} cannot be imported here: {type(error).__name__}: {error}"
    return ""
