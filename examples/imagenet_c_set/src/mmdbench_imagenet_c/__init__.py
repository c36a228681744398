"""ImageNet-C's nineteen corruptions as a set for mmdbench, computed by the package imagecorruptions-imaug."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from imagecorruptions import corrupt, corruption_dict

from mmdbench.corruptions import corruption
from mmdbench.corruptions import params as p
from mmdbench.corruptions.definition import Corruption, Image, Stream, Values

_SMALLEST_SIDE = 32
_GLOBAL_RANDOM = Lock()


def _sample(values: Values, rng: Stream) -> dict[str, Any]:
    """The severity, 1 to 5, and the seed of the picture."""
    return {"severity": values.integer("severity"), "seed": rng.word()}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Context in which NumPy's global generator, from which that package draws, has a seed; one at a time."""
    with _GLOBAL_RANDOM:
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002


def _member(name: str) -> Corruption:
    """The corruption of a name."""
    own_seed = "seed" in inspect.signature(corruption_dict[name]).parameters

    def apply(image: Image, params: p.Params) -> Image:
        height, width = image.shape[:2]
        more = [(0, max(0, _SMALLEST_SIDE - side)) for side in (height, width)]
        large = np.pad(image, [*more, (0, 0)], mode="edge")
        seed = {"seed": params["seed"]} if own_seed else {}
        with _seeded(params["seed"]):
            made = corrupt(large, severity=params["severity"], corruption_name=name, **seed)
        return np.ascontiguousarray(made[:height, :width], dtype=np.uint8)

    apply.__name__ = name
    return corruption(_sample, severity=p.integer(1, 5), seed=p.integer(0, 2**32 - 1))(apply)


globals().update({name: _member(name) for name in corruption_dict})
