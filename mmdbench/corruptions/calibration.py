"""Measured severity of the corruptions: SSIM and PSNR per level and image size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdbench.corruptions import corrupt, get_corruption_names
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.corruptions.severity import psnr, ssim
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UsageError
from mmdbench.records import LEVELS
from mmdbench.system.bounds import require_at_least

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Calibration",
    "CalibrationSettings",
    "Effect",
    "Flag",
    "calibrate",
    "resized",
    "to_json",
    "to_markdown",
]

SIZES = (224, 512, 1024)
"""Short sides in px: a model's input, the size of many benchmarks, a photograph on a screen."""

# Differences below these are about as small as the uncertainty of the metrics.
_SAME = 0.005
_SAME_DB = 0.2
_FLAT = 0.02


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one corruption at one level and size, averaged over images.

    `ssim` is the mean in [-1, 1]; `psnr_db` the mean in dB over the images that changed, None if
    none did; `size` the short side in px; `unchanged` of the `images` were not changed.
    """

    corruption: str
    level: str
    size: int
    ssim: float
    psnr_db: float | None
    images: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Flag:
    """A weakness of a corruption's levels: `kind` is "not monotone", "flat" or "no effect"."""

    corruption: str
    size: int
    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """The measurement: effects, flags, and what they were measured with.

    `left_out` are the sizes that no image has.
    """

    effects: tuple[Effect, ...]
    flags: tuple[Flag, ...]
    images: tuple[str, ...]
    enlarged: Mapping[int, int]
    profile: str
    seed: int
    spec_version: str
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """Options of `calibrate`.

    `sizes` are short sides in px, at least 7; `names` are corruptions, as
    `use_corruptions` takes them, all of mmdbench if empty. An image smaller
    than a size is left out there, or with `enlarge` enlarged: it then lacks fine detail, and its SSIM
    is a little higher than that of a photograph of the size. `seed` and `profile` are those of `corrupt`.
    """

    sizes: Sequence[int] = SIZES
    names: Sequence[str] = ()
    profile: str = "paper"
    seed: int = 0
    enlarge: bool = False


def calibrate(
    images: Mapping[str, NDArray[np.uint8]],
    settings: CalibrationSettings | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Measure corruptions at every level on images brought to several sizes.

    Args:
        images: RGB pixels (H×W×3 uint8) by name.
        settings: Sizes, corruptions and the like; by default three sizes and all corruptions.
        on_progress: Called with a line of text before each corruption and size.

    Returns:
        The measurement.

    Raises:
        UsageError: No image is left for any size.
    """
    settings = settings or CalibrationSettings()
    names = use_corruptions(settings.names) or get_corruption_names()
    spec = load_spec()
    spec.profile(settings.profile)
    sizes, left_out = _fitting(images, settings)
    effects: list[Effect] = []
    enlarged = {}
    for size in sizes:
        pictures, enlarged[size] = _pictures(images, size, settings.enlarge)
        for name in names:
            on_progress(f"{size} px, {name}")
            effects += _measured(pictures, name, size, settings)
    flags = tuple(flag for size in sizes for name in names for flag in _flags(effects, name, size))
    measured = (settings.profile, settings.seed, spec.version_of(names[0]), left_out)
    return Calibration(tuple(effects), flags, tuple(images), enlarged, *measured)


def _fitting(
    images: Mapping[str, NDArray[np.uint8]], settings: CalibrationSettings
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The sizes that an image has, and those that none has. Raises UsageError if no size fits."""
    for size in settings.sizes:
        require_at_least("The short side, in px,", size, 7)  # SSIM's window
    largest = max((min(pixels.shape[:2]) for pixels in images.values()), default=0)
    fitting = tuple(size for size in settings.sizes if images and (settings.enlarge or size <= largest))
    if not fitting:
        wanted = ", ".join(map(str, settings.sizes))
        raise UsageError(
            f"No picture has a short side of {wanted} px; the largest has {largest} px.",
            hint="Give larger pictures, another --size, or --enlarge.",
        )
    return fitting, tuple(size for size in settings.sizes if size not in fitting)


def resized(pixels: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """The image with this short side in px, by Lanczos resampling."""
    from PIL import Image

    height, width = pixels.shape[:2]
    factor = short_side / min(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _pictures(
    images: Mapping[str, NDArray[np.uint8]], size: int, enlarge: bool
) -> tuple[list[NDArray[np.uint8]], int]:
    small = [name for name, pixels in images.items() if min(pixels.shape[:2]) < size]
    kept = [resized(pixels, size) for name, pixels in images.items() if enlarge or name not in small]
    return kept, len(small) if enlarge else 0


def _measured(
    pictures: Sequence[NDArray[np.uint8]], name: str, size: int, settings: CalibrationSettings
) -> Iterator[Effect]:
    for level in LEVELS:
        ssims, psnrs = [], []
        for pixels in pictures:
            degraded = corrupt(pixels, name, level=level, profile=settings.profile, seed=settings.seed)
            ssims.append(ssim(pixels, degraded))
            psnrs.append(psnr(pixels, degraded))
        changed = [value for value in psnrs if math.isfinite(value)]
        mean = float(np.mean(changed)) if changed else None
        yield Effect(
            name, level, size, float(np.mean(ssims)), mean, len(pictures), len(pictures) - len(changed)
        )


def _flags(effects: Sequence[Effect], name: str, size: int) -> Iterator[Flag]:
    ladder = [effect for effect in effects if (effect.corruption, effect.size) == (name, size)]
    steps = ", ".join(f"{effect.level} {effect.ssim:.3f}" for effect in ladder)
    for measure, show in (("SSIM", _ssim_text), ("PSNR", _psnr_text)):
        rising = [
            f"{after.level} is milder than {before.level}"
            for before, after in itertools.pairwise(ladder)
            if _milder(before, after, measure)
        ]
        if rising:
            values = ", ".join(f"{effect.level} {show(effect)}" for effect in ladder)
            yield Flag(name, size, "not monotone", f"{'; '.join(rising)} ({measure} {values})")
    if ladder and abs(ladder[0].ssim - ladder[-1].ssim) < _FLAT:
        yield Flag(name, size, "flat", f"low and hard are nearly the same (SSIM {steps})")
    without_effect = [effect for effect in ladder if effect.unchanged]
    if without_effect:
        what = ", ".join(f"{e.unchanged} of {e.images} at {e.level}" for e in without_effect)
        yield Flag(name, size, "no effect", f"images that stay as they are: {what}")


def _milder(before: Effect, after: Effect, measure: str) -> bool:
    if measure == "SSIM":
        return after.ssim > before.ssim + _SAME
    before_db, after_db = (math.inf if e.psnr_db is None else e.psnr_db for e in (before, after))
    return after_db > before_db + _SAME_DB


def to_json(calibration: Calibration) -> dict[str, Any]:
    """The measurement as JSON-able values."""
    found = asdict(calibration)
    found["enlarged"] = {str(size): count for size, count in calibration.enlarged.items()}
    return {"format": "mmdbench.calibration/1", **found}


def to_markdown(calibration: Calibration) -> str:
    """The measurement as a page: SSIM, then PSNR, a row per corruption, three columns per size."""
    sizes = list(dict.fromkeys(effect.size for effect in calibration.effects))
    cells = {(e.corruption, e.size, e.level): e for e in calibration.effects}
    names = list(dict.fromkeys(effect.corruption for effect in calibration.effects))
    lines = ["# Measured severity", "", _origin(calibration), ""]
    for title, show in (("SSIM to the clean image", _ssim_text), ("PSNR in dB", _psnr_text)):
        head = [f"{size} px {level}" for size in sizes for level in LEVELS]
        lines += [f"## {title}", "", f"| corruption | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        lines += [
            f"| {name} | {' | '.join(show(cells[name, size, level]) for size in sizes for level in LEVELS)} |"
            for name in names
        ]
        lines += [""]
    lines += ["## Ladders to be careful with", ""]
    lines += [f"- {f.corruption}, {f.size} px, {f.kind}: {f.what}." for f in calibration.flags] or ["None."]
    return "\n".join(lines) + "\n"


def _origin(calibration: Calibration) -> str:
    count = len(calibration.images)
    text = (
        f"Written by `mmdbench calibrate` from {count} picture{'s' * (count != 1)}, profile "
        f"`{calibration.profile}`, seed {calibration.seed}, spec version {calibration.spec_version}. "
        "Sizes are short sides in pixels. SSIM is 1 and PSNR infinite where nothing has changed."
    )
    text += f" Pictures: {', '.join(Path(name).name for name in calibration.images)}."
    grown = [f"{n} of {count} at {size} px" for size, n in calibration.enlarged.items() if n]
    if grown:
        text += (
            f" Enlarged from smaller pictures: {', '.join(grown)}; "
            "they lack fine detail, so SSIM is a little high there."
        )
    return text


def _ssim_text(effect: Effect) -> str:
    return f"{effect.ssim:.3f}"


def _psnr_text(effect: Effect) -> str:
    return "–" if effect.psnr_db is None else f"{effect.psnr_db:.1f}"
