"""Checks the pictures of a build: makes them again from their source, or decodes them without one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mmdbench.benches import Bench, decode_image
from mmdbench.builds.build_check import BuildCheck, Checked, Problem
from mmdbench.builds.manifest import read_log
from mmdbench.builds.output_reader import read_output
from mmdbench.builds.part_files import built_path
from mmdbench.builds.pipeline import Lookahead, in_order
from mmdbench.builds.row_images import ImageMaker, image_record
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import MmdbenchError
from mmdbench.records import Cell, Question
from mmdbench.system.digest import pixel_digest

__all__ = ["check_decoded", "check_remade"]


@dataclass(frozen=True)
class _Job:
    """Pictures to make again: a question, and for each cell the file, the log's row, and the positions."""

    question: Question
    wanted: tuple[tuple[str, dict[str, Any], tuple[int, ...]], ...]
    cells: tuple[Cell, ...]

    def has_profiles(self) -> bool:
        """True if a picture was logged with an ICC profile, which early builds dropped."""
        return any("icc" in image["recipe"] for _, logged, _ in self.wanted for image in logged["images"])


def check_remade(check: BuildCheck, source: Bench) -> Checked:
    """Make the pictures of a benchmark again, those in the sample, and compare them with the logs."""
    maker = ImageMaker(check.plan.as_run_plan(), load_spec(), as_cells=False, max_pixels=check.max_pixels)

    def remake(job: _Job, stop: threading.Event) -> tuple[int, list[Problem]]:
        problems: list[Problem] = []
        count = 0
        try:
            made = replace(maker, with_profiles=job.has_profiles()).variants(job.question, job.cells, stop)
        except MmdbenchError as error:
            return 0, [Problem(job.wanted[0][0], str(job.question.index), error.message)]
        for (file, logged, parts), variants in zip(job.wanted, made, strict=True):
            for part in parts:
                count += 1
                record = image_record(variants[part])
                problems += _compare(file, logged["index"], logged["images"][part], record)
        return count, problems

    yield from in_order(remake, _jobs(check, source), Lookahead(check.workers, lambda _: 1))


def check_decoded(check: BuildCheck, name: str) -> Checked:
    """Decode the pictures of a benchmark without a source and compare them with the logs."""

    def decode(item: tuple[str, str, bytes, str], _stop: threading.Event) -> tuple[int, list[Problem]]:
        file, index, data, pixels = item
        try:
            right = (
                pixel_digest(decode_image(data, f"{file}, index {index}", max_pixels=check.max_pixels))
                == pixels
            )
        except MmdbenchError as error:
            return 1, [Problem(file, index, error.message)]
        return 1, [] if right else [Problem(file, index, "its pixels differ from those in the log.")]

    yield from in_order(decode, _encoded(check, name), Lookahead(check.workers, lambda _: 1 << 20))


def _jobs(check: BuildCheck, source: Bench) -> Iterator[_Job]:
    outputs = [built for built in check.built if built.output.bench == source.name]
    numbers = check.offsets()
    logs = {built.output.name: read_log(built_path(check.folder, built.log.file)) for built in outputs}
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
    keys = [key for key in made["recipe"] if logged["recipe"].get(key) != made["recipe"][key]]
    if logged["recipe"] != made["recipe"]:
        what = f"its recipe differs from the source's and the plan's in {', '.join(keys)}."
    elif logged["params"] != made["params"]:
        what = "its drawn parameters differ."
    elif logged["pixels"] != made["pixels"]:
        what = "its pixels differ from those made from the source."
    elif logged["bytes"] != made["bytes"]:
        what = "its pixels are right, but the picture is encoded in other bytes here."
    elif logged["no_op"] != made["no_op"]:
        what = "its mark as a no-op is wrong."
    else:
        return []
    return [Problem(file, str(index), what)]


def _encoded(check: BuildCheck, name: str) -> Iterator[tuple[str, str, bytes, str]]:
    numbers = check.offsets()
    for built in check.built:
        if built.output.bench != name:
            continue
        number = numbers[built.output.name]
        try:
            log = read_log(built_path(check.folder, built.log.file))
            rows = read_output(check.folder, built, check.plan.format, check.families[name])
            for logged, stored in zip(log, rows, strict=False):
                for image, data in zip(logged["images"], stored.pictures, strict=False):
                    if check.wanted(number):
                        yield stored.file, stored.index, data, image["pixels"]
                    number += 1
        except MmdbenchError:
            # A file that cannot be read was reported when the rows were checked.
            continue
