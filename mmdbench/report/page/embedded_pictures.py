"""Pictures embedded in a page as base64, each once, in the largest format that fits its size limit."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mmdbench.corruptions.spec import Spec
from mmdbench.records import Cell
from mmdbench.report.page.examples import Example
from mmdbench.report.page.thumbnails import ThumbnailFormat, ThumbnailJob, Thumbnails, plan_jobs, smaller
from mmdbench.results.graded_run import RunResults
from mmdbench.results.pictures import USUAL_FOLDERS, SourceFolders, open_questions
from mmdbench.system.opencv import single_threaded_opencv

__all__ = ["LADDER", "EmbeddedPictures", "collect", "make_pictures"]

LADDER = (
    ThumbnailFormat(384, 62),
    ThumbnailFormat(320, 58),
    ThumbnailFormat(288, 56),
    ThumbnailFormat(256, 54),
    ThumbnailFormat(232, 51),
    ThumbnailFormat(208, 48),
    ThumbnailFormat(192, 45),
    ThumbnailFormat(176, 42),
    ThumbnailFormat(160, 39),
    ThumbnailFormat(144, 36),
    ThumbnailFormat(112, 30),
)
"""Formats to try, the best first, until all pictures fit."""

_PROBES = 200
_PROBED_QUESTIONS = 8
_MARGIN = 0.92


@dataclass
class EmbeddedPictures:
    """Small pictures as base64 WebP, each once, and the cells and replies that show them.

    `cells` maps a cell to the numbers of its pictures, `kept` a reply's key to those that the model
    made itself. `unlike` counts pictures with other pixels than the run saw, `left_out` the cells
    for which there was no room; `missing` names what could not be opened, and `size` is that of
    `data` in bytes.
    """

    data: list[str] = field(default_factory=list)
    cells: dict[Cell, list[int]] = field(default_factory=dict)
    kept: dict[str, list[int]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unlike: int = 0
    left_out: int = 0
    size: int = 0


def make_pictures(
    runs: Sequence[RunResults],
    examples: Sequence[Example],
    spec: Spec,
    *,
    budget: int,
    folders: SourceFolders = USUAL_FOLDERS,
    on_progress: Callable[[int, int], object] | None = None,
) -> EmbeddedPictures:
    """Make the pictures of examples again, each question's once.

    The format is the best of `LADDER` that fits by a probe. Pictures that do not fit after all are
    left out, those of the last examples first.

    Args:
        runs: The graded runs; the first one's plan and notes say how its pictures were made. Without runs
            there are none.
        examples: The examples of the page.
        spec: The corruptions.
        budget: Size limit of all pictures, in bytes of base64.
        folders: Folders of benchmark files, searched first.
        on_progress: Called with the number of questions whose pictures are made, and of all.

    Returns:
        The pictures.
    """
    if not runs:
        return collect(examples, [], budget)
    questions, missing = open_questions(runs[0].plan, {e.question.bench for e in examples}, folders)
    jobs = plan_jobs(examples, questions, runs[0], spec)
    made: list[Thumbnails] = []
    workers = max(1, min(8, os.cpu_count() or 1))
    with single_threaded_opencv(), ThreadPoolExecutor(workers, thread_name_prefix="page") as pool:
        shape, probed = _fitting(jobs, budget, pool)
        results = pool.map(lambda n: probed.get(n) or jobs[n].make(shape), range(len(jobs)))
        for done, result in enumerate(results, 1):
            made.append(result)
            if on_progress is not None:
                on_progress(done, len(jobs))
    return collect(examples, made, budget, missing)


def collect(
    examples: Sequence[Example], made: Sequence[Thumbnails], budget: int, missing: Sequence[str] = ()
) -> EmbeddedPictures:
    """Number pictures in the order of the examples, as many as fit.

    Args:
        examples: The examples of the page.
        made: The pictures of each question.
        budget: Size limit of all pictures, in bytes of base64.
        missing: Sentences on what could not be opened.

    Returns:
        The pictures.
    """
    found = EmbeddedPictures(missing=list(missing), unlike=sum(m.unlike for m in made))
    found.missing += sorted({m.error for m in made if m.error})[:3]
    cells = {cell: images for m in made for cell, images in m.cells.items()}
    kept = {key: images for m in made for key, images in m.kept.items()}
    numbers: dict[bytes, int] = {}

    def place(images: Sequence[bytes]) -> list[int] | None:
        new = {image: base64.b64encode(image).decode("ascii") for image in images if image not in numbers}
        more = sum(len(text) + 1 for text in new.values())
        if found.size + more > budget:
            found.left_out += 1
            return None
        found.size += more
        for image, text in new.items():
            numbers[image] = len(found.data)
            found.data.append(text)
        return [numbers[image] for image in images]

    for example in examples:
        for cell in example.cells:
            if cell in cells and cell not in found.cells:
                numbered = place(cells[cell])
                found.cells |= {cell: numbered} if numbered is not None else {}
            for reply in (a.reply for a in example.answers[cell.level] if a.reply is not None):
                if reply.key in kept and reply.key not in found.kept:
                    numbered = place(kept[reply.key])
                    found.kept |= {reply.key: numbered} if numbered is not None else {}
    return found


def _fitting(
    jobs: Sequence[ThumbnailJob], budget: int, pool: ThreadPoolExecutor
) -> tuple[ThumbnailFormat, dict[int, Thumbnails]]:
    """The format that fits, and what was made in it for the probe, by the job's number."""
    each = max(1, sum(len(job.wanted) for job in jobs) // max(1, len(jobs)))
    wanted = max(_PROBED_QUESTIONS, _PROBES // each)
    probes = range(0, len(jobs), max(1, len(jobs) // wanted))
    best = dict(zip(probes, pool.map(lambda n: jobs[n].make(LADDER[0]), probes), strict=True))
    pictures = [image for made in best.values() for image in made.all()]
    scale = 4 / 3 * len(jobs) / max(1, len(probes))
    for shape in LADDER[:-1]:
        sizes = map(len, pictures if shape == LADDER[0] else (smaller(image, shape) for image in pictures))
        if sum(sizes) * scale <= budget * _MARGIN:
            return shape, best if shape == LADDER[0] else {}
    return LADDER[-1], {}
