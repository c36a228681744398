"""Corruption of many images in one call: of a list or an array N×H×W×C."""

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
    """Degrade every image of a batch; each result is that of `corrupt` for the image alone.

    `name`, `level`, `intensity` and `seed` are one value for all images, or a list with one for each.
    Equal images get the same noise; give them different seeds to avoid it.

    Args:
        images: A uint8 array N×H×W×C (C = 1, 3 or 4), or a list or tuple of anything that `corrupt`
            takes.
        name: The corruption.
        level: "low", "mid" or "hard"; give it or `intensity`.
        intensity: A number in (0, 1].
        seed: A whole number.
        profile: "paper" or "scaled".
        workers: The number of threads, at least 1; the result does not depend on it.

    Returns:
        An array of the same shape for an array, otherwise a list.

    Raises:
        ImageInputError: `images` or one of them is none of the kinds above.
        UsageError: A list of options has not as many values as there are images.

    >>> batch = np.zeros((2, 8, 8, 3), np.uint8)
    >>> corrupt_batch(batch, ["graffiti", "lens_blur"], level="low").shape
    (2, 8, 8, 3)
    """
    if not isinstance(images, (list, tuple, np.ndarray)):
        raise ImageInputError(
            f"A batch must be a list, a tuple or an array, got a {type(images).__name__}.",
            hint="Give a list of images or an array N×H×W×3.",
        )
    if isinstance(images, np.ndarray) and images.ndim != 4:
        raise ImageInputError(
            f"An array of images must be N×H×W×C, got the shape {images.shape}.",
            hint="For one image, call mmdbench.corrupt.",
        )
    require_at_least("workers", workers, 1)
    given = {"name": name, "level": level, "intensity": intensity, "seed": seed}
    options = {key: _each(key, value, len(images)) for key, value in given.items()}

    def one(k: int) -> Any:
        return corrupt(images[k], profile=profile, **{key: values[k] for key, values in options.items()})

    if workers == 1:
        results = [one(k) for k in range(len(images))]
    else:
        with ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(one, range(len(images))))
    if isinstance(images, np.ndarray):
        return np.stack(results) if results else images.copy()
    return results


def _each(option: str, value: Any, count: int) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        return [value] * count
    if len(value) != count:
        raise UsageError(
            f"{option} must be one value or one for each of {count} images, got {len(value)} values."
        )
    return list(value)
