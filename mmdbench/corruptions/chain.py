"""Several corruptions one after another, as happens to pictures: taken, sent, displayed, edited.

>>> import numpy as np
>>> image = np.full((60, 80, 3), 200, np.uint8)
>>> degraded, record = Chain().recorded(image, seed=3)
>>> [step["category"] for step in record["steps"]]
['capture', 'transmission', 'environmental', 'post_processing']
>>> bool((Chain.replay(image, record) == degraded).all())
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdbench.corruptions import apply, image_seed
from mmdbench.corruptions.choices import CorruptionChoice, DrawnCorruption, choice_of, keyed
from mmdbench.corruptions.images import as_rgb
from mmdbench.corruptions.plugins import require_code
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ParamsError, UsageError
from mmdbench.system.bounds import require_between
from mmdbench.system.digest import pixel_digest

__all__ = ["Chain"]

_FORMAT = "mmdbench.chain/1"
_HINT = "Give what recorded() returned."
_STEP_KEYS = ("corruption", "intensity", "seed", "profile", "params")


def _four_stages(
    intensity: float | Sequence[float] = (0.1, 0.9), p: float = 0.5, profile: str = "paper"
) -> tuple[CorruptionChoice, ...]:
    return tuple(
        choice_of(category, intensity=intensity, p=p, profile=profile) for category in load_spec().categories
    )


@dataclass(frozen=True, slots=True)
class Chain:
    """Draws at most one corruption per stage and applies them in the order of the stages.

    `stages` are `CorruptionChoice`s, by default one for each category in the order capture,
    transmission, environmental, post_processing, each with p = 0.5 and an intensity drawn uniformly
    from 0.1 to 0.9. Robust-R1 composes its training images in this way, with intensities from 0 to 1; the
    probabilities are mmdbench's own. If fewer than `at_least` stages are drawn, more are added at random.

    A chain has no state: every draw follows from the image's pixels and the seed. A layout (angle,
    positions, noise) does not depend on the intensity or on the other stages, and a chain of one
    corruption at one intensity gives the image that `corrupt` makes.
    """

    stages: tuple[CorruptionChoice, ...] = field(default_factory=_four_stages)
    at_least: int = 1

    def __post_init__(self) -> None:
        possible = sum(stage.p > 0 for stage in self.stages)
        require_between(f"at_least of a chain of {possible} stages", self.at_least, 0, possible)

    @classmethod
    def across(
        cls,
        *,
        intensity: float | Sequence[float] = (0.1, 0.9),
        p: float = 0.5,
        at_least: int = 1,
        profile: str = "paper",
    ) -> Chain:
        """A chain across the four categories, with the same settings for each.

        Args:
            intensity: A number in [0, 1], or the two ends of a range; Robust-R1 draws from (0, 1).
            p: The probability of each stage, from 0 to 1.
            at_least: The smallest number of corruptions for an image.
            profile: "paper" or "scaled".

        Returns:
            The chain.
        """
        return cls(_four_stages(intensity, p, profile), at_least)

    @classmethod
    def of(cls, *steps: tuple[str, float]) -> Chain:
        """A chain of given corruptions and intensities, in this order; only layouts are random.

        >>> len(Chain.of(("motion_blur", 0.4), ("jpeg_compression", 0.9)).stages)
        2
        """
        return cls(tuple(choice_of(name, intensity=intensity) for name, intensity in steps), len(steps))

    def __call__(self, image: Any, seed: int = 0) -> Any:
        """Degrade an image, or each image of a list; takes and returns what `corrupt` does."""
        if isinstance(image, (list, tuple)):
            return [self(one, seed) for one in image]
        return self.recorded(image, seed)[0]

    def recorded(self, image: Any, seed: int = 0) -> tuple[Any, dict[str, Any]]:
        """The degraded image, and the JSON-able record of everything drawn for it."""
        pixels, restore = as_rgb(image)
        digest = pixel_digest(pixels)
        record: dict[str, Any] = {
            "format": _FORMAT,
            "spec_version": load_spec().version,
            "image": digest,
            "size": list(pixels.shape[:2]),
            "seed": int(seed),
            "steps": [],
        }
        for drawn in self._drawn(digest, seed):
            params = drawn.params(pixels.shape)
            pixels = apply(drawn.corruption, pixels, params)
            step = {
                "corruption": drawn.corruption,
                "category": load_spec().corruptions[drawn.corruption].category,
                "intensity": drawn.intensity,
                "seed": drawn.seed,
                "profile": drawn.profile,
                "params": params,
            }
            code = load_spec().code(drawn.corruption)
            step |= {"code": code} if code else {}
            record["steps"].append(step)
        return restore(pixels), record

    def _drawn(self, digest: str, seed: int) -> list[DrawnCorruption]:
        uniforms = [keyed("chain", digest, int(seed), place) for place in range(len(self.stages))]
        lots = [uniform() for uniform in uniforms]
        taken = {k for k, stage in enumerate(self.stages) if lots[k] < stage.p}
        spare = [k for k, stage in enumerate(self.stages) if k not in taken and stage.p > 0]
        # The stages nearest to their probability are added first.
        spare.sort(key=lambda k: (lots[k] / self.stages[k].p, k))
        taken.update(spare[: max(0, self.at_least - len(taken))])
        result = []
        for k in sorted(taken):
            name, intensity = self.stages[k].draw(uniforms[k])
            result.append(
                DrawnCorruption(name, intensity, image_seed(digest, name, seed), self.stages[k].profile)
            )
        return result

    @staticmethod
    def replay(image: Any, record: Mapping[str, Any]) -> Any:
        """Apply the corruptions of a record to an image.

        On an image of the recorded size the recorded parameters are used: the same pixels give the
        same result. For another size the layouts are drawn again from the recorded seeds and
        intensities. Raises UsageError if that would need another version of the spec.
        """
        steps = _checked(record)
        pixels, restore = as_rgb(image)
        same_size = list(pixels.shape[:2]) == list(record["size"])
        if not same_size and record.get("spec_version") != load_spec().version:
            raise UsageError(
                f"The record was made for {record['size']} px by spec version "
                f"{record.get('spec_version')!r}, "
                f"and the image has {list(pixels.shape[:2])} px.",
                hint="Give an image of the recorded size, or record the chain again.",
            )
        for step in steps:
            require_code(step["corruption"], step.get("code", ""))
            drawn = DrawnCorruption(step["corruption"], step["intensity"], step["seed"], step["profile"])
            params = step["params"] if same_size else drawn.params(pixels.shape)
            pixels = apply(drawn.corruption, pixels, params)
        return restore(pixels)


def _checked(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if not isinstance(record, Mapping) or record.get("format") != _FORMAT:
        found = record.get("format") if isinstance(record, Mapping) else type(record).__name__
        raise ParamsError(f"This is not the record of a chain: {found!r}.", hint=_HINT)
    steps = record.get("steps")
    if not isinstance(steps, Sequence) or not isinstance(record.get("size"), Sequence):
        raise ParamsError("The record lacks its steps or its size.", hint=_HINT)
    for place, step in enumerate(steps):
        lacking = [key for key in _STEP_KEYS if not isinstance(step, Mapping) or key not in step]
        if lacking:
            raise ParamsError(f"Step {place} of the record lacks {', '.join(lacking)}.", hint=_HINT)
    return list(steps)
