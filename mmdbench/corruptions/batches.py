"""Many images at once: lists, and arrays N×H×W×3."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mmdbench.corruptions import corrupt
from mmdbench.errors import ImageInputError, UsageError
from mmdbench.system.bounds import require_at_least

__all__ = ["corrupt_batch"]


def corrupt_batch(
    images: Any,
    name: str | Sequence[str],
    *,
    level: str | Sequence[str] | None = None,
    intensity: float | Sequence[float] | None = None,
    seed: int | Sequence[int] = 0,
    profile: str = "paper",
    workers: int = 1,
) -> Any:
    """Degrade every image of a batch; image k comes out as `corrupt` would give it alone.

    `images` is a uint8 array N×H×W×C (C = 1, 3 or 4), which gives a new array of its shape, or a
    list or tuple of anything that `corrupt` takes, which gives a list. `name`, `level`,
    `intensity` and `seed` are one value for all or a list with one for each image. Images of
    equal pixels come out equal unless their seeds differ. `workers` threads share the work and
    change nothing about the result.

    >>> batch = np.zeros((2, 8, 8, 3), np.uint8)
    >>> corrupt_batch(batch, ["graffiti", "lens_blur"], level="low").shape
    (2, 8, 8, 3)
    """
    if not isinstance(images, (list, tuple, np.ndarray)):
        raise ImageInputError(
            f"A {type(images).__name__} is not a batch.", hint="Give a list of images or an array N×H×W×3."
        )
    if isinstance(images, np.ndarray) and images.ndim != 4:
        raise ImageInputError(
            f"An array of shape {images.shape} is not a batch.",
            hint="Give N×H×W×3, or one image to mmdbench.corrupt.",
        )
    require_at_least("workers", workers, 1)
    count = len(images)
    calls = [
        {"name": n, "level": le, "intensity": i, "seed": s}
        for n, le, i, s in zip(
            _each("name", name, count),
            _each("level", level, count),
            _each("intensity", intensity, count),
            _each("seed", seed, count),
            strict=True,
        )
    ]

    def one(k: int) -> Any:
        return corrupt(images[k], profile=profile, **calls[k])

    if workers == 1:
        results = [one(k) for k in range(count)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(one, range(count)))
    if isinstance(images, np.ndarray):
        return np.stack(results) if results else images.copy()
    return results


def _each(what: str, value: Any, count: int) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        return [value] * count
    if len(value) != count:
        raise UsageError(
            f"There are {len(value)} values of {what} for {count} images.", hint="Give one, or one per image."
        )
    return list(value)
