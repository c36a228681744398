"""Random choice of a corruption and its intensity, for chains and for transforms of other libraries.

Two numbers in [0, 1) give a corruption and an intensity. The caller provides them: from a library's
own generator, or from a key made of pixels and a seed.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdbench.corruptions import apply, image_seed
from mmdbench.corruptions.definition import Corruption
from mmdbench.corruptions.images import as_rgb
from mmdbench.corruptions.operations import draw
from mmdbench.corruptions.plugins import find_name, members_of
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import IntensityError, UnknownNameError, UsageError
from mmdbench.records import LEVELS
from mmdbench.system.bounds import require_between
from mmdbench.system.digest import derive_seed, pixel_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CorruptionChoice", "DrawnCorruption", "choice_of", "keyed"]

Uniform = Callable[[], float]


@dataclass(frozen=True, slots=True)
class DrawnCorruption:
    """A corruption that was drawn; `seed` is the one that `mmdbench.corruptions.sample` takes."""

    corruption: str
    intensity: float
    seed: int
    profile: str = "paper"

    def params(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """The parameters for an image of `shape` (height, width, …) in px."""
        how: dict[str, Any] = {"intensity": self.intensity, "seed": self.seed, "profile": self.profile}
        return draw(load_spec(), self.corruption, shape[:2], **how)

    def corrupted(self, image: Any) -> Any:
        """The degraded image; `image` is anything that `corrupt` takes, except a list."""
        pixels, restore = as_rgb(image)
        return restore(apply(self.corruption, pixels, self.params(pixels.shape)))


@dataclass(frozen=True, slots=True)
class CorruptionChoice:
    """Corruptions to draw one from, by their weights in the release, and intensities to draw one from.

    `intensities` are values of equal probability or, if `is_span`, the two ends of a uniform range.
    `p` is the probability, from 0 to 1, that an image is degraded at all. Create it with `choice_of`,
    which checks.
    """

    corruptions: tuple[str, ...]
    intensities: tuple[float, ...]
    is_span: bool
    p: float = 1.0
    profile: str = "paper"

    def draw(self, uniform: Uniform) -> tuple[str, float]:
        """A corruption and an intensity, from exactly two calls of `uniform` (numbers in [0, 1))."""
        known = load_spec().corruptions
        weights = list(itertools.accumulate(known[name].release_weight for name in self.corruptions))
        name = self.corruptions[_position(weights, uniform())]
        point = uniform()
        if self.is_span:
            low, high = self.intensities
            return name, low + (high - low) * point
        return name, self.intensities[min(int(point * len(self.intensities)), len(self.intensities) - 1)]

    def for_image(self, pixels: NDArray[np.uint8], seed: int = 0) -> DrawnCorruption | None:
        """The corruption drawn for an image (RGB H×W×3 uint8) and a seed; None with probability 1 − `p`.

        It depends on nothing else. With one corruption and one intensity it gives the image that
        `corrupt` makes.
        """
        digest = pixel_digest(pixels)
        uniform = keyed("choice", digest, int(seed))
        if uniform() >= self.p:
            return None
        name, intensity = self.draw(uniform)
        return DrawnCorruption(name, intensity, image_seed(digest, name, seed), self.profile)

    def for_key(self, *key: str | int) -> DrawnCorruption | None:
        """The corruption drawn for a key of texts and whole numbers; None with probability 1 − `p`."""
        uniform = keyed("choice", *key)
        if uniform() >= self.p:
            return None
        name, intensity = self.draw(uniform)
        return DrawnCorruption(name, intensity, derive_seed("layout", *key), self.profile)


def _position(cumulative: Sequence[float], point: float) -> int:
    return min(bisect.bisect_right(cumulative, point * cumulative[-1]), len(cumulative) - 1)


def keyed(*key: str | int) -> Uniform:
    """A function whose k-th call returns a number in [0, 1) that follows from the key and k alone."""
    counter = itertools.count()
    return lambda: derive_seed(*key, next(counter)) / 2**32


def choice_of(
    corruptions: str | Corruption | Sequence[str | Corruption] | None = None,
    *,
    level: str | Sequence[str] | None = None,
    intensity: float | Sequence[float] | None = None,
    p: float = 1.0,
    profile: str = "paper",
) -> CorruptionChoice:
    """Create a checked `CorruptionChoice`.

    Give at most one of `level` and `intensity`; without either, intensities are drawn from low to hard.

    Args:
        corruptions: A corruption, a category, a set, `all`, or several of these; None for the paper's.
        level: One or several of "low", "mid" and "hard", drawn with equal probability.
        intensity: A number in [0, 1], or the two ends of a range.
        p: The probability that an image is degraded at all, from 0 to 1.
        profile: "paper" or "scaled".

    Returns:
        The choice.

    Raises:
        UnknownNameError: There is no such corruption, category, level or profile.
        IntensityError: The intensity is out of range.
        UsageError: `p` is out of range, both level and intensity are given, or no corruption is.

    >>> choice_of("capture", level="mid").corruptions
    ('lens_blur', 'lens_flare', 'motion_blur', 'dirty_lens', 'hsv_saturation')
    """
    load_spec().profile(profile)
    names = _names(corruptions)
    require_between("The probability p", p, 0, 1)
    if level is not None and intensity is not None:
        raise UsageError("Give at most one of level and intensity, got both.")
    span = intensity is None or not isinstance(intensity, (int, float))
    if level is not None:
        values, span = _levels(level, names), False
    elif intensity is None:
        values = _levels((LEVELS[0], LEVELS[-1]), names)
    else:
        values = _intensities(intensity)
    return CorruptionChoice(names, values, span, float(p), profile)


def _names(given: str | Corruption | Sequence[str | Corruption] | None) -> tuple[str, ...]:
    spec = load_spec()
    names: dict[str, None] = {}
    wanted = (given,) if isinstance(given, (str, Corruption)) else spec.shipped if given is None else given
    for one in wanted:
        names |= dict.fromkeys(members_of(one) or [find_name(one)])
    if not names:
        raise UsageError("corruptions must name at least one, got none.", hint="Give None for all.")
    return tuple(names)


def _levels(given: str | Sequence[str], corruptions: Sequence[str]) -> tuple[float, ...]:
    """The intensities of levels, which must be the same in the sets of all the corruptions."""
    levels = (given,) if isinstance(given, str) else tuple(given)
    for level in levels or ("",):
        if level not in LEVELS:
            raise UnknownNameError("level", level, LEVELS)
    spec = load_spec()
    found = {tuple(spec.intensity(level, name) for level in levels) for name in corruptions}
    if len(found) > 1:
        raise UsageError(
            "A level has several intensities here, as the corruptions are of several sets.",
            hint="Give an intensity, or corruptions of one set.",
        )
    return found.pop()


def _intensities(given: float | Sequence[float]) -> tuple[float, ...]:
    ends = (given,) if isinstance(given, (int, float)) else tuple(given)
    good = all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) and 0 <= v <= 1
        for v in ends
    )
    single = isinstance(given, (int, float))
    if not good or (not single and (len(ends) != 2 or ends[0] > ends[1])):
        raise IntensityError(
            f"The intensity must be a number in [0, 1] or the two ends of a range, got {given!r}.",
            hint="Give for example intensity=0.45 or intensity=(0.2, 0.9).",
        )
    return tuple(float(v) for v in ends)
