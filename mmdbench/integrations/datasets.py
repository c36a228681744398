"""The corruptions for Hugging Face datasets: a function for `Dataset.map` that works with its cache.

::

    from datasets import load_dataset
    from mmdbench.integrations.datasets import MMDCorruption

    degraded = load_dataset("…").map(MMDCorruption("motion_blur", level="hard"))
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mmdbench.corruptions.choices import CorruptionChoice, DrawnCorruption, choice_of
from mmdbench.corruptions.images import as_rgb
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ImageDecodeError, UsageError

__all__ = ["MMDCorruption"]


@dataclass(frozen=True, slots=True)
class MMDCorruption:
    """Degrades the images of a column: `dataset.map(MMDCorruption("graffiti", level="hard"))`.

    Works with and without `batched=True`, on `Image` features, on lists of images and on undecoded
    {"bytes", "path"} cells; None remains None. An image's draw follows from its pixels and the seed:
    not from its row, batch, shard or `num_proc`.

    The object can be pickled, and `datasets` gives it the same fingerprint in every process, so
    that a second run finds the first one's cache. The fingerprint changes with every option and
    with the spec, so that no stale image comes from a cache.

    Args:
        corruptions: Names or categories, of which each image gets one by the weights of the release;
            None for all.
        level: One or several of "low", "mid" and "hard".
        intensity: A number in [0, 1], or the two ends of a range; without level and intensity, the
            range from low to hard.
        p: The probability that an image is degraded at all, from 0 to 1.
        seed: A whole number.
        profile: "paper" or "scaled".
        column: The column to read.
        into: The column to write; None for the same one.
        record: A column for the corruption, intensity and seed of each image (None if it was not
            degraded); None for no such column.
    """

    corruptions: str | Sequence[str] | None = None
    level: str | Sequence[str] | None = None
    intensity: float | Sequence[float] | None = None
    p: float = 1.0
    seed: int = 0
    profile: str = "paper"
    column: str = "image"
    into: str | None = None
    record: str | None = None
    spec_digest: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in ("corruptions", "level", "intensity"):
            value = getattr(self, name)
            if isinstance(value, Sequence) and not isinstance(value, str):
                object.__setattr__(self, name, tuple(value))
        choice = self._choice()  # checks the options before any row is read
        object.__setattr__(self, "spec_digest", load_spec().record(choice.corruptions)["digest"])

    def __call__(self, example: Mapping[str, Any]) -> dict[str, Any]:
        """The new columns of an example, or of a batch of examples (lists)."""
        if self.column not in example:
            raise UsageError(
                f"The dataset has no column {self.column!r}.",
                hint=f"Name one of {', '.join(map(str, example))} as column=.",
            )
        made = self._degraded(example[self.column])
        result = {self.into or self.column: _part(made, 0)}
        if self.record is not None:
            result[self.record] = _part(made, 1)
        return result

    def _degraded(self, value: Any) -> Any:
        """Pairs (image, record) in the structure of lists given."""
        if isinstance(value, (list, tuple)):
            return [self._degraded(one) for one in value]
        image = _decoded(value, self.column)
        drawn = None if image is None else self._drawn(image)
        return _Pair(image if drawn is None else drawn.corrupted(image), _recorded(drawn))

    def _drawn(self, image: Any) -> DrawnCorruption | None:
        return self._choice().for_image(as_rgb(image)[0], self.seed)

    def _choice(self) -> CorruptionChoice:
        return choice_of(
            self.corruptions, level=self.level, intensity=self.intensity, p=self.p, profile=self.profile
        )


@dataclass(frozen=True, slots=True)
class _Pair:
    image: Any
    record: dict[str, Any]


def _part(made: Any, which: int) -> Any:
    if isinstance(made, list):
        return [_part(one, which) for one in made]
    return made.record if which else made.image


def _recorded(drawn: DrawnCorruption | None) -> dict[str, Any]:
    keys = ("corruption", "intensity", "seed")
    return dict.fromkeys(keys) if drawn is None else {key: asdict(drawn)[key] for key in keys}


def _decoded(value: Any, column: str) -> Any:
    """A PIL image of a cell, upright as `datasets` decodes it; arrays and None are returned unchanged."""
    if not isinstance(value, (Mapping, bytes)):
        return value
    from PIL import Image, ImageOps

    cell: Mapping[str, Any] = {"bytes": value} if isinstance(value, bytes) else value
    data = cell.get("bytes")
    source: Any = cell.get("path") if data is None else io.BytesIO(data)
    try:
        with Image.open(source) as image:
            return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, AttributeError, TypeError) as error:
        raise ImageDecodeError(
            f"A cell of {column!r} holds no readable picture: {error}.", hint="Check the dataset's column."
        ) from error
