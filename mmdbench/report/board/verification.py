"""Verification of a submission: files, grades and pictures of its run are looked at again.

The replies are graded anew, and the pictures of a random sample of requests are made anew from the benchmark
and compared with the digests of those that the model was shown.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmdbench.corruptions.spec import Spec
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import MmdbenchError
from mmdbench.records import Cell, Index, Question, Recipe, Reply
from mmdbench.report.board.submission import Submission, make_submission
from mmdbench.report.identity import differences
from mmdbench.results.graded_run import RunResults, load_results
from mmdbench.results.judging.asked import NO_JUDGE
from mmdbench.results.pictures import USUAL_FOLDERS, SourceFolders, made_pixels, open_questions, remake
from mmdbench.system.shapes import read_as
from mmdbench.variants.recipes import RELEASED, clean_image, recipe_for

__all__ = ["SubmissionCheck", "verify_submission"]


@dataclass(frozen=True, slots=True)
class SubmissionCheck:
    """The result of a verification: its problems as sentences, and the numbers of what was looked at.

    `missing` are sentences on pictures that could not be made again.
    """

    problems: tuple[str, ...] = ()
    grades: int = 0
    pictures: int = 0
    missing: tuple[str, ...] = ()


def verify_submission(
    submission: Submission,
    folder: Path,
    *,
    sample: int = 50,
    folders: SourceFolders = USUAL_FOLDERS,
) -> SubmissionCheck:
    """Compare a submission with the folder of its run, from the replies and the benchmarks.

    Args:
        submission: The submission.
        folder: The run's folder.
        sample: Number of requests, drawn anew in each call, whose pictures are made again; 0 for all.
        folders: Folders of benchmark files; nothing is downloaded.

    Returns:
        The problems.

    Raises:
        StoreError: The folder holds no run.
    """
    run = load_results(
        folder,
        protocol=submission.identity["protocol"],
        extraction=submission.identity["extraction"],
        judged_by=submission.record["judge"] or NO_JUDGE,
    )
    found = make_submission(run)
    problems = ["digest: the submission was changed after it was written"] if submission.changed else []
    problems += _file_problems(submission.record["files"], found.record["files"])
    settings = differences(submission.identity, found.identity)
    problems += [f"{d.field}: {d.first} submitted, {d.second} in the run" for d in settings]
    problems += [
        f"{name}: {submission.record[name] or 'none'} submitted, {found.record[name] or 'none'} in the run"
        for name in ("problem", "asked", "spec")
        if submission.record[name] != found.record[name]
    ]
    notes = [one.record["notes"] for one in (submission, found)]
    problems += [f"note missing in the submission: {note}" for note in notes[1] if note not in notes[0]]
    problems += [f"note that the run does not have: {note}" for note in notes[0] if note not in notes[1]]
    theirs = _grades(found)
    problems += _grade_problems(_grades(submission), theirs)
    pictures = _Pictures(run, load_spec(), folders)
    problems += pictures.problems(_sample(run, sample))
    return SubmissionCheck(tuple(problems), len(theirs), pictures.made, tuple(pictures.missing))


def _file_problems(submitted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys((*submitted, *found)):
        if name not in found:
            yield f"{name}: submitted, and not in the run's folder"
        elif name not in submitted:
            yield f"{name}: in the run's folder, and not submitted"
        elif submitted[name] != found[name]:
            yield f"{name}: SHA-256 {submitted[name][:12]} submitted, {found[name][:12]} in the run's folder"


_Place = tuple[str, Index, str, str, str]


def _grades(one: Submission) -> dict[_Place, float]:
    return {(h.bench, h.unit, h.level, h.corruption or "", h.stratum): h.hit for h in one.results.hits}


def _grade_problems(submitted: Mapping[_Place, float], found: Mapping[_Place, float]) -> Iterator[str]:
    for place in dict.fromkeys((*found, *submitted)):
        bench, unit, level, corruption, _ = place
        where = _where(Cell(bench, unit, level, corruption or None))
        if place not in found:
            yield f"{where}: a grade is submitted, and the run has no such question"
        elif place not in submitted:
            yield f"{where}: the run has this question, and no grade is submitted"
        elif submitted[place] != found[place]:
            yield f"{where}: grade {submitted[place]:g} submitted, {found[place]:g} by the reply"


def _where(cell: Cell) -> str:
    corruption = f" under {cell.corruption}" if cell.corruption else ""
    return f"{cell.bench} {cell.index}, {cell.level}{corruption}"


def _sample(run: RunResults, count: int) -> list[Cell]:
    # A failed request may have had no picture, and later repeats show the pictures of the first.
    shown = [cell for cell in run.cells if cell.repeat == 1 and _answered(run.replies.get(cell))]
    if not count or count >= len(shown):
        return shown
    return random.Random().sample(shown, count)  # noqa: S311 - a sample, no secret


def _answered(reply: Reply | None) -> bool:
    return reply is not None and reply.status == "ok"


class _Pictures:
    """The pictures of requests, made again: `made` counts them, `missing` tells what could not be."""

    def __init__(self, run: RunResults, spec: Spec, folders: SourceFolders) -> None:
        self._run, self._spec, self._folders = run, spec, folders
        self.made = 0
        self.missing: list[str] = []

    def problems(self, cells: Sequence[Cell]) -> Iterator[str]:
        """The pictures that differ from those that the replies name."""
        benches = {cell.bench for cell in cells}
        questions, self.missing = open_questions(self._run.plan, benches, self._folders)
        for cell in sorted(cells, key=_where):
            question = questions.get((cell.bench, cell.index))
            if question is not None:
                try:
                    yield from self._of_cell(cell, question)
                except MmdbenchError as error:
                    yield f"{_where(cell)}: {error.message}"
            elif not any(line.startswith(f"{cell.bench}:") for line in self.missing):
                yield f"{_where(cell)}: the benchmark's file has no such question"

    def _of_cell(self, cell: Cell, question: Question) -> Iterator[str]:
        images = self._run.replies[cell].images
        if len(images) != len(question.images):
            yield f"{_where(cell)}: {len(images)} pictures shown, the benchmark has {len(question.images)}"
            return
        for image, source in zip(images, question.images, strict=True):
            clean = clean_image(source.read(), source.where)
            wanted = recipe_for(cell, clean.digest, self._run.plan, self._spec, clean.icc_digest)
            if wanted.codec == RELEASED:
                self._note(f"{cell.bench}: pictures of the authors' degraded files cannot be made again.")
                continue
            shown = read_as(Recipe, image.get("recipe", {}))
            if replace(shown, icc=wanted.icc) != wanted:  # early runs recorded no profile
                yield f"{_where(cell)}: made by another recipe than the plan's ({_unlike(shown, wanted)})"
                continue
            self.made += 1
            digest = remake(clean, shown)[1]
            if digest != made_pixels(image):
                yield f"{_where(cell)}: pixels {made_pixels(image)[:12]} submitted, made again {digest[:12]}"

    def _note(self, line: str) -> None:
        if line not in self.missing:
            self.missing.append(line)


def _unlike(shown: Recipe, wanted: Recipe) -> str:
    ours, theirs = shown.as_dict(), wanted.as_dict()
    names = (name for name in theirs if ours.get(name) != theirs[name] and name != "icc")
    return ", ".join(f"{name}: {str(ours.get(name))[:12]}, not {str(theirs[name])[:12]}" for name in names)
