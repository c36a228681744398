"""The 16 corruptions: `sample` draws the parameters of one, `apply` makes the degraded image from them.

>>> import numpy as np
>>> from mmdbench.corruptions import apply, corrupt, sample
>>> image = np.full((40, 60, 3), 200, np.uint8)
>>> params = sample("dark_illumination", image.shape, level="mid")
>>> params
{'gain': 0.7975}
>>> int(apply("dark_illumination", image, params).max())
159
>>> bool((corrupt(image, "dark_illumination", level="mid") == 159).all())
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdbench.corruptions.definition import corruption
    from mmdbench.corruptions.operations import apply, corrupt, get_corruption_names, image_seed, sample
    from mmdbench.corruptions.plugins import use_corruption

__all__ = [
    "apply",
    "corrupt",
    "corruption",
    "get_corruption_names",
    "image_seed",
    "sample",
    "use_corruption",
]

_PLACES = {"corruption": "definition", "use_corruption": "plugins"}


def __getattr__(name: str) -> Any:
    # Loaded late: the spec is read by commands that need neither NumPy nor OpenCV.
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_PLACES.get(name, 'operations')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
