"""`corrupt`, `sample`, `apply`: from names and levels to the functions that do it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdbench.corruptions._opencv import check_opencv
from mmdbench.corruptions._params import checked
from mmdbench.corruptions._random import Stream
from mmdbench.corruptions._registry import REGISTRY
from mmdbench.corruptions.images import opened
from mmdbench.corruptions.spec import Spec
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ImageInputError, IntensityError, UnknownNameError, UsageError
from mmdbench.records import LEVELS
from mmdbench.system.digest import derive_seed, pixel_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["apply", "corrupt", "draw", "get_corruption_names", "image_seed", "sample"]


def get_corruption_names(subset: str = "all") -> list[str]:
    """The names of the corruptions of a subset, in the spec's order.

    `subset` is "all", a category ("capture", "transmission", "environmental", "post_processing"),
    "stochastic" (something is drawn at random) or "deterministic".

    >>> get_corruption_names("environmental")
    ['dark_illumination', 'atmospheric_turbulence', 'gaussian_noise', 'color_diffusion']
    """
    spec = load_spec()
    if subset == "all":
        return list(spec.corruptions)
    if subset in ("stochastic", "deterministic"):
        return [
            name for name, entry in spec.corruptions.items() if entry.stochastic == (subset == "stochastic")
        ]
    if subset in spec.categories:
        return [name for name, entry in spec.corruptions.items() if entry.category == subset]
    raise UnknownNameError("subset", subset, ["all", *spec.categories, "stochastic", "deterministic"])


def corrupt(
    image: Any,
    name: str | None = None,
    *,
    level: str | None = None,
    intensity: float | None = None,
    seed: int = 0,
    profile: str = "paper",
    corruption_name: str | None = None,
    severity: str | int | None = None,
) -> Any:
    """Degrade an image, or each image of a list; the same (pixels, name, seed) give the same picture.

    `image` is a `PIL.Image` of any 8-bit mode or a uint8 array H×W, H×W×1, H×W×3 (RGB) or H×W×4,
    from 1×1 to 32,767 px a side; a list or tuple of these gives a list. The result has the type,
    mode, shape and dtype of the input, alpha untouched; the input is not changed. Grey is computed
    as three equal channels and brought back as PIL's "L" is; PIL images are corrupted as RGB.

    Give exactly one of `level` ("low", "mid", "hard"), `intensity` in (0, 1] or `severity` (a level
    or 1..3). `corruption_name` is another name for `name`. `profile` is "paper" (lengths in px, as
    published) or "scaled" (lengths in proportion to the image). The level is not part of what
    seeds the drawing: low, mid and hard share layout and noise.

    UnknownNameError, IntensityError and ImageInputError say what to do; ImageDecodeError is for a
    PIL image whose file turns out to be broken.
    """
    chosen = _one_name(name, corruption_name)
    level = _one_level(level, intensity, severity)
    if isinstance(image, (list, tuple)):
        return [
            corrupt(one, chosen, level=level, intensity=intensity, seed=seed, profile=profile)
            for one in image
        ]
    pixels, restore = opened(image)
    drawn = sample(
        chosen,
        pixels.shape,
        level=level,
        intensity=intensity,
        seed=image_seed(pixels, chosen, seed),
        profile=profile,
    )
    return restore(_applied(chosen, pixels, drawn))


def image_seed(image: NDArray[np.uint8] | str, name: str, seed: int = 0) -> int:
    """The seed that `corrupt` gives to `sample` for an image, from 0 to 2³²−1.

    `image` is the RGB pixels (H×W×3 uint8) or their `pixel_digest`.
    """
    _check_seed(seed)
    load_spec().corruption(name)
    digest = image if isinstance(image, str) else pixel_digest(image)
    return derive_seed(digest, name, int(seed))


def sample(
    name: str,
    shape: tuple[int, ...],
    *,
    level: str | None = None,
    intensity: float | None = None,
    seed: int = 0,
    profile: str = "paper",
) -> dict[str, Any]:
    """Draw the parameters of a corruption: JSON-able, every number that the picture depends on.

    `shape` is (height, width) or (height, width, channels) in px. Give `level` or `intensity`.
    Feed the result to `apply`.
    """
    return draw(load_spec(), name, shape, level=level, intensity=intensity, seed=seed, profile=profile)


def draw(
    spec: Spec,
    name: str,
    shape: tuple[int, ...],
    *,
    level: str | None = None,
    intensity: float | None = None,
    seed: int = 0,
    profile: str = "paper",
) -> dict[str, Any]:
    """What `sample` does, by the numbers of the spec given."""
    spec.corruption(name)
    _check_seed(seed)
    level = _one_level(level, intensity, None)
    strength = spec.intensities[level] if level is not None else _checked_intensity(intensity)
    size = _size(shape)
    return REGISTRY[name].sample(spec.values(name, strength, size, profile), size, Stream(name, int(seed)))


def apply(name: str, image: Any, params: Any) -> Any:
    """Make the degraded image from recorded parameters; a pure function of its arguments.

    `image` is anything that `corrupt` takes, except a list; the result is of the same kind.
    ParamsError names a missing, unknown or ill-typed parameter.
    """
    load_spec().corruption(name)
    pixels, restore = opened(image)
    return restore(_applied(name, pixels, params))


def _applied(name: str, pixels: NDArray[np.uint8], params: Any) -> NDArray[np.uint8]:
    check_opencv()
    corruption = REGISTRY[name]
    if corruption.published and isinstance(params, dict):
        numbers = load_spec().corruption(name).numbers
        params = {**{key: numbers[key].at(1.0) for key in corruption.published}, **params}
    return corruption.apply(pixels, checked(name, corruption.fields, params))


def _one_name(name: str | None, corruption_name: str | None) -> str:
    if (name is None) == (corruption_name is None):
        raise UsageError(
            "Give the corruption's name once." if name is not None else "The corruption's name is missing.",
            hint="For example corrupt(image, 'motion_blur', level='hard'). See: mmdbench list corruptions",
        )
    chosen = name if name is not None else corruption_name
    load_spec().corruption(chosen)  # type: ignore[arg-type]  # the line above leaves no None
    return str(chosen)


def _one_level(level: object, intensity: object, severity: object) -> str | None:
    """The level, checked, or None where an intensity is given instead."""
    if sum(given is not None for given in (level, intensity, severity)) != 1:
        given = [
            key
            for key, v in (("level", level), ("intensity", intensity), ("severity", severity))
            if v is not None
        ]
        raise UsageError(
            "How strong the corruption is, is said "
            + (f"by {' and '.join(given)}." if given else "nowhere."),
            hint="Give exactly one of level='low'|'mid'|'hard', intensity in (0, 1], severity=1|2|3.",
        )
    if intensity is not None:
        _checked_intensity(intensity)
        return None
    if severity is not None and not isinstance(severity, str):
        whole = isinstance(severity, (int, np.integer)) and not isinstance(severity, bool)
        if not whole or severity not in (1, 2, 3):
            raise IntensityError(
                f"The severity {severity!r} is not 1, 2 or 3.", hint="1 is low, 2 is mid, 3 is hard."
            )
        return LEVELS[int(severity) - 1]
    name = level if level is not None else severity
    if name not in LEVELS:
        raise UnknownNameError("level", name, LEVELS)
    return str(name)


def _checked_intensity(intensity: object) -> float:
    if isinstance(intensity, (bool, np.bool_)) or not isinstance(
        intensity, (int, float, np.integer, np.floating)
    ):
        raise IntensityError(f"The intensity {intensity!r} is not a number.", hint="Give a number in (0, 1].")
    if not math.isfinite(intensity) or not 0 < intensity <= 1:
        raise IntensityError(
            f"The intensity {intensity!r} is not in (0, 1].", hint="Low, mid and hard are 0.23, 0.45 and 0.9."
        )
    return float(intensity)


def _check_seed(seed: object) -> None:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise UsageError(f"The seed {seed!r} is not a whole number.", hint="Give for example seed=0.")


def _size(shape: Any) -> tuple[int, int]:
    good = isinstance(shape, (tuple, list)) and len(shape) in (2, 3)
    if not good or not all(isinstance(n, (int, np.integer)) and n >= 1 for n in shape[:2]):
        raise ImageInputError(
            f"{shape!r} is not the shape of an image.", hint="Give (height, width), each at least 1."
        )
    return int(shape[0]), int(shape[1])
