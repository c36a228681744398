"""Pictures embedded in a page as base64, each once, in the largest format that fits its size limit."""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mmdbench.corruptions.spec import Spec
from mmdbench.records import Cell
from mmdbench.report.page.examples import Example
from mmdbench.report.page.thumbnails import Thumbnails, in_format, in_shape, plan_jobs
from mmdbench.results.graded_run import RunResults
from mmdbench.results.pictures import USUAL_FOLDERS, SourceFolders, open_questions
from mmdbench.run.previews import PREVIEW, PreviewFolder, PreviewFormat
from mmdbench.system.opencv import single_threaded_opencv
from mmdbench.system.processes import available_cpus

__all__ = ["LADDER", "EmbeddedPictures", "collect", "make_pictures"]

LADDER = (
    PREVIEW,
    PreviewFormat(320, 58),
    PreviewFormat(288, 56),
    PreviewFormat(256, 54),
    PreviewFormat(232, 51),
    PreviewFormat(208, 48),
    PreviewFormat(192, 45),
    PreviewFormat(176, 42),
    PreviewFormat(160, 39),
    PreviewFormat(144, 36),
    PreviewFormat(112, 30),
)
"""Formats to try, the best first, until all pictures fit."""

_PROBES = 40
_MARGIN = 0.95


@dataclass
class EmbeddedPictures:
    """Small pictures as base64 WebP, each once, and the cells and replies that show them.

    `cells` maps a cell to the numbers of its pictures, `failed` to the reason why it has none, and `kept` a
    reply's key to the pictures that the model made itself. `unlike` counts pictures with other pixels than
    the run saw, `left_out` the cells for which there was no room; `missing` names what could not be opened,
    and `size` is that of `data` in bytes.
    """

    data: list[str] = field(default_factory=list)
    cells: dict[Cell, list[int]] = field(default_factory=dict)
    kept: dict[str, list[int]] = field(default_factory=dict)
    failed: dict[Cell, str] = field(default_factory=dict)
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
    """The pictures of examples: previews of the first run, which makes and keeps those that it lacks.

    The format is the best of `LADDER` that fits by a probe of some pictures. Pictures that do not fit after
    all are left out, those of the last examples first. Smaller pictures are kept beside the previews.

    Args:
        runs: The graded runs; the first one's plan and notes say how its pictures were made. Without runs
            there are none.
        examples: The examples of the page.
        spec: The corruptions.
        budget: Size limit of all pictures, in bytes of base64.
        folders: Folders of benchmark files, searched first.
        on_progress: Called with the number of questions whose pictures are made, and of all; again from 1
            if smaller ones are made.

    Returns:
        The pictures.
    """
    if not runs:
        return collect(examples, [], budget)
    questions, missing = open_questions(runs[0].plan, {e.question.bench for e in examples}, folders)
    jobs = plan_jobs(examples, questions, runs[0], spec)
    previews = PreviewFolder(runs[0].folder)

    def ready(results: Iterable[Thumbnails]) -> Iterator[Thumbnails]:
        for done, result in enumerate(results, 1):
            if on_progress is not None:
                on_progress(done, len(jobs))
            yield result

    workers = min(8, available_cpus())
    with single_threaded_opencv(), ThreadPoolExecutor(workers, thread_name_prefix="page") as pool:
        made = list(ready(pool.map(lambda job: job.make(previews), jobs)))
        shape = _fitting(list(dict.fromkeys(p for one in made for p in one.all())), budget, previews, pool)
        if shape != PREVIEW:
            made = list(ready(pool.map(lambda one: in_format(one, shape, previews), made)))
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
    found.failed = {cell: reason for m in made for cell, reason in m.failed.items()}
    reasons = {m.error for m in made if m.error} | set(found.failed.values())
    found.missing += sorted(reasons)[:3]
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
    pictures: Sequence[bytes], budget: float, previews: PreviewFolder, pool: ThreadPoolExecutor
) -> PreviewFormat:
    """The best format of `LADDER` in which these previews fit into a budget, in bytes of base64."""
    # Of all sizes, so that no corruption or level is left out by its place.
    probes = sorted(pictures, key=len)[:: max(1, len(pictures) // _PROBES)]
    whole, probed = sum(map(len, pictures)), max(1, sum(map(len, probes)))

    def fits(shape: PreviewFormat) -> bool:
        # How much smaller a format makes a picture varies little from one to another.
        smaller = sum(pool.map(lambda picture: len(in_shape(picture, shape, previews)), probes))
        return whole * smaller / probed * 4 / 3 <= budget * _MARGIN

    # Most pages have room for previews as they are.
    if sum(-(-len(picture) // 3) * 4 + 1 for picture in pictures) <= budget:
        return PREVIEW
    return LADDER[bisect_left(LADDER, True, 1, len(LADDER) - 1, key=fits)]
