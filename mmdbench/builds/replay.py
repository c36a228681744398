"""Makes one picture of a build again, from its log and its benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.builds.manifest import BUILD_KIND, BuiltOutput, read_build, read_log, read_log_head
from mmdbench.builds.part_files import built_path
from mmdbench.builds.plan import Output
from mmdbench.errors import DataError, StoreError, UsageError
from mmdbench.records import Recipe, Variant
from mmdbench.system.images import MAX_PIXELS
from mmdbench.system.shapes import read_as
from mmdbench.variants.recipes import apply_recipe, clean_image

__all__ = ["ImageQuery", "LoggedImage", "find_picture", "read_manifest_of", "replay"]


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """The picture to find: the index of its row, and any of the rest that several pictures differ in."""

    index: str
    bench: str = ""
    level: str = ""
    corruption: str = ""
    part: int = 0


@dataclass(frozen=True, slots=True)
class LoggedImage:
    """A picture as the build logged it."""

    output: Output
    index: int | str
    part: int
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Output, index and number of the picture, for messages."""
        return f"{self.output.name}, index {self.index}" + (f", picture {self.part + 1}" if self.part else "")


def read_manifest_of(path: Path) -> tuple[dict[str, Any], list[tuple[Output, Path]]]:
    """Read a manifest, or the head of a log, and the paths of its logs.

    `path` is the folder of a build, its `manifest.json`, or one of its logs. Raises UsageError if it
    is something else.
    """
    if not path.exists():
        raise UsageError(f"There is no file or folder {path}.", hint="Name the folder of a build.")
    if path.suffix != ".jsonl":
        folder = path if path.is_dir() else path.parent
        manifest = read_build(folder)
        built = [BuiltOutput.from_dict(record) for record in manifest["outputs"]]
        return manifest, [(b.output, built_path(folder, b.log.file)) for b in built]
    try:
        with path.open("rb") as file:
            head = read_log_head(file.readline())
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is not a log of a build ({error}).", hint=f"Name the folder of a {BUILD_KIND}."
        ) from error
    return head, [(read_as(Output, head["output"]), path)]


def find_picture(logs: list[tuple[Output, Path]], wanted: ImageQuery) -> LoggedImage:
    """The one picture that fits. Raises UsageError if none does, or several."""
    matches = [found for output, path in logs for found in _matches(output, path, wanted)]
    if not matches:
        raise UsageError(f"The build has no picture {_described(wanted)}.")
    if len(matches) > 1:
        names = ", ".join(
            f"{m.output.level} {m.record['recipe']['corruption'] or ''}".strip() for m in matches[:8]
        )
        raise UsageError(
            f"{len(matches)} pictures are {_described(wanted)}: {names}.",
            hint="Add --bench, --level or --corruption.",
        )
    return matches[0]


def _matches(output: Output, path: Path, wanted: ImageQuery) -> Iterator[LoggedImage]:
    if (wanted.bench and output.bench != wanted.bench) or (wanted.level and output.level != wanted.level):
        return
    if wanted.corruption and output.corruption not in (None, wanted.corruption):
        return
    for row in read_log(path):
        if str(row["index"]) != wanted.index or (
            wanted.corruption and row["corruption"] != wanted.corruption
        ):
            continue
        if "refers" in row:
            raise UsageError(
                f"{output.name}, index {wanted.index} shows the picture of another row.",
                hint="Its image cell in the benchmark is that row's index: replay that one.",
            )
        if not 0 <= wanted.part < len(row["images"]):
            raise UsageError(f"{output.name}, index {wanted.index} has {len(row['images'])} pictures.")
        yield LoggedImage(output, row["index"], wanted.part, row["images"][wanted.part])


def _described(wanted: ImageQuery) -> str:
    parts = (wanted.bench, wanted.level, wanted.corruption)
    return " ".join([f"with index {wanted.index}", *(part for part in parts if part)])


def replay(found: LoggedImage, source: Bench, max_pixels: int = MAX_PIXELS) -> Variant:
    """Make the picture again from its recipe and its drawn parameters.

    Args:
        found: The picture in the build's log.
        source: The benchmark that the build was made of.
        max_pixels: The largest picture to read, in pixels.

    Returns:
        The picture.

    Raises:
        DataError: The source has another picture there, or one that is too large.
        StoreError: The pixels differ from those that the build logged.
    """
    question = next((q for q in source.questions if q.index == found.index), None)
    if question is None or found.part >= len(question.images):
        raise DataError(f"{source.path} has no picture for {found.name}.")
    image = question.images[found.part]
    clean = clean_image(image.read(), image.where, max_pixels)
    recipe = read_as(Recipe, found.record["recipe"])
    if clean.digest != recipe.image or recipe.icc not in ("", clean.icc_digest):
        raise DataError(f"{image.where}: this is not the picture that {found.name} was made from.")
    variant = apply_recipe(clean, recipe, found.record["params"])
    if variant.pixels != found.record["pixels"]:
        raise StoreError(
            f"{found.name}: the pixels differ from those that the build logged.",
            hint="Another version of OpenCV or Pillow may decode or encode differently; see the manifest.",
        )
    return variant
