"""Small pictures of a question: its previews, or made again from its benchmark by the recipes of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from msgspec import structs

from mmdbench.benches import decode_image
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import MmdbenchError
from mmdbench.records import CLEAN, RECODED, Cell, Index, Question, Recipe, Reply
from mmdbench.report.page.examples import Example
from mmdbench.results.graded_run import RunResults
from mmdbench.results.pictures import made_pixels, own_pictures, remake
from mmdbench.run.previews import PREVIEW, PreviewFolder, PreviewFormat, make_preview
from mmdbench.system.digest import bytes_digest
from mmdbench.system.shapes import read_as
from mmdbench.variants.recipes import CleanImage, clean_image, recipe_for

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ThumbnailJob", "Thumbnails", "in_format", "in_shape", "plan_jobs"]


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Small pictures of one question, as WebP.

    `cells` holds those that the model was shown, `kept` those that it made itself, by the key of its
    reply. `failed` says why a cell has none; `unlike` counts pictures with other pixels than the run saw;
    `error` names a picture of the model that could not be read.
    """

    cells: Mapping[Cell, tuple[bytes, ...]]
    kept: Mapping[str, tuple[bytes, ...]]
    unlike: int = 0
    error: str = ""
    failed: Mapping[Cell, str] = field(default_factory=dict)

    def all(self) -> Iterator[bytes]:
        """All pictures, one after the other."""
        for group in (*self.cells.values(), *self.kept.values()):
            yield from group


@dataclass(frozen=True, slots=True)
class ThumbnailJob:
    """Small pictures to make of one question.

    `wanted` holds for each cell the recipes of its pictures and the digests that the run noted;
    `own` the encoded pictures that the model made, by the key of its reply.
    """

    question: Question
    wanted: tuple[tuple[Cell, tuple[Recipe, ...], tuple[str, ...]], ...]
    own: tuple[tuple[str, tuple[bytes, ...]], ...]

    def make(self, previews: PreviewFolder) -> Thumbnails:
        """The previews of the question; those that are not kept yet are made, and kept."""
        cells: dict[Cell, tuple[bytes, ...]] = {}
        failed: dict[Cell, str] = {}
        making = _Making(self.question, previews)
        for cell, recipes, digests in self.wanted:
            pairs = enumerate(zip(recipes, digests, strict=True))
            try:
                cells[cell] = tuple(making.preview(number, *pair) for number, pair in pairs)
            except MmdbenchError as damage:
                failed[cell] = str(damage)
        kept: dict[str, tuple[bytes, ...]] = {}
        error = ""
        for key, images in self.own:
            where = f"the model's picture in reply {key[:12]}"
            try:
                kept[key] = tuple(_own_preview(data, where, previews) for data in images)
            except MmdbenchError as damage:
                error = str(damage)
        return Thumbnails(cells, kept, making.unlike, error, failed)


@dataclass
class _Making:
    """The previews of one question's pictures, each clean one of which is decoded once, if at all."""

    question: Question
    previews: PreviewFolder
    unlike: int = 0
    _clean: dict[int, CleanImage] = field(default_factory=dict)

    def preview(self, number: int, recipe: Recipe, digest: str) -> bytes:
        """The preview of a picture; `digest` is that of the pixels that the run saw, empty if unknown."""
        kept = self.previews.get(digest)
        if kept is not None:
            return kept
        if number not in self._clean:
            source = self.question.images[number]
            self._clean[number] = clean_image(source.read(), source.where)
        pixels, found = remake(self._clean[number], recipe)
        self.unlike += bool(digest) and digest != found
        return _kept(found, lambda: pixels, self.previews)


def _own_preview(data: bytes, where: str, previews: PreviewFolder) -> bytes:
    return _kept(f"file {bytes_digest(data)}", lambda: decode_image(data, where), previews)


def _kept(
    name: str,
    pixels: Callable[[], NDArray[np.uint8]],
    previews: PreviewFolder,
    shape: PreviewFormat = PREVIEW,
) -> bytes:
    found = previews.get(name)
    if found is None:
        found = make_preview(pixels(), shape)
        previews.put(name, found)
    return found


def in_shape(preview: bytes, shape: PreviewFormat, previews: PreviewFolder) -> bytes:
    """A preview in another format, kept beside it.

    Args:
        preview: The preview, as WebP.
        shape: The format.
        previews: The folder of both.

    Returns:
        The smaller picture, as WebP.
    """
    name = f"{shape.side} {shape.quality} of {bytes_digest(preview)}"
    return _kept(name, lambda: decode_image(preview, "a preview"), previews, shape)


def in_format(made: Thumbnails, shape: PreviewFormat, previews: PreviewFolder) -> Thumbnails:
    """The pictures of a question in a smaller format.

    Args:
        made: The previews of the question.
        shape: The format.
        previews: The folder of both.

    Returns:
        The smaller pictures.
    """

    def smaller(images: Sequence[bytes]) -> tuple[bytes, ...]:
        return tuple(in_shape(image, shape, previews) for image in images)

    cells = {cell: smaller(images) for cell, images in made.cells.items()}
    return replace(made, cells=cells, kept={key: smaller(images) for key, images in made.kept.items()})


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
        cell = structs.replace(cell, level=RECODED)
    return (recipe_for(cell, "", run.plan, spec),) * count, ("",) * count
