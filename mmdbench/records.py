"""The values that the stages of a run hand on to each other, all of them frozen.

Those that there are half a million of are structs of msgspec, which are made and compared sooner.

Question → Cell → Recipe → Variant → Request → Outcome → Reply → Grade, described by one RunPlan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol

import msgspec

from mmdbench.system.digest import value_digest
from mmdbench.system.shapes import read_as

__all__ = [
    "ANSWER",
    "CLEAN",
    "LEVELS",
    "LEVEL_ORDER",
    "NO_USAGE",
    "PAPER_SET",
    "RECODED",
    "REPLACED",
    "RESTORE_TAG",
    "UNALTERED",
    "UNDEGRADED",
    "BenchData",
    "Cell",
    "Grade",
    "ImageBytes",
    "ImageSource",
    "Index",
    "Outcome",
    "Question",
    "Recipe",
    "Reply",
    "Request",
    "RewardProfile",
    "RunPlan",
    "Status",
    "Variant",
    "Verdict",
    "chain_steps",
    "in_order",
]

Index = int | str
Status = Literal["ok", "refused", "empty", "truncated", "error"]
Verdict = Literal["correct", "partial", "wrong", "unresolved"]
RewardProfile = Literal["paper", "code"]

ANSWER = "answer"
"""The task of a run with the benchmarks' own questions."""

CLEAN = "clean"
"""The level of an unchanged image: the benchmark's own pixels."""

RECODED = "recoded"
"""The level of a clean image that was encoded by the run's codec, which measures the codec's own loss."""

UNALTERED = "unaltered"
"""The level of a benchmark whose published images are degraded already: its own pixels, unchanged."""

UNDEGRADED = (CLEAN, RECODED, UNALTERED)
"""The levels at which no corruption is applied."""

LEVELS = ("low", "mid", "hard")
"""The three calibrated severities, weakest first."""

LEVEL_ORDER = (CLEAN, RECODED, *LEVELS, UNALTERED)
"""All levels, in the order of every table."""

PAPER_SET = "paper"
"""The set of the package's own sixteen corruptions; a member of another is named `set.corruption`."""

REPLACED = "replaced_characters"
"""The entry of a reply's details that counts characters of it that are no Unicode, read as U+FFFD."""

NO_USAGE = "usage_not_understood"
"""The entry of a reply's details with what came in place of numbers of tokens."""

RESTORE_TAG = "<image_restore>"
"""The text by which CLEAR's model asks for a restored image before it answers."""


class ImageSource(Protocol):
    """An encoded image that can be read any number of times."""

    @property
    def where(self) -> str:
        """File, line, column and index, for messages."""
        ...

    def read(self) -> bytes:
        """The encoded image (JPEG, PNG, …), exactly as the benchmark holds it."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """One row of a benchmark.

    `fields` holds every cell except the images, verbatim; an empty cell is absent. Names of
    columns are lower-cased, except the option columns A..Z.
    """

    bench: str
    index: Index
    fields: Mapping[str, str]
    images: tuple[ImageSource, ...] = ()

    @property
    def text(self) -> str:
        """The question itself, without options or hint."""
        return self.fields.get("question", "")

    @property
    def options(self) -> dict[str, str]:
        """Option label → option text, in alphabetical order of the labels that have a text."""
        return {label: self.fields[label] for label in _option_labels(tuple(self.fields))}

    @property
    def answer(self) -> str:
        """The right label (multiple choice) or the ground truth (open questions); empty if unknown."""
        return self.fields.get("answer", "")

    @property
    def category(self) -> str:
        """The fine category, empty if the benchmark has none."""
        return self.fields.get("category", "")


@lru_cache(maxsize=1024)
def _option_labels(columns: tuple[str, ...]) -> list[str]:
    return sorted(name for name in columns if len(name) == 1 and "A" <= name <= "Z")


class BenchData(Protocol):
    """A benchmark that is loaded: its name, family and questions."""

    @property
    def name(self) -> str:
        """The canonical name, for example `MMStar`."""
        ...

    @property
    def family(self) -> str:
        """The name of the family, which says how it is prompted and graded: plain, circular, mmvp …"""
        ...

    @property
    def questions(self) -> Sequence[Question]:
        """All questions, in the order of the file."""
        ...


def chain_steps(corruption: str | None) -> tuple[str, ...]:
    """The corruptions that a cell or recipe names, in the order in which they are applied.

    >>> chain_steps("lens_blur+jpeg_compression"), chain_steps("graffiti"), chain_steps(None)
    (('lens_blur', 'jpeg_compression'), ('graffiti',), ())
    """
    return tuple(corruption.split("+")) if corruption else ()


class Cell(msgspec.Struct, frozen=True, gc=False):
    """One request of a plan: a question at a level, under a corruption (None if clean).

    A chain of corruptions is their names with `+` between them, as in `lens_blur+jpeg_compression`.
    `repeat` counts the requests about the same pictures, from 1.
    """

    bench: str
    index: Index
    level: str
    corruption: str | None = None
    repeat: int = 1

    def as_dict(self) -> dict[str, Any]:
        """The cell as a JSON-able dict; without `repeat` in the first one, as before there were several."""
        return _without_first(msgspec.structs.asdict(self))


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that determines a degraded image; one recipe gives the same pixels on every machine.

    `image` is the pixel digest of the clean RGB image; `intensity` is None for a clean image. `icc` is the
    digest of the ICC profile that the picture is sent with, `code` that of the code of a corruption from
    outside the package (those of a chain have `+` between them); either is empty if there is none.
    """

    image: str
    corruption: str | None
    intensity: float | None
    profile: str
    spec_version: str
    seed: int
    codec: str
    icc: str = ""
    code: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The recipe as a JSON-able dict; without `icc` or `code` where it is empty, as before it existed."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value or name not in ("icc", "code")}

    def digest(self) -> str:
        """SHA-256 of the recipe."""
        return value_digest(self.as_dict())


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """An encoded image as a model receives it."""

    data: bytes
    mime: str


@dataclass(frozen=True, slots=True)
class Variant:
    """The image that a recipe gives, encoded, with the parameters that were drawn for it.

    `pixels` is the digest of the RGB pixels that `image` decodes to; `no_op` is true if the
    corruption changed no pixel (before the codec). `restored` is empty, or names the restorer that
    `image` went through, the digest of the pixels before, and its seconds.
    """

    recipe: Recipe
    params: Mapping[str, Any]
    image: ImageBytes
    pixels: str
    no_op: bool = False
    restored: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model; it holds no more than a user of the benchmark would see."""

    key: str
    prompt: str
    question: str
    options: Mapping[str, str]
    images: tuple[ImageBytes, ...]
    seed: int = 0
    generation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A model's answer to one request; a failure is a status, never a text.

    `details` holds what the adapter stores with the reply (thoughts, restorations, usage …).
    """

    text: str
    status: Status = "ok"
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """A stored outcome, with its cell and the key that it is found by.

    The store adds the time at which it was `asked`, in ISO format, and the number of its `generation`.
    """

    key: str
    bench: str
    index: Index
    level: str
    corruption: str | None
    status: Status
    text: str
    reason: str = ""
    attempts: int = 1
    seconds: float = 0.0
    images: Sequence[Mapping[str, Any]] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    asked: str = field(default="", compare=False)
    generation: int = field(default=0, compare=False)
    repeat: int = 1

    @property
    def cell(self) -> Cell:
        """The cell that this reply answers."""
        return Cell(self.bench, self.index, self.level, self.corruption, self.repeat)

    def as_dict(self) -> dict[str, Any]:
        """The reply as a JSON-able dict; what it holds is shared, not copied."""
        record = {name: getattr(self, name) for name in self.__dataclass_fields__}
        record["images"] = tuple(self.images)
        for name in ("asked", "generation"):  # replies of early versions have neither
            if not record[name]:
                del record[name]
        return _without_first(record)


def _without_first(record: dict[str, Any]) -> dict[str, Any]:
    """A record without its number of repeats if that is 1: early versions wrote none."""
    if record["repeat"] == 1:
        del record["repeat"]
    return record


class Grade(msgspec.Struct, frozen=True, gc=False):
    """The grade of one planned row.

    `hit` is 0 or 1 for multiple choice and 0..1 for judged answers; `label` is the option that
    was read from the reply (`Z` for a refusal, None if there was none); `stage` names the rule that
    decided. A row without an answer is never dropped: its `stage` is `missing` or `error`.
    """

    bench: str
    index: Index
    verdict: Verdict
    hit: float
    label: str | None
    stage: str
    details: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that defines a run; two equal plans are the same run.

    Attributes:
        model: The name of the model card.
        benches: Names or paths of benchmarks, in order.
        levels: `clean`, `recoded` and severities, in order.
        design: The corruptions that each question gets: `mixed`, `grid`, `balanced:K` or `chain:K`.
        corruptions: The names of the corruptions to draw from; empty for all. A chain is one name, as in
            a `Cell`.
        sample: The number of questions to draw, `200` or `200/bench`; empty for all.
        seed: The seed of sample, design and corruptions.
        profile: The profile of the corruption spec.
        codec: The codec of degraded images: `jpeg:Q`, `webp:Q` or `png`.
        protocol: The scoring protocol.
        extraction: The rules that read an option from a reply.
        max_error_rate: The share of planned answers, 0..1, that may be missing.
        restore: The restorer that images go through before the model sees them; empty for none.
        restore_clean: True if clean and recoded images go through it too.
        degrade_again: True if benchmarks whose published images are degraded already meet the levels too.
        task: `answer` for the benchmarks' own questions, or a name of `scoring.tasks.TASKS`.
        repeat: The number of requests about the same pictures, each with a seed of its own.
    """

    model: str
    benches: tuple[str, ...]
    levels: tuple[str, ...] = (CLEAN, *LEVELS)
    design: str = "mixed"
    corruptions: tuple[str, ...] = ()
    sample: str = ""
    seed: int = 0
    profile: str = "paper"
    codec: str = "jpeg:95"
    protocol: str = "clear/1"
    extraction: str = "sane"
    max_error_rate: float = 0.01
    restore: str = ""
    restore_clean: bool = True
    degrade_again: bool = False
    task: str = ANSWER
    repeat: int = 1

    @property
    def has_chains(self) -> bool:
        """True if a picture of the run may show several corruptions."""
        return self.design.startswith("chain:") or any(len(chain_steps(n)) > 1 for n in self.corruptions)

    def as_dict(self) -> dict[str, Any]:
        """The plan as a JSON-able dict; without `repeat` if that is 1, as before there were several."""
        return _without_first(asdict(self))

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> RunPlan:
        """Read a plan back from a manifest. Raises ShapeError for one of another shape."""
        return read_as(cls, record, "plan")


def in_order(levels: Iterable[str]) -> tuple[str, ...]:
    """The levels, each once, in their order."""
    present = set(levels)
    return tuple(level for level in LEVEL_ORDER if level in present)
