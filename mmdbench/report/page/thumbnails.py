"""Thumbnails of a question's pictures, made again from its benchmark by the recipes of the run."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmdbench.benches import decode_image
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import MmdbenchError
from mmdbench.records import CLEAN, RECODED, Cell, Index, Question, Recipe, Reply
from mmdbench.report.page.examples import Example
from mmdbench.results.graded_run import RunResults
from mmdbench.results.pictures import made_pixels, own_pictures, remake
from mmdbench.system.shapes import read_as
from mmdbench.variants.recipes import clean_image, recipe_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ThumbnailFormat", "ThumbnailJob", "Thumbnails", "plan_jobs", "smaller", "thumbnail"]


@dataclass(frozen=True, slots=True)
class ThumbnailFormat:
    """Size and quality of thumbnails: the longer side in pixels, and the WebP quality (1..100)."""

    side: int
    quality: int


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Thumbnails of one question, as WebP.

    `cells` holds those that the model was shown, `kept` those that it made itself, by the key of its
    reply. `unlike` counts pictures with other pixels than the run saw; `error` names a picture that
    could not be read.
    """

    cells: Mapping[Cell, tuple[bytes, ...]]
    kept: Mapping[str, tuple[bytes, ...]]
    unlike: int = 0
    error: str = ""

    def all(self) -> Iterator[bytes]:
        """All thumbnails, one after the other."""
        for group in (*self.cells.values(), *self.kept.values()):
            yield from group


@dataclass(frozen=True, slots=True)
class ThumbnailJob:
    """Thumbnails to make of one question.

    `wanted` holds for each cell the recipes of its pictures and the digests that the run noted;
    `own` the encoded pictures that the model made, by the key of its reply.
    """

    question: Question
    wanted: tuple[tuple[Cell, tuple[Recipe, ...], tuple[str, ...]], ...]
    own: tuple[tuple[str, tuple[bytes, ...]], ...]

    def make(self, shape: ThumbnailFormat) -> Thumbnails:
        """Make the thumbnails; none if a picture of the benchmark cannot be read."""
        try:
            clean = [clean_image(source.read(), source.where) for source in self.question.images]
            cells: dict[Cell, tuple[bytes, ...]] = {}
            unlike = 0
            for cell, recipes, digests in self.wanted:
                seen = [remake(image, recipe) for image, recipe in zip(clean, recipes, strict=True)]
                cells[cell] = tuple(thumbnail(pixels, shape) for pixels, _ in seen)
                unlike += sum(bool(d) and d != digest for d, (_, digest) in zip(digests, seen, strict=True))
        except MmdbenchError as damage:
            return Thumbnails({}, {}, 0, str(damage))
        kept: dict[str, tuple[bytes, ...]] = {}
        error = ""
        for key, images in self.own:
            try:
                own = [decode_image(data, f"the model's picture in reply {key[:12]}") for data in images]
            except MmdbenchError as damage:
                error = str(damage)
            else:
                kept[key] = tuple(thumbnail(pixels, shape) for pixels in own)
        return Thumbnails(cells, kept, unlike, error)


def thumbnail(pixels: NDArray[np.uint8], shape: ThumbnailFormat) -> bytes:
    """RGB pixels (H×W×3, uint8) as a WebP whose longer side is at most `shape.side`."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((shape.side, shape.side), Image.Resampling.LANCZOS, reducing_gap=None)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=shape.quality, method=4)
    return buffer.getvalue()


def smaller(picture: bytes, shape: ThumbnailFormat) -> bytes:
    """A thumbnail (WebP) made again in a smaller format."""
    return thumbnail(decode_image(picture, "a small picture"), shape)


def plan_jobs(
    examples: Sequence[Example], questions: Mapping[tuple[str, Index], Question], run: RunResults, spec: Spec
) -> list[ThumbnailJob]:
    """A job for each question that the examples show.

    Args:
        examples: The examples of the page.
        questions: The questions with pictures, by benchmark and index; others are left out.
        run: The run whose folder, plan and notes say how pictures were made.
        spec: The corruptions.

    Returns:
        The jobs, in the order of the examples.
    """
    cells: dict[tuple[str, Index], dict[Cell, Reply | None]] = {}
    own: dict[tuple[str, Index], dict[str, tuple[bytes, ...]]] = {}
    for example in examples:
        name = (example.question.bench, example.question.index)
        if name not in questions:
            continue
        for cell in example.cells:
            replies = [a.reply for a in example.answers[cell.level] if a.reply is not None]
            cells.setdefault(name, {})[cell] = replies[0] if replies else None
            for reply in replies:
                pictures = tuple(own_pictures(reply, run.folder, run.manifest))
                if pictures:
                    own.setdefault(name, {})[reply.key] = pictures
    return [
        ThumbnailJob(
            questions[name],
            tuple(
                (cell, *_recipes(cell, reply, questions[name], run, spec)) for cell, reply in wanted.items()
            ),
            tuple(own.get(name, {}).items()),
        )
        for name, wanted in cells.items()
    ]


def _recipes(
    cell: Cell, reply: Reply | None, question: Question, run: RunResults, spec: Spec
) -> tuple[tuple[Recipe, ...], tuple[str, ...]]:
    count = len(question.images)
    if reply is not None and len(reply.images) == count and all("recipe" in i for i in reply.images):
        recipes = tuple(read_as(Recipe, image["recipe"]) for image in reply.images)
        return recipes, tuple(made_pixels(image) for image in reply.images)
    if cell.level != CLEAN and cell.corruption is None:
        cell = replace(cell, level=RECODED)
    return (recipe_for(cell, "", run.plan, spec),) * count, ("",) * count
