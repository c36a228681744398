"""Records of a training set as samples of supervised training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmdbench.bagel.images import open_picture
from mmdbench.errors import DataError
from mmdbench.system.images import picture_size
from mmdbench.system.inner_paths import plain_name
from mmdbench.training.clear.layout import CLEAN
from mmdbench.training.clear.pictures import PictureSizes
from mmdbench.training.clear.segments import SequenceSegment, SftTexts, sft_segments
from mmdbench.training.training_format import TrainingRecord, read_records

__all__ = ["SftSample", "SftSource", "read_sft_samples"]


@dataclass(frozen=True, slots=True)
class SftSample:
    """A sample: its segments, none dropped or read yet, and the files of its pictures by name."""

    id: str
    group: str
    segments: tuple[SequenceSegment, ...]
    files: Mapping[str, Path]

    @property
    def rows(self) -> int:
        """Rows in a sequence if nothing is dropped."""
        return sum(segment.rows for segment in self.segments)

    def pictures(self) -> dict[str, Image.Image]:
        """The original pictures, RGB."""
        return {name: open_picture(file.read_bytes()) for name, file in self.files.items()}


@dataclass(frozen=True, slots=True)
class SftSource:
    """A training set as `mmdbench assign` writes it: the file, and how its texts become token ids."""

    file: Path
    system: str
    encode: Callable[[str], list[int]]
    layout: PictureSizes

    def sample(self, record: TrainingRecord) -> SftSample:
        """The sample of a record. Raises DataError if a text or a picture is missing."""
        texts, where = record.texts, f"{self.file}, record {record.id!r}"
        if not texts[0]:
            raise DataError(f"{where}: there is no answer to learn.", hint="Make the set with --trace.")
        restores = len(texts) > 1
        if restores and not record.clean_image:
            raise DataError(f"{where}: its answer restores the picture, but there is no 'clean_image'.")
        named = {"degraded": record.image} | ({CLEAN: record.clean_image} if restores else {})
        folder = self.file.parent
        files = {k: folder / plain_name(folder, name, where, DataError) for k, name in named.items()}
        grids = {k: self.size(file, where) for k, file in files.items()}
        segments = sft_segments(
            SftTexts(
                system=self.ids(self.system),
                question=self.ids(record.conversation.question),
                thought=self.ids(texts[0]) if restores else None,
                answer=self.ids(texts[-1]),
            ),
            (self.layout.vae_grid(*grids["degraded"]), self.layout.vit_grid(*grids["degraded"])),
            self.layout.vae_grid(*grids[CLEAN]) if restores else None,
        )
        return SftSample(record.id, "generate" if restores else "direct", segments, files)

    def ids(self, text: str) -> tuple[int, ...]:
        """The token ids of a text."""
        return tuple(self.encode(text))

    def size(self, file: Path, where: str) -> tuple[int, int]:
        """Width and height of a picture in pixels. Raises DataError, with the place, if it cannot be read."""
        try:
            return picture_size(file.read_bytes(), str(file))
        except OSError as error:
            raise DataError(f"{where}: cannot read {file}: {error.strerror}.") from error


def read_sft_samples(source: SftSource) -> dict[str, tuple[SftSample, ...]]:
    """The samples of a training set, by group: `direct` and `generate`, each if it has any."""
    found: dict[str, list[SftSample]] = {}
    for record in read_records(source.file):
        sample = source.sample(record)
        found.setdefault(sample.group, []).append(sample)
    if not found:
        raise DataError(f"{source.file} has no records.", hint="mmdbench assign writes sft.jsonl.")
    return {group: tuple(found[group]) for group in sorted(found)}
