"""Pictures to measure: those of a run, or of a folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmdbench.benches import decode_image
from mmdbench.errors import DataError, ImageDecodeError
from mmdbench.records import UNDEGRADED, Index, Question, Recipe
from mmdbench.results.arms import read_run
from mmdbench.results.pictures import (
    USUAL_FOLDERS,
    SourceFolders,
    made_pixels,
    open_questions,
    own_pictures,
    remake,
)
from mmdbench.results.quality.measure import Picture
from mmdbench.run.manifest import read_manifest
from mmdbench.system.digest import pixel_digest
from mmdbench.system.files import MANIFEST_FILE
from mmdbench.system.images import MAX_PIXELS, picture_files
from mmdbench.system.shapes import read_as
from mmdbench.variants.recipes import CleanImage, clean_image

__all__ = ["folder_pictures", "is_run", "open_pictures", "run_pictures"]


def open_pictures(
    folder: Path, folders: SourceFolders = USUAL_FOLDERS, max_pixels: int = MAX_PIXELS
) -> tuple[list[Picture], list[str]]:
    """The pictures of a run or of a folder, and a line for each that cannot be opened.

    Args:
        folder: Folder of a run, or of pictures.
        folders: Folders of the run's benchmarks and their pictures.
        max_pixels: The largest picture to read, in pixels.

    Returns:
        The pictures, and the lines.
    """
    if is_run(folder):
        return run_pictures(folder, folders, max_pixels)
    return folder_pictures(folder, max_pixels), []


def is_run(folder: Path) -> bool:
    """True if a folder is that of a run."""
    return (folder / MANIFEST_FILE).is_file() and read_manifest(folder).get("kind") == "mmdbench run"


def folder_pictures(folder: Path, max_pixels: int = MAX_PIXELS) -> list[Picture]:
    """Every picture below a folder, by name. Raises DataError if there is none."""
    found = []
    for path in picture_files(folder):
        load = partial(_from_file, path, max_pixels)
        name = path.relative_to(folder).as_posix()
        found.append(Picture("image", "", "", pixel_digest(load()), load, name))
    if not found:
        raise DataError(f"There is no picture in {folder}.", hint="Name a folder of pictures or of a run.")
    return found


def run_pictures(
    folder: Path, folders: SourceFolders = USUAL_FOLDERS, max_pixels: int = MAX_PIXELS
) -> tuple[list[Picture], list[str]]:
    """Every picture that the model of a run saw or made, each once, and a line for what cannot be opened.

    Replies alone tell which pictures these are; they are made again when they are loaded.

    Args:
        folder: Folder of a run.
        folders: Folders of its benchmarks and their pictures.
        max_pixels: The largest picture to read, in pixels.

    Returns:
        The pictures, and the lines.
    """
    run = read_run(folder)
    questions, missing = open_questions(run.plan, run.benches, folders)
    found: dict[Picture, None] = {}
    remaker = _Remaker(max_pixels)
    for cell, reply in run.replies.items():
        level, corruption = cell.level, cell.corruption or ""
        kind = level if level in UNDEGRADED else "degraded"
        question = questions.get((cell.bench, cell.index))
        if question is not None:
            for place, image in enumerate(reply.images):
                load = partial(remaker.remade, question, place, read_as(Recipe, image["recipe"]))
                found.setdefault(Picture(kind, level, corruption, made_pixels(image), load))
        try:
            for data in own_pictures(reply, folder, run.manifest):
                own = partial(decode_image, data, f"a picture of reply {reply.key}", max_pixels=max_pixels)
                found.setdefault(Picture("restored", level, corruption, pixel_digest(own()), own))
        except ImageDecodeError as damage:
            missing.append(damage.message)
    return list(found), missing


class _Remaker:
    """Makes pictures again; the last clean picture stays decoded."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._kept: tuple[tuple[str, Index, int], CleanImage] | None = None

    def remade(self, question: Question, place: int, recipe: Recipe) -> NDArray[np.uint8]:
        name = (question.bench, question.index, place)
        if self._kept is None or self._kept[0] != name:
            source = question.images[place]
            self._kept = (name, clean_image(source.read(), source.where, self._max_pixels))
        return remake(self._kept[1], recipe)[0]


def _from_file(path: Path, max_pixels: int) -> NDArray[np.uint8]:
    return decode_image(path.read_bytes(), str(path), max_pixels=max_pixels)
