"""The corruptions by name: drawing their parameters and applying them, with checked arguments."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdbench.corruptions import capture, environmental, post_processing, transmission
from mmdbench.corruptions._random import Stream
from mmdbench.corruptions.definition import Corruption
from mmdbench.corruptions.images import as_rgb
from mmdbench.corruptions.installed import set_names
from mmdbench.corruptions.params import check_params
from mmdbench.corruptions.plugins import find_name, members_of
from mmdbench.corruptions.spec import Spec
from mmdbench.corruptions.spec_file import ADDED, load_spec, shipped_spec
from mmdbench.errors import ImageInputError, IntensityError, SpecError, UnknownNameError, UsageError
from mmdbench.records import LEVELS
from mmdbench.system.digest import derive_seed, pixel_digest
from mmdbench.system.opencv import check_opencv

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["apply", "corrupt", "draw", "find_corruption", "get_corruption_names", "image_seed", "sample"]

_SUBSETS = ("all", "stochastic", "deterministic")
_MODULES = (capture, transmission, environmental, post_processing)


def get_corruption_names(subset: str = "all") -> list[str]:
    """The names of the corruptions of a subset, in the spec's order.

    `subset` is "all" (of the paper's sixteen), a category ("capture", "transmission", "environmental",
    "post_processing"), "stochastic" (something is drawn at random), "deterministic", another set
    ("everyday"), or a category of it ("everyday.capture").

    >>> get_corruption_names("environmental")
    ['dark_illumination', 'atmospheric_turbulence', 'gaussian_noise', 'color_diffusion']
    """
    spec = shipped_spec()
    if found := members_of(subset):
        return found
    if subset in ("stochastic", "deterministic"):
        return [
            name for name, entry in spec.corruptions.items() if entry.stochastic == (subset == "stochastic")
        ]
    raise UnknownNameError("subset", subset, [*_SUBSETS, *spec.categories, *set_names()])


def corrupt(
    image: Any,
    name: str | Corruption | None = None,
    *,
    level: str | None = None,
    intensity: float | None = None,
    seed: int = 0,
    profile: str = "paper",
    corruption_name: str | None = None,
    severity: str | int | None = None,
) -> Any:
    """Degrade an image, or each image of a list; equal arguments give equal pixels.

    Give exactly one of `level`, `intensity` and `severity`. The random numbers depend on the pixels, the
    name and the seed only: at low, mid and hard, layout and noise are the same.

    Args:
        image: A `PIL.Image` of any 8-bit mode or a uint8 array H×W, H×W×1, H×W×3 (RGB) or H×W×4, from
            1×1 to 32,766 px a side; or a list or tuple of these. It is not changed.
        name: The corruption, for example "motion_blur"; one of an installed package; or a function with a
            stanza that `@corruption` decorates.
        level: "low", "mid" or "hard".
        intensity: A number in (0, 1].
        seed: A whole number.
        profile: "paper" (lengths in px, as published) or "scaled" (lengths in proportion to the image).
        corruption_name: Another name for `name`.
        severity: A level or its number, 1 to 3.

    Returns:
        The degraded image, with the type, mode, shape, dtype and alpha of the input; for a list or
        tuple, a list. It is computed in RGB; a grey image is converted back to grey as PIL does it. A PIL
        image is degraded as it is seen, upright by its EXIF orientation, and returned as it is stored, with
        its orientation and ICC profile, which the result's `save` writes.

    Raises:
        UnknownNameError: There is no such corruption, level or profile.
        IntensityError: The intensity or severity is out of range.
        ImageInputError: The image is none of the kinds above.
        ImageDecodeError: A PIL image cannot be decoded from its file.
    """
    chosen = _one_name(name, corruption_name)
    strength = _one_intensity(chosen, level, intensity, severity)
    if isinstance(image, (list, tuple)):
        return [corrupt(one, chosen, intensity=strength, seed=seed, profile=profile) for one in image]
    pixels, restore = as_rgb(image)
    _check_seed(seed)
    values = load_spec().values(chosen, strength, pixels.shape[:2], profile)
    # Where nothing is drawn, the pixels are not hashed for a seed.
    rng = Stream(chosen, lambda: image_seed(pixels, chosen, seed))
    params = find_corruption(load_spec(), chosen).sample(values, rng)
    return restore(_applied(chosen, pixels, params))


def image_seed(image: NDArray[np.uint8] | str, name: str, seed: int = 0) -> int:
    """The seed with which `corrupt` draws the parameters for an image.

    Args:
        image: RGB pixels (H×W×3 uint8) or their `pixel_digest`.
        name: The corruption.
        seed: The seed that `corrupt` was given.

    Returns:
        A number from 0 to 2³²−1.
    """
    _check_seed(seed)
    find_name(name)
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
    """Draw the parameters of a corruption by the shipped spec, at a level or an intensity, for `apply`.

    Args:
        name: The corruption.
        shape: (height, width) or (height, width, channels) of the image in px.
        level: "low", "mid" or "hard"; give it or `intensity`.
        intensity: A number in (0, 1].
        seed: A whole number.
        profile: "paper" or "scaled".

    Returns:
        Every number that the degraded image depends on, JSON-able.
    """
    find_name(name)
    spec = load_spec()
    strength = _one_intensity(name, level, intensity, None)
    return draw(spec, name, shape, intensity=strength, seed=seed, profile=profile)


def draw(
    spec: Spec, name: str, shape: tuple[int, ...], *, intensity: float, seed: int = 0, profile: str = "paper"
) -> dict[str, Any]:
    """Draw the parameters of a corruption by any spec, for example a calibrated one, at an intensity.

    At an intensity of 0 every formula has a value, which leaves most pictures as they are (not those under
    scan_lines, sharpness_change and motion_blur).

    Args:
        spec: The spec with the corruption's ranges.
        name: The corruption.
        shape: (height, width) or (height, width, channels) of the image in px.
        intensity: A number in [0, 1].
        seed: A whole number.
        profile: "paper" or "scaled".

    Returns:
        Every number that the degraded image depends on, JSON-able.
    """
    corruption = find_corruption(spec, name)
    _check_seed(seed)
    values = spec.values(name, _checked_intensity(intensity, zero=True), _size(shape), profile)
    return corruption.sample(values, Stream(name, int(seed)))


def apply(name: str, image: Any, params: Any) -> Any:
    """Degrade an image with recorded parameters; nothing is drawn at random.

    Args:
        name: The corruption.
        image: An image of any kind that `corrupt` takes, but no list.
        params: The result of `sample` or `draw`.

    Returns:
        The degraded image, of the same kind as `image`.

    Raises:
        ParamsError: A parameter is missing, unknown or ill-typed.
    """
    find_name(name)
    pixels, restore = as_rgb(image)
    return restore(_applied(name, pixels, params))


def _applied(name: str, pixels: NDArray[np.uint8], params: Any) -> NDArray[np.uint8]:
    check_opencv()
    corruption = find_corruption(load_spec(), name)
    if isinstance(params, dict):
        numbers = load_spec().corruption(name).numbers
        published = {key: numbers[key].at(1.0) for key, field in corruption.fields.items() if field.published}
        params = {**published, **params}
    return corruption.apply(pixels, check_params(name, corruption.fields, params))


def _one_name(name: str | Corruption | None, corruption_name: str | None) -> str:
    if (name is None) == (corruption_name is None):
        raise UsageError(
            f"Give exactly one of name and corruption_name, got {'both' if name is not None else 'neither'}.",
            hint="For example corrupt(image, 'motion_blur', level='hard'). See: mmdbench list corruptions",
        )
    chosen = name if name is not None else corruption_name
    return find_name(chosen)  # type: ignore[arg-type]  # the check above leaves no None


def _one_intensity(corruption: str, level: object, intensity: object, severity: object) -> float:
    """The intensity that exactly one of the three gives."""
    given = {"level": level, "intensity": intensity, "severity": severity}
    given = {key: value for key, value in given.items() if value is not None}
    if len(given) != 1:
        raise UsageError(
            f"Give exactly one of level, intensity and severity, got {' and '.join(given) or 'none'}.",
            hint="For example level='hard' (or 'low', 'mid'), intensity=0.9 (0 to 1) or severity=3 (1 to 3).",
        )
    if intensity is not None:
        return _checked_intensity(intensity)
    if severity is not None and not isinstance(severity, str):
        whole = isinstance(severity, (int, np.integer)) and not isinstance(severity, bool)
        if not whole or severity not in (1, 2, 3):
            raise IntensityError(
                f"The severity must be 1, 2 or 3, got {severity!r}.", hint="1 is low, 2 is mid, 3 is hard."
            )
        return load_spec().intensity(LEVELS[int(severity) - 1], corruption)
    name = level if level is not None else severity
    if name not in LEVELS:
        raise UnknownNameError("level", name, LEVELS)
    return load_spec().intensity(str(name), corruption)


def _checked_intensity(intensity: object, *, zero: bool = False) -> float:
    number = isinstance(intensity, Real) and not isinstance(intensity, bool)
    if not number or not 0 <= float(intensity) <= 1 or (not zero and intensity == 0):  # type: ignore[arg-type]
        raise IntensityError(
            f"The intensity must be a number in {'[' if zero else '('}0, 1], got {intensity!r}.",
            hint="Low, mid and hard are 0.23, 0.45 and 0.9.",
        )
    return float(intensity)  # type: ignore[arg-type]


def _check_seed(seed: object) -> None:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise UsageError(f"The seed must be a whole number, got {seed!r}.", hint="Give for example seed=0.")


def _size(shape: Any) -> tuple[int, int]:
    good = isinstance(shape, (tuple, list)) and len(shape) in (2, 3)
    if not good or not all(isinstance(n, (int, np.integer)) and n >= 1 for n in shape[:2]):
        raise ImageInputError(
            f"The shape must be (height, width) or (height, width, channels) in px, got {shape!r}."
        )
    return int(shape[0]), int(shape[1])


def find_corruption(spec: Spec, name: str) -> Corruption:
    """The functions of a corruption.

    Raises UnknownNameError if the spec does not have it, SpecError if any stanza of the spec has no
    decorated functions or the other way round.
    """
    if spec.corruption(name).code:
        return ADDED[name].functions
    defined = _defined()
    for one in defined.keys() - spec.corruptions.keys():
        raise SpecError(
            f"{defined[one].module} defines the corruption {one!r}, which the spec does not have.",
            hint="Add a stanza with its numbers to corruptions_spec.yaml.",
        )
    for one in set(spec.shipped) - defined.keys():
        raise SpecError(
            f"The spec has the corruption {one!r}, which no function defines.",
            hint=f"Add a function {one} with @corruption to the module of its category.",
        )
    return defined[name]


@cache
def _defined() -> Mapping[str, Corruption]:
    found = [value for module in _MODULES for value in vars(module).values() if isinstance(value, Corruption)]
    return {corruption.name: corruption for corruption in found}
