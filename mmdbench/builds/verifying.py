"""Prove a build: its files against its manifest, and its pictures against the benchmark they came from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench, decode_image
from mmdbench.benches.table import Row
from mmdbench.builds.logs import Built, read_build, read_log
from mmdbench.builds.making import Maker, image_record
from mmdbench.builds.parts import file_record
from mmdbench.builds.pipeline import default_workers, in_order
from mmdbench.builds.plan import BuildPlan, plain_integer
from mmdbench.builds.replanning import unplanned_rows
from mmdbench.builds.sources import Sources
from mmdbench.builds.stored import StoredRow, read_output
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import IncomparableError, MmdbenchError, StoreError
from mmdbench.records import Cell, Question
from mmdbench.system.digest import bytes_digest, pixel_digest
from mmdbench.variants.recipes import one_thread_each

__all__ = ["Problem", "Verification", "verify_build"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it must be: in which file, at which index if it is one row, and what."""

    file: str
    index: str
    what: str

    def __str__(self) -> str:
        place = f"{self.file}, index {self.index}" if self.index else self.file
        return f"{place}: {self.what}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked: files, rows, pictures made anew from the source or else decoded; what is wrong.

    `missing` says for each benchmark without a source why it was not found.
    """

    files: int
    rows: int
    remade: int
    decoded: int
    problems: tuple[Problem, ...]
    missing: Mapping[str, str]


@dataclass(frozen=True)
class _Check:
    """What is being checked, and how many of its pictures are made anew, evenly spread; 0 is all."""

    folder: Path
    plan: BuildPlan
    built: tuple[Built, ...]
    families: Mapping[str, str]
    sources: Sources
    sample: int
    workers: int
    on_progress: Callable[[int, int], None]

    def wanted(self, number: int) -> bool:
        """Whether the picture of that number, counted over all outputs, is in the sample."""
        total = self.pictures()
        if not 0 < self.sample < total:
            return True
        return (number + 1) * self.sample // total > number * self.sample // total

    def pictures(self) -> int:
        """How many pictures the build holds."""
        return sum(built.pictures for built in self.built)

    def offsets(self) -> dict[str, int]:
        """The number of the first picture of each output."""
        found, number = {}, 0
        for built in self.built:
            found[built.output.name] = number
            number += built.pictures
        return found


@dataclass(frozen=True)
class _Job:
    """Pictures to make anew: a question, and for each the log's row, the place in it, and the file."""

    question: Question
    wanted: tuple[tuple[str, dict[str, Any], tuple[int, ...]], ...]
    cells: tuple[Cell, ...]


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def verify_build(
    folder: Path,
    sources: Sources,
    *,
    sample: int = 0,
    workers: int = 0,
    on_progress: Callable[[int, int], None] = _silent,
) -> Verification:
    """Check every file and row of a build, and make its pictures anew, all or `sample` of them.

    Pictures of a benchmark without a source are decoded and compared with the manifest instead.
    Raises StoreError if the build is unfinished, IncomparableError if it was made with another spec.
    """
    manifest = read_build(folder)
    if not manifest["complete"]:
        raise StoreError(f"The build in {folder} is unfinished.", hint="Run the same build command again.")
    spec = load_spec()
    if manifest["spec"]["digest"] != spec.digest and sources.found:
        raise IncomparableError(
            f"The build was made with spec version {manifest['spec']['version']}, this is {spec.version}.",
            hint=f"Install mmdbench=={manifest['versions']['mmdbench']}, or use --files-only.",
        )
    built = tuple(Built.from_dict(record) for record in manifest["outputs"])
    check = _Check(
        folder,
        BuildPlan.from_dict(manifest["plan"]),
        built,
        {record["name"]: record["family"] for record in manifest["benches"]},
        sources,
        sample,
        workers or default_workers(),
        on_progress,
    )
    problems = [problem for output in built for problem in _check_files(check, output)]
    problems += [problem for output in built for problem in _check_rows(check, output)]
    problems += [Problem(*found) for found in unplanned_rows(folder, check.plan, built, sources.found)]
    with one_thread_each():
        remade, decoded = _Tally(check), _Tally(check)
        for name in check.families:
            if name in sources.found:
                remade.take(_remade(check, sources.found[name]))
            else:
                decoded.take(_decoded(check, name))
    files = sum(1 + len(b.files) for b in built)
    rows = sum(b.rows for b in built)
    problems += remade.problems + decoded.problems
    return Verification(
        files, rows, remade.done, decoded.done, tuple(dict.fromkeys(problems)), sources.missing
    )


class _Tally:
    """Counts pictures as they are checked, and collects what is wrong."""

    def __init__(self, check: _Check) -> None:
        self._check = check
        self._total = min(check.sample or check.pictures(), check.pictures())
        self.done = 0
        self.problems: list[Problem] = []

    def take(self, checked: Iterator[tuple[int, list[Problem]]]) -> None:
        """Work through what is checked."""
        for count, problems in checked:
            self.done += count
            self.problems += problems
            self._check.on_progress(self.done, self._total)


def _check_files(check: _Check, built: Built) -> Iterator[Problem]:
    for record in (built.log, *built.files):
        try:
            found = file_record(check.folder, record.file)
        except StoreError as error:
            yield Problem(record.file, "", error.message)
            continue
        if found.bytes != record.bytes:
            yield Problem(
                record.file, "", f"it has {found.bytes} bytes, and had {record.bytes} when it was written."
            )
        elif found.sha256 != record.sha256:
            yield Problem(record.file, "", "its bytes were changed after it was written.")


def _check_rows(check: _Check, built: Built) -> Iterator[Problem]:
    """The rows of an output against its log, picture by picture, and its cells against the source."""
    source = check.sources.found.get(built.output.bench)
    originals = {str(index): row for index, row in source.rows.items()} if source else None
    digests: dict[str, list[str]] = {}
    where = built.log.file
    try:
        log = read_log(check.folder / built.log.file)
        for stored in read_output(check.folder, built, check.plan.format, check.families[built.output.bench]):
            where = stored.file
            logged = next(log, None)
            if logged is None or str(logged["index"]) != stored.index:
                yield Problem(stored.file, stored.index, "the log has another row here.")
                return
            yield from _check_pictures(stored, logged, digests)
            if originals is not None and stored.row is not None:
                columns = () if "refers" in logged else ("image",)
                yield from _check_cells(stored, stored.row, originals.get(stored.index), columns)
        for logged in log:
            yield Problem(where, str(logged["index"]), "the row is missing.")
    except MmdbenchError as error:
        yield Problem(where, "", error.message)


def _check_pictures(
    stored: StoredRow, logged: Mapping[str, Any], digests: dict[str, list[str]]
) -> Iterator[Problem]:
    found = [bytes_digest(picture) for picture in stored.pictures]
    expected = [image["bytes"] for image in logged["images"]]
    if "refers" in logged:
        cell = stored.row.text("image") if stored.row else ""
        if cell != logged["refers"]:
            yield Problem(stored.file, stored.index, "it refers to another row than the log says.")
        expected = digests.get(cell, digests.get(plain_integer(cell), []))
    digests[stored.index] = found
    if found != expected:
        yield Problem(stored.file, stored.index, "its pictures are not those that the log names.")


def _check_cells(
    stored: StoredRow, row: Row, original: Row | None, but: tuple[str, ...]
) -> Iterator[Problem]:
    """The cells of a row against the source's, byte for byte, but for those columns."""
    if original is None:
        yield Problem(stored.file, stored.index, "the source has no such row.")
        return
    # An `image_path` became an `image` where there was none.
    paths = () if original.header.position("image") is not None else ("image_path",)
    for column in original.header.names:
        if column and column not in (*but, *paths) and row.raw(column) != original.raw(column):
            yield Problem(stored.file, stored.index, f"the column {column!r} is not the source's.")


def _remade(check: _Check, source: Bench) -> Iterator[tuple[int, list[Problem]]]:
    """Make the pictures of a benchmark anew, those in the sample, and compare them with the logs."""
    maker = Maker(source, check.plan.as_run_plan(), load_spec(), as_cells=False)

    def remake(job: _Job, stop: threading.Event) -> tuple[int, list[Problem]]:
        problems: list[Problem] = []
        count = 0
        try:
            made = maker.variants(job.question, job.cells, stop)
        except MmdbenchError as error:
            return 0, [Problem(job.wanted[0][0], str(job.question.index), error.message)]
        for (file, logged, parts), variants in zip(job.wanted, made, strict=True):
            for part in parts:
                count += 1
                record = image_record(variants[part])
                problems += _compare(file, logged["index"], logged["images"][part], record)
        return count, problems

    yield from in_order(remake, _jobs(check, source), check.workers, lambda _: 1)


def _jobs(check: _Check, source: Bench) -> Iterator[_Job]:
    outputs = [built for built in check.built if built.output.bench == source.name]
    numbers = check.offsets()
    logs = {built.output.name: read_log(check.folder / built.log.file) for built in outputs}
    heads = {name: next(log, None) for name, log in logs.items()}
    for question in source.questions:
        wanted, cells = [], []
        for built in outputs:
            name = built.output.name
            logged = heads[name]
            if logged is None or logged["index"] != question.index:
                continue
            heads[name] = next(logs[name], None)
            images = logged["images"]
            parts = tuple(n for n in range(len(images)) if check.wanted(numbers[name] + n))
            numbers[name] += len(images)
            if parts:
                wanted.append((str(logged.get("file", name)), logged, parts))
                cells.append(Cell(source.name, question.index, built.output.level, logged["corruption"]))
        if wanted:
            yield _Job(question, tuple(wanted), tuple(cells))


def _compare(file: str, index: object, logged: Mapping[str, Any], made: Mapping[str, Any]) -> list[Problem]:
    if logged["recipe"] != made["recipe"]:
        keys = [key for key in made["recipe"] if logged["recipe"].get(key) != made["recipe"][key]]
        return [
            Problem(
                file, str(index), f"its recipe differs from the source's and the plan's in {', '.join(keys)}."
            )
        ]
    if logged["params"] != made["params"]:
        return [Problem(file, str(index), "other parameters are drawn for it.")]
    if logged["pixels"] != made["pixels"]:
        return [Problem(file, str(index), "its pixels are not those that the source gives.")]
    if logged["bytes"] != made["bytes"]:
        return [Problem(file, str(index), "its pixels are right, but they are encoded in other bytes here.")]
    return (
        []
        if logged["no_op"] == made["no_op"]
        else [Problem(file, str(index), "it is wrongly said to be a no-op.")]
    )


def _decoded(check: _Check, name: str) -> Iterator[tuple[int, list[Problem]]]:
    """Decode the pictures of a benchmark without a source and compare them with the logs."""

    def decode(item: tuple[str, str, bytes, str], _stop: threading.Event) -> tuple[int, list[Problem]]:
        file, index, data, pixels = item
        try:
            right = pixel_digest(decode_image(data, f"{file}, index {index}")) == pixels
        except MmdbenchError as error:
            return 1, [Problem(file, index, error.message)]
        return 1, [] if right else [Problem(file, index, "its pixels are not those that the log names.")]

    yield from in_order(decode, _encoded(check, name), check.workers, lambda _: 1 << 20)


def _encoded(check: _Check, name: str) -> Iterator[tuple[str, str, bytes, str]]:
    numbers = check.offsets()
    for built in check.built:
        if built.output.bench != name:
            continue
        number = numbers[built.output.name]
        try:
            log = read_log(check.folder / built.log.file)
            rows = read_output(check.folder, built, check.plan.format, check.families[name])
            for logged, stored in zip(log, rows, strict=False):
                for image, data in zip(logged["images"], stored.pictures, strict=False):
                    if check.wanted(number):
                        yield stored.file, stored.index, data, image["pixels"]
                    number += 1
        except MmdbenchError:
            # Whatever cannot be read was reported when the rows were checked.
            continue
