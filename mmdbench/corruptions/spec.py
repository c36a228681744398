"""The numbers of every corruption, as values; `spec_file` reads them from `corruptions_spec.yaml`."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mmdbench.corruptions.formula import evaluate, uses_intensity
from mmdbench.errors import UnknownNameError
from mmdbench.records import PAPER_SET, chain_steps
from mmdbench.system.digest import value_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["CorruptionSpec", "NumberSpec", "ProfileSpec", "SetSpec", "Spec", "Values"]

_LONGEST_SHAPE = 256
"""The length in short sides from which on counts grow no more: thin strips would get millions of shapes."""


@dataclass(frozen=True, slots=True)
class NumberSpec:
    """One number of a corruption: a formula of the intensity, the two ends of a range, or a constant.

    One that is calibrated has no formula but `points`, pairs of intensity and value from intensity 0 to 1,
    and is linear between them.
    """

    name: str
    unit: str
    formulas: tuple[str | float, ...]
    constant: Any = None
    scale: str = ""
    minimum: float | None = None
    points: tuple[tuple[float, float], ...] = ()

    @property
    def is_range(self) -> bool:
        """True if the number is drawn between two ends, both included."""
        return len(self.formulas) == 2

    @property
    def depends_on_intensity(self) -> bool:
        """True if the number differs between levels."""
        return bool(self.points) or any(uses_intensity(formula) for formula in self.formulas)

    def at(self, intensity: float) -> Any:
        """The published value at an intensity: a number, a (low, high) pair, or the constant."""
        if self.constant is not None:
            return self.constant
        if self.points:
            return _between(self.points, intensity)
        values = tuple(evaluate(formula, intensity) for formula in self.formulas)
        return values if self.is_range else values[0]


@dataclass(frozen=True, slots=True)
class SetSpec:
    """A set of corruptions beside the paper's: its name, version, digest, and the intensities of its levels.

    Its members are named `set.corruption`.
    """

    name: str
    version: str
    digest: str
    intensities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CorruptionSpec:
    """One corruption: its source, its meaning, its random parameters, and its numbers.

    One from outside the package has a digest of its `code`, and `look`, its look in a few words. `loses`
    names the kinds of questions that cannot be answered any more (`lost_answers`).
    """

    name: str
    category: str
    source: str
    meaning: str
    random: tuple[str, ...]
    release_weight: float
    numbers: Mapping[str, NumberSpec]
    look: str = ""
    code: str = ""
    loses: tuple[str, ...] = ()
    of_set: SetSpec | None = None

    @property
    def stochastic(self) -> bool:
        """True if any parameter is drawn at random."""
        return bool(self.random)


@dataclass(frozen=True, slots=True)
class ProfileSpec:
    """A rule for lengths; `reference_side`, in px, is None if lengths do not depend on the image."""

    name: str
    meaning: str
    reference_side: float | None


@dataclass(frozen=True, slots=True)
class Values:
    """A corruption's numbers at one intensity and profile, for an image of `size` = (height, width) in px."""

    numbers: Mapping[str, Any]
    size: tuple[int, int]

    def number(self, name: str) -> float:
        """A plain number."""
        return float(self.numbers[name])

    def integer(self, name: str) -> int:
        """A whole number."""
        return int(self.numbers[name])

    def truth(self, name: str) -> bool:
        """A boolean."""
        return bool(self.numbers[name])

    def span(self, name: str) -> tuple[int, int]:
        """The two whole ends of a range, both included."""
        low, high = self.numbers[name]
        return int(low), int(high)

    def constant(self, name: str) -> Any:
        """A value that is not a formula."""
        return self.numbers[name]


@dataclass(frozen=True, slots=True)
class Spec:
    """The whole spec; `digest` follows from its content, `version` is raised when a pixel changes.

    `corruptions` may hold some from outside the package; version and digest are not about those.
    """

    version: str
    digest: str
    intensities: Mapping[str, float]
    shared_field: bool
    profiles: Mapping[str, ProfileSpec]
    categories: Mapping[str, str]
    corruptions: Mapping[str, CorruptionSpec]

    @property
    def shipped(self) -> tuple[str, ...]:
        """The names of the package's own corruptions: what designs draw from if none are named."""
        return tuple(name for name, entry in self.corruptions.items() if not entry.code)

    @property
    def types(self) -> tuple[str, ...]:
        """The names that a run with this spec may be about: not the paper's, if some are of another set."""
        of_a_set = any(entry.of_set for entry in self.corruptions.values())
        return tuple(name for name, entry in self.corruptions.items() if entry.code or not of_a_set)

    def record(self, names: Iterable[str]) -> dict[str, Any]:
        """The manifest's record of the spec, and of those of these corruptions that are from outside."""
        steps = dict.fromkeys(step for name in names for step in chain_steps(name))
        added = {name: entry for name in steps if (entry := self.corruption(name)).code}
        if not added:
            return {"version": self.version, "digest": self.digest}
        codes = {name: entry.code for name, entry in added.items()}
        described = {
            name: {"category": entry.category, "meaning": entry.meaning, "code": entry.code}
            for name, entry in added.items()
        }
        of = next((entry.of_set for entry in added.values() if entry.of_set), None)
        digest = value_digest([(of or self).digest, codes])
        found = {"version": (of or self).version, "digest": digest, "corruptions": described}
        return {"set": of.name, **found} if of else found

    def set_of(self, name: str) -> str:
        """The set of a corruption; empty for one from outside that is in no set."""
        entry = self.corruption(name)
        return entry.of_set.name if entry.of_set else "" if entry.code else PAPER_SET

    def version_of(self, corruption: str | None) -> str:
        """The version of the set of a corruption, or of a chain of corruptions of one set."""
        return self._set(corruption).version

    def intensity(self, level: str, corruption: str | None) -> float:
        """The intensity of a level, in the set of a corruption or of a chain. Raises UnknownNameError."""
        return self._set(corruption).intensities[level]

    def _set(self, corruption: str | None) -> Spec | SetSpec:
        sets = (self.corruption(step).of_set for step in chain_steps(corruption))
        return next(filter(None, sets), self)

    def code(self, corruption: str | None) -> str:
        """The digests of the code of a corruption or chain, joined as its names are; empty if shipped."""
        codes = [self.corruption(step).code for step in chain_steps(corruption)]
        return "+".join(codes) if any(codes) else ""

    def corruption(self, name: str) -> CorruptionSpec:
        """The entry of a corruption. Raises UnknownNameError."""
        if not isinstance(name, str) or name not in self.corruptions:
            raise UnknownNameError("corruption", name, self.corruptions, see="mmdbench list corruptions")
        return self.corruptions[name]

    def profile(self, name: str) -> ProfileSpec:
        """The entry of a profile. Raises UnknownNameError."""
        if not isinstance(name, str) or name not in self.profiles:
            raise UnknownNameError("profile", name, self.profiles)
        return self.profiles[name]

    def values(self, name: str, intensity: float, size: tuple[int, int], profile: str = "paper") -> Values:
        """A corruption's numbers for one image.

        Args:
            name: The corruption.
            intensity: A number in (0, 1].
            size: (height, width) of the image in px.
            profile: A profile of the spec, "paper" or "scaled".

        Returns:
            The numbers; ranges as pairs.

        Raises:
            UnknownNameError: The spec has no such corruption or profile.
        """
        reference = self.profile(profile).reference_side
        length, count = 1.0, 1.0
        if reference is not None:
            length, count = min(size) / reference, min(max(size) / min(size), _LONGEST_SHAPE)
        sized = {
            key: number.at(intensity) if reference is None else _sized(number, intensity, length, count)
            for key, number in self.corruption(name).numbers.items()
        }
        return Values(MappingProxyType(sized), size)


def _between(points: Sequence[tuple[float, float]], intensity: float) -> float:
    """The value at an intensity, linear between the points; exactly a point's at its own."""
    for (before, low), (after, high) in itertools.pairwise(points):
        if intensity <= after:
            return (
                high if intensity == after else low + (high - low) * (intensity - before) / (after - before)
            )
    return points[-1][1]


def _sized(number: NumberSpec, intensity: float, length: float, count: float) -> Any:
    value = number.at(intensity)
    if not number.scale:
        return value
    factor = count if number.scale == "count" else length
    ends = tuple(_scaled(v, factor, number) for v in (value if number.is_range else (value,)))
    return ends if number.is_range else ends[0]


def _scaled(value: float, factor: float, number: NumberSpec) -> float:
    scaled = value * factor
    # Half up, not half to even: a size must not go up and down as the image grows.
    result: float = math.floor(scaled + 0.5) if isinstance(value, int) else scaled
    if number.minimum is not None:
        result = max(result, min(number.minimum, value))
    return int(result) | 1 if number.scale == "odd_length" else result
