"""Pictures of a run: made again from its benchmarks by its recipes, and those that its model kept."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdbench.benches import decode_image, open_bench
from mmdbench.benches.lookup import looks_like_path
from mmdbench.errors import DataError, MmdbenchError
from mmdbench.records import Index, Question, Recipe, Reply, RunPlan
from mmdbench.run.folder import IMAGES
from mmdbench.system.images import NO_LIMIT
from mmdbench.system.inner_paths import is_plain_name
from mmdbench.variants.recipes import RELEASED, SOURCE, CleanImage, make_variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["USUAL_FOLDERS", "SourceFolders", "made_pixels", "open_questions", "own_pictures", "remake"]

_NAME_AT_MOST = 200


@dataclass(frozen=True, slots=True)
class SourceFolders:
    """Folders that a run's benchmarks are looked for in, beside the usual ones.

    Attributes:
        data_dir: The folder of the benchmarks' files; files of the user's own are looked for there and in
            the working folder.
        image_root: A folder that image files of a TSV may be in beside the TSV's own.
    """

    data_dir: Path | None = None
    image_root: Path | None = None


USUAL_FOLDERS = SourceFolders()
"""No folders beside the usual ones."""


def open_questions(
    plan: RunPlan, benches: Iterable[str], folders: SourceFolders = USUAL_FOLDERS
) -> tuple[dict[tuple[str, Index], Question], list[str]]:
    """The questions of a run with their pictures; nothing is downloaded.

    Args:
        plan: The run's plan, which names files of the user's own.
        benches: The names of the benchmarks.
        folders: Folders of the user's.

    Returns:
        The questions by benchmark and index, and a line in words for each benchmark that could not be opened.
    """
    files = {Path(name).stem: Path(name).name for name in plan.benches if name.endswith(".tsv")}
    found: dict[tuple[str, Index], Question] = {}
    missing = []
    for name in sorted(benches):
        # The names are from the run's folder: none of them may mean a URL, or a file elsewhere.
        tries: list[str | Path] = [] if looks_like_path(name) else [name]
        if name in files:
            tries[:0] = [folder / files[name] for folder in (folders.data_dir, Path()) if folder]
        reason = "That is no name of a benchmark."
        for place in tries:
            try:
                bench = open_bench(
                    place,
                    data_dir=folders.data_dir,
                    offline=True,
                    answers="any",
                    image_root=folders.image_root,
                )
            except MmdbenchError as error:
                reason = error.message
            else:
                found |= {(name, question.index): question for question in bench.questions}
                break
        else:
            missing.append(f"{name}: {reason}")
    return found, missing


def remake(image: CleanImage, recipe: Recipe) -> tuple[NDArray[np.uint8], str]:
    """The RGB pixels (H×W×3, uint8) that a recipe makes, before any restorer, and their digest.

    Raises DataError for a picture of the authors' degraded files, which no recipe makes.
    """
    if recipe.codec == RELEASED and recipe.image != image.digest:
        raise DataError("A picture of the design 'released' is in the authors' file, not in the clean one.")
    if recipe.codec == SOURCE:
        return image.pixels, image.digest
    variant = make_variant(image, replace(recipe, image=image.digest))
    return decode_image(variant.image.data, "a picture made again", max_pixels=NO_LIMIT), variant.pixels


def made_pixels(image: Mapping[str, Any]) -> str:
    """The digest of the pixels that a recipe made for a reply's image, before any restorer."""
    return str((image.get("restored") or image).get("before") or image.get("pixels", ""))


def own_pictures(reply: Reply, folder: Path | None, manifest: Mapping[str, Any]) -> Iterator[bytes]:
    """The pictures that a model made on the way to a reply, as far as they were kept.

    An adapter keeps them in `details["images"]`, as base64 or as names of files.

    Args:
        reply: The reply.
        folder: The run's folder, None if there is none.
        manifest: The run's manifest, whose model may name another folder of pictures.

    Yields:
        Encoded pictures (PNG, JPEG, …).
    """
    images = reply.details.get("images", ())
    named = str(manifest.get("model", {}).get("options", {}).get("keep_images", ""))
    roots = [root for root in (folder, Path()) if root is not None]
    parts = ("", IMAGES, named if is_plain_name(named) else "")
    folders = [root / part for root in roots for part in parts]
    for image in images if isinstance(images, list | tuple) else ():
        if len(str(image)) < _NAME_AT_MOST:
            # Only the last part of the path is used, so that a reply cannot name any other file.
            paths = (place / Path(str(image)).name for place in folders)
            path = next((path for path in paths if path.is_file()), None)
            if path is not None:
                yield path.read_bytes()
            continue
        try:
            yield base64.b64decode(image, validate=True)
        except (binascii.Error, ValueError, TypeError):
            continue
