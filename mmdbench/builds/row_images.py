"""The pictures of one row of a benchmark, for every output of the build; made by the workers."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmdbench.benches import Bench
from mmdbench.benches.question_images import REFERENCE_CHARACTERS
from mmdbench.benches.tsv_table import LongCell
from mmdbench.builds.pipeline import StoppedError
from mmdbench.builds.plan import RowPlan, Target
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import ImageDecodeError
from mmdbench.records import Cell, ImageBytes, Question, RunPlan, Variant
from mmdbench.system.base64_text import encode
from mmdbench.system.digest import bytes_digest
from mmdbench.system.images import MAX_PIXELS
from mmdbench.variants.recipes import CleanImage, clean_image, make_variant, recipe_for

__all__ = ["ImageMaker", "MadeRow", "MakeRows", "RowImages", "RowMaker", "image_record", "json_line"]


@dataclass(frozen=True, slots=True)
class RowImages:
    """A row's pictures in one output, as a TSV `cell` or as `images`, and their records for the log."""

    images: tuple[ImageBytes, ...]
    cell: bytes
    records: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class MadeRow:
    """A row with its pictures for each target, None for a target that refers to an earlier row.

    `before` and `after` are the bytes around the image cell in the benchmark's file. A row with a
    `problem`, the reason why its picture cannot be used, is left out.
    """

    plan: RowPlan
    before: bytes
    after: bytes
    targets: tuple[RowImages | None, ...]
    problem: str = ""

    def weight(self) -> int:
        """Approximate memory that the row takes, in bytes."""
        made = (images for images in self.targets if images is not None)
        return sum(len(row.cell) + sum(len(image.data) for image in row.images) for row in made)


@dataclass(frozen=True, slots=True)
class ImageMaker:
    """Makes a question's pictures without its benchmark's file; can be sent to another machine.

    Without `with_profiles` it makes them as builds did that dropped ICC profiles. `places` are those of the
    code of corruptions from outside, for another process.
    """

    plan: RunPlan
    spec: Spec
    as_cells: bool
    max_pixels: int = MAX_PIXELS
    with_profiles: bool = True
    places: tuple[str, ...] = ()

    def row_images(
        self, question: Question, cells: Sequence[Cell], quote: bytes, stop: threading.Event
    ) -> list[RowImages]:
        """Make a question's pictures for several cells; each picture is decoded once.

        Args:
            question: The question.
            cells: The cells, each with its level and corruption.
            quote: The quote around each picture of a TSV cell that lists them; empty for no list.
            stop: Makes the call end early when it is set.

        Returns:
            The pictures of each cell, in the order of `cells`.

        Raises:
            StoppedError: `stop` was set.
        """
        return [self._encoded(variants, quote) for variants in self.variants(question, cells, stop)]

    def variants(
        self, question: Question, cells: Sequence[Cell], stop: threading.Event
    ) -> list[list[Variant]]:
        """Make a question's variants for several cells; each picture is decoded once.

        Args:
            question: The question.
            cells: The cells, each with its level and corruption.
            stop: Makes the call end early when it is set.

        Returns:
            The variants of each cell, one for each picture of the question.

        Raises:
            StoppedError: `stop` was set.
        """
        found: list[list[Variant]] = [[] for _ in cells]
        # All levels of a corruption one after another: they share the drawn parameters.
        order = sorted(range(len(cells)), key=lambda n: cells[n].corruption or "")
        for source in question.images if cells else ():
            clean = clean_image(source.read(), source.where, self.max_pixels)
            for number in order:
                if stop.is_set():
                    raise StoppedError
                found[number].append(self._variant(clean, cells[number]))
        return found

    def _variant(self, clean: CleanImage, cell: Cell) -> Variant:
        icc = clean.icc_digest if self.with_profiles else ""
        recipe = recipe_for(cell, clean.digest, self.plan, self.spec, icc)
        return make_variant(clean, recipe, self.max_pixels)

    def _encoded(self, variants: Sequence[Variant], quote: bytes) -> RowImages:
        records = tuple(image_record(variant) for variant in variants)
        if not self.as_cells:
            return RowImages(tuple(variant.image for variant in variants), b"", records)
        texts = [_text(variant.image) for variant in variants]
        return RowImages((), texts[0] if not quote else _list_cell(texts, quote), records)


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes rows of one benchmark; safe to share between threads.

    `on_bad_image` is as in BuildSettings.
    """

    bench: Bench
    images: ImageMaker
    on_bad_image: str = "count"

    def make(self, row: RowPlan, stop: threading.Event) -> MadeRow:
        """Make the row's pictures for all its targets; each picture is decoded once."""
        cells, quote = self.wanted(row)
        try:
            return self.assemble(row, self.images.row_images(row.question, cells, quote, stop))
        except ImageDecodeError as error:
            return self.left_out(row, error)

    def left_out(self, row: RowPlan, error: ImageDecodeError) -> MadeRow:
        """The row without pictures, for the reason of an error; raises it where `on_bad_image` is `error`."""
        if self.on_bad_image == "error":
            raise error
        reason = error.message.replace(
            f"{self.bench.path.parent}{os.sep}", ""
        )  # logs hold no path of this machine
        return MadeRow(row, b"", b"", (None,) * len(row.targets), reason)

    def wanted(self, row: RowPlan) -> tuple[list[Cell], bytes]:
        """The cells that a row's pictures are made for, and the quote if its TSV cell is a list of them."""
        cells = [target.cell for target in row.targets if target.same_as is None]
        return cells, self._list_quote(row.question) if self.images.as_cells and cells else b""

    def assemble(self, row: RowPlan, made: Sequence[RowImages]) -> MadeRow:
        """The row with the pictures of the cells that `wanted` named, in their order."""
        before, after = self._around(row.question)
        rest = iter(made)
        targets = tuple(next(rest) if target.same_as is None else None for target in row.targets)
        return MadeRow(row, before, after, targets)

    def make_target(self, row: RowPlan, target: Target) -> RowImages:
        """Make the pictures of one target, even if it refers to an earlier row."""
        quote = self._list_quote(row.question) if self.images.as_cells else b""
        return self.images.row_images(row.question, [target.cell], quote, threading.Event())[0]

    def _list_quote(self, question: Question) -> bytes:
        """The quote around each picture of a list; empty if the cell is one picture."""
        header = self.bench.table.header
        row = self.bench.rows[question.index]
        column = header.position("image")
        if column is not None:
            cell = row.cells[column]
            head = (cell.head if isinstance(cell, LongCell) else cell[:32].encode()).lstrip(b'"').lstrip()
            if head.startswith(b"["):
                return b"'" if head[1:].lstrip().startswith(b"'") else b'"'
        return b"'" if len(question.images) > 1 else b""

    def _around(self, question: Question) -> tuple[bytes, bytes]:
        row = self.bench.rows[question.index]
        if not self.images.as_cells:
            return b"", b""
        return row.split_at("image" if row.header.position("image") is not None else "image_path")


MakeRows = Callable[[RowMaker, Iterator[RowPlan], int], Generator[MadeRow, None, None]]
"""Makes rows in order, with a number of workers (0: as many as there are CPUs)."""


def image_record(variant: Variant) -> dict[str, Any]:
    """The record of a picture in the log: its recipe, the drawn parameters, and its digests."""
    return {
        "recipe": variant.recipe.as_dict(),
        "params": dict(variant.params),
        "no_op": variant.no_op,
        "pixels": variant.pixels,
        "bytes": bytes_digest(variant.image.data),
        "mime": variant.image.mime,
    }


def json_line(record: Mapping[str, Any]) -> bytes:
    """A record as one line of JSON, with its keys in the order given."""
    return json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _text(image: ImageBytes) -> bytes:
    text = encode(image.data)
    if len(text) > REFERENCE_CHARACTERS:
        return text
    # A cell that short would be read as another row's index.
    return b"data:" + image.mime.encode() + b";base64," + text


def _list_cell(texts: Sequence[bytes], quote: bytes) -> bytes:
    body = b"[" + b", ".join(quote + text + quote for text in texts) + b"]"
    return b'"' + body.replace(b'"', b'""') + b'"' if quote == b'"' else body
