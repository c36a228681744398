"""SSIM and PSNR between images, and the intensity at which a corruption reaches a wanted SSIM.

SSIM and PSNR are scikit-image's (extra `calibrate`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdbench.corruptions import apply, image_seed, sample
from mmdbench.corruptions.images import as_rgb
from mmdbench.errors import ImageInputError, MissingExtraError
from mmdbench.system.bounds import require_above

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SsimSearch", "corrupt_to_ssim", "psnr", "ssim"]

# The intensities that the search tries first, weak to strong: fine where SSIM falls fastest.
_GRID = (0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_HALVINGS = 12


@dataclass(frozen=True, slots=True)
class SsimSearch:
    """The result of a search for the intensity that gives a wanted SSIM.

    `image` is of the input's kind, `intensity` in (0, 1], `ssim` the SSIM between input and `image`.
    `ok` is true if `ssim` is within the tolerance of the target; if not, `why` gives the reason.
    `params` make the image again with `mmdbench.corruptions.apply`; `tries` images were made.
    """

    image: Any
    intensity: float
    ssim: float
    target: float
    ok: bool
    why: str
    params: dict[str, Any]
    tries: int


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Structural similarity of two RGB images (H×W×3 uint8, equal shapes): 1 if they are equal.

    scikit-image's default: a flat window of 7×7 px, sample covariances, K = (0.01, 0.03), and the
    mean over pixels and over R, G and B. Images need at least 7 px a side. A Gaussian window (Wang
    et al. 2004) differs by up to 0.03.
    """
    metrics = _metrics()
    _check_pair(first, second)
    if min(first.shape[:2]) < 7:
        raise ImageInputError(
            f"SSIM is not defined for an image of {first.shape[1]}×{first.shape[0]} px.",
            hint="Give at least 7×7 px.",
        )
    return float(metrics.structural_similarity(first, second, channel_axis=2, data_range=255))


def psnr(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images of equal shape; infinite if they are equal."""
    metrics = _metrics()
    _check_pair(first, second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the division by a mean square of 0
        return float(metrics.peak_signal_noise_ratio(first, second, data_range=255))


def corrupt_to_ssim(
    image: Any,
    name: str,
    target_ssim: float,
    *,
    tolerance: float = 0.01,
    seed: int = 0,
    profile: str = "paper",
) -> SsimSearch:
    """Degrade an image to a wanted SSIM, by the weakest intensity that reaches it.

    Intensities are tried from weak to strong, then by halving the interval in which SSIM first falls
    below the target; layout and noise stay the same throughout. The result is the image that
    `corrupt(image, name, intensity=…, seed=…)` makes.

    Corruptions are not smooth: counts and sizes are whole numbers, so SSIM may stay above the target
    or jump across it. Then the nearest image is returned, with `ok` false and the reason.

    Args:
        image: Anything that `corrupt` takes, except a list, of at least 7×7 px. SSIM is measured on
            its RGB pixels.
        name: The corruption.
        target_ssim: The wanted SSIM, above 0 and below 1.
        tolerance: The largest difference from the target that counts as reached, above 0 and below 1.
        seed: The seed that `corrupt` takes.
        profile: "paper" or "scaled".

    Returns:
        The degraded image, its intensity and its SSIM.

    Raises:
        UsageError: The target or the tolerance is out of range.
    """
    require_above("target_ssim", target_ssim, 0, below=1)
    require_above("tolerance", tolerance, 0, below=1)
    pixels, restore = as_rgb(image)
    layout = image_seed(pixels, name, seed)
    made: dict[float, tuple[float, dict[str, Any]]] = {}

    def at(intensity: float) -> float:
        if intensity not in made:
            params = sample(name, pixels.shape, intensity=intensity, seed=layout, profile=profile)
            made[intensity] = (ssim(pixels, apply(name, pixels, params)), params)
        return made[intensity][0]

    _search(at, target_ssim, tolerance)
    best = min(made, key=lambda i: (abs(made[i][0] - target_ssim), i))
    found, params = made[best]
    ok = abs(found - target_ssim) <= tolerance
    why = "" if ok else _reason({i: value for i, (value, _) in made.items()}, target_ssim)
    return SsimSearch(
        restore(apply(name, pixels, params)), best, found, target_ssim, ok, why, params, len(made)
    )


def _search(at: Callable[[float], float], target: float, tolerance: float) -> None:
    """Call `at` until its value is near the target, or no intensity is left to try."""
    above = 0.0  # the clean picture, whose SSIM is 1
    for intensity in _GRID:
        value = at(intensity)
        if abs(value - target) <= tolerance:
            return
        if value < target:
            below = intensity
            break
        above = intensity
    else:
        return
    # Each half keeps one end above the target and one below it, so a crossing stays inside
    # even where SSIM is not monotone in between.
    for _ in range(_HALVINGS):
        middle = (above + below) / 2
        value = at(middle)
        if abs(value - target) <= tolerance:
            return
        if value < target:
            below = middle
        else:
            above = middle


def _reason(values: dict[float, float], target: float) -> str:
    lowest = min(values.values())
    if lowest > target:
        weakest = min(values, key=lambda i: (values[i], i))
        return f"The corruption does not reach it: SSIM is lowest, {lowest:.3f}, at intensity {weakest:g}."
    over = (
        min(value for value in values.values() if value >= target) if max(values.values()) >= target else 1.0
    )
    under = max(value for value in values.values() if value < target)
    return f"SSIM jumps from {over:.3f} to {under:.3f} between neighbouring intensities."


def _check_pair(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
    if first.shape != second.shape or first.dtype != np.uint8 or second.dtype != np.uint8:
        raise ImageInputError(
            f"{first.dtype} {first.shape} and {second.dtype} {second.shape} cannot be compared.",
            hint="Give two uint8 images of equal shape.",
        )


def _metrics() -> Any:
    try:
        from skimage import metrics
    except ImportError as error:
        raise MissingExtraError("scikit-image", "calibrate") from error
    return metrics
