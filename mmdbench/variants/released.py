"""The authors' degraded files: found by name, read, and shown instead of pictures made by mmdbench.

They are placed beside the clean files and named after them: `MMVP_LOW_LEVEL_HIGH.tsv` holds every
question at Hard under one drawn corruption (the three are `_LOW_LEVEL_LOW`, `_LOW_LEVEL_MID` and
`_LOW_LEVEL_HIGH`), `MMVP_motion_blur.tsv` every question under that corruption, at a level that the
name does not give. A run takes only the pictures from them: questions, answers and the clean arm
are those of the clean benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.benches.bench import read_bench
from mmdbench.benches.catalog import find_bench, get_bench_names, is_degraded
from mmdbench.corruptions.spec_file import shipped_spec
from mmdbench.errors import DataError, UnknownNameError, UsageError
from mmdbench.records import UNDEGRADED, Cell, ImageSource, Question, RunPlan

__all__ = [
    "KNOWN_SHA256",
    "ReleasedCopies",
    "ReleasedCopy",
    "ReleasedFile",
    "find_released_files",
    "open_released",
    "parse_released_name",
    "released_images",
    "require_released_files",
]

KNOWN_SHA256 = {
    "MMStar_LOW_LEVEL_HIGH": "c8254ee79c8231ea3fa01ad862a4fc2567cb497ae67bb091da46f123f0949731",
    "RealWorldQA_LOW_LEVEL_HIGH": "f60255a169021a4f3a3e8187d8c8a1921fcdb9bf386455d1209868df4433f347",
    "MMVet_LOW_LEVEL_LOW": "9f28d8d64529e6ecda7f47a7d19ee5065566fac50cb0f9cc4b0b6a704c7b1bf8",
    "MMBench_DEV_EN_V11_LOW_LEVEL_MID": "b835b7536c068ac111ea5b0d44d0bf0d09b2170bbc81b07a427d0aa89a14dbce",
}
"""SHA-256 of published files, by name. Those of the others are the Hub's, recorded at the download."""

_LEVELS = {"LOW": "low", "MID": "mid", "HIGH": "hard"}
_BY_LEVEL = re.compile(r"(?P<bench>.+)_LOW_LEVEL_(?P<level>LOW|MID|HIGH)", re.IGNORECASE)
_NAMED = 5


@dataclass(frozen=True, slots=True)
class ReleasedFile:
    """A degraded TSV of the authors: its path, the clean benchmark, and its level or corruption.

    `level` is empty for a file of one corruption, `corruption` is empty for a mixed file.
    """

    path: Path
    bench: str
    level: str = ""
    corruption: str = ""


def parse_released_name(path: Path) -> ReleasedFile | None:
    """The released file that a name denotes; None if it is no degraded copy of a known benchmark.

    >>> parse_released_name(Path("MMVP_LOW_LEVEL_HIGH.tsv")).level
    'hard'
    >>> parse_released_name(Path("CV-Bench-2D_motion_blur.tsv")).corruption
    'motion_blur'
    """
    if path.suffix.lower() != ".tsv":
        return None
    match = _BY_LEVEL.fullmatch(path.stem)
    if match:
        bench = _bench(match["bench"])
        return ReleasedFile(path, bench, level=_LEVELS[match["level"].upper()]) if bench else None
    for name in shipped_spec().corruptions:
        if path.stem.lower().endswith(f"_{name}"):
            bench = _bench(path.stem[: -len(name) - 1])
            return ReleasedFile(path, bench, corruption=name) if bench else None
    return None


def find_released_files(bench: str, data_dir: str | Path | None = None) -> tuple[ReleasedFile, ...]:
    """The authors' files of one benchmark in `data_dir`, `$LMUData` and `~/LMUData`, the first of each kind.

    Levels come first, weakest first, then corruptions in the order of the spec.
    """
    from mmdbench.benches.fetch import data_folders
    from mmdbench.system.remote import add_from_data_url

    name = find_bench(bench).name
    found: dict[tuple[str, str], ReleasedFile] = {}
    for folder in data_folders(data_dir):
        add_from_data_url(folder, lambda file: _is_of(file, name))
        for path in sorted(folder.glob("*.tsv")) if folder.is_dir() else ():
            file = parse_released_name(path)
            if file is not None and file.bench == name:
                found.setdefault((file.level, file.corruption), file)
    kinds = [(level, "") for level in _LEVELS.values()] + [("", name) for name in shipped_spec().corruptions]
    return tuple(found[kind] for kind in kinds if kind in found)


def require_released_files(
    bench: str, levels: Sequence[str], data_dir: str | Path | None = None
) -> dict[str, ReleasedFile]:
    """The authors' mixed files of a benchmark.

    Args:
        bench: The clean benchmark.
        levels: The levels wanted.
        data_dir: A folder to search before the usual ones.

    Returns:
        The file of each level.

    Raises:
        DataError: A file was not found.
    """
    found = {file.level: file for file in find_released_files(bench, data_dir) if file.level}
    name = find_bench(bench).name
    upper = {level: suffix for suffix, level in _LEVELS.items()}
    missing = [f"{name}_LOW_LEVEL_{upper[level]}.tsv" for level in levels if level not in found]
    if missing:
        from mmdbench.benches.fetch import data_folders

        places = ", ".join(map(str, data_folders(data_dir)))
        raise DataError(
            f"The released files {', '.join(missing)} were not found in {places}.",
            hint="Name their folder with --data-dir, choose other levels with --level, "
            "or let mmdbench make degraded images: --design mixed.",
        )
    return {level: found[level] for level in levels}


def _is_of(file: str, bench: str) -> bool:
    known = parse_released_name(Path(file))
    return known is not None and known.bench == bench


def _bench(text: str) -> str:
    plain = text.lower()
    return next((name for name in get_bench_names() if name.lower() == plain), "")


@dataclass(frozen=True)
class ReleasedCopy:
    """A released file that was read: the clean benchmark's name, its level, and its rows by index.

    `corruption` is None for a mixed file; `differ` counts the rows whose question or answer differs
    from the clean benchmark's.
    """

    bench: str
    level: str
    corruption: str | None
    file: Bench = field(repr=False)
    rows: Mapping[str, Question] = field(repr=False)
    differ: int = 0

    def record(self) -> dict[str, Any]:
        """The entry of a manifest for the file, without paths of this machine."""
        return {
            "bench": self.bench,
            "level": self.level,
            "corruption": self.corruption,
            "file": self.file.path.name,
            "sha256": self.file.sha256,
            "questions": len(self.rows),
            "differ": self.differ,
        }


ReleasedCopies = Mapping[tuple[str, str, str | None], ReleasedCopy]
"""Benchmark, level and corruption → the released file that shows them."""


def open_released(
    plan: RunPlan, benches: Sequence[Bench], data_dir: Path | None = None
) -> dict[tuple[str, str, str | None], ReleasedCopy]:
    """The files that a plan of the design `released` shows; none for any other design.

    If the plan names corruptions, files of one corruption are read. Their names do not give the
    level, so that the plan must have exactly one degraded level.

    Args:
        plan: The run's design, levels and corruptions.
        benches: The clean benchmarks.
        data_dir: The folder to search before the usual ones; by default that of the clean file.

    Returns:
        The files by benchmark, level and corruption.

    Raises:
        DataError: A file was not found, or lacks questions.
        UsageError: The authors did not degrade the benchmark, or the plan has several levels.
    """
    levels = [level for level in plan.levels if level not in UNDEGRADED]
    if plan.design != "released" or not levels:
        return {}
    if plan.corruptions and len(levels) > 1:
        raise UsageError(
            f"Released files of one corruption need exactly one degraded level, got {', '.join(levels)}.",
            hint="Their names do not give it. Name only theirs: --level clean,hard.",
        )
    copies = [
        _read(file, file.level or levels[0], bench)
        for bench in benches
        if plan.degrade_again or not is_degraded(bench.name)
        for file in _files(bench, plan, levels, data_dir or bench.path.parent)
    ]
    return {(copy.bench, copy.level, copy.corruption): copy for copy in copies}


def released_images(copies: ReleasedCopies, cell: Cell) -> tuple[ImageSource, ...]:
    """The pictures of a released file for a cell.

    Raises UsageError if no file of the cell's level and corruption was opened, DataError if it has
    no row with the question's index.
    """
    copy = copies.get((cell.bench, cell.level, cell.corruption))
    if copy is None:
        what = f"{cell.level} {cell.corruption or ''}".strip()
        raise UsageError(f"The design 'released' needs a file of {cell.bench} at {what}, got none.")
    row = copy.rows.get(str(cell.index))
    if row is None:
        raise DataError(f"{copy.file.path} has no picture for the question {cell.index}.")
    return row.images


def _files(bench: Bench, plan: RunPlan, levels: Sequence[str], folder: Path) -> list[ReleasedFile]:
    try:
        if not plan.corruptions:
            return list(require_released_files(bench.info.name, levels, folder).values())
        files = find_released_files(bench.info.name, folder)
    except UnknownNameError as error:
        raise UsageError(
            f"The authors released no degraded copy of {bench.name}.",
            hint="Let mmdbench make degraded images: --design mixed.",
        ) from error
    found = {file.corruption: file for file in files if file.corruption}
    missing = [f"{bench.info.name}_{name}.tsv" for name in plan.corruptions if name not in found]
    if missing:
        raise DataError(
            f"The released files {', '.join(missing)} were not found.",
            hint=f"Name their folder with --data-dir; {folder} was searched, and the usual places.",
        )
    return [found[name] for name in plan.corruptions]


def _read(file: ReleasedFile, level: str, clean: Bench) -> ReleasedCopy:
    read = read_bench(file.path, info=clean.info, family=clean.family, answers="any")
    rows = {str(question.index): question for question in read.questions}
    missing = [str(q.index) for q in clean.questions if str(q.index) not in rows]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise DataError(
            f"{file.path} lacks {len(missing)} of the {len(clean.questions)} questions of {clean.name}: "
            f"index {', '.join(missing[:_NAMED])}{more}.",
            hint="The download may be incomplete, or the two are of different versions of the benchmark.",
        )
    differ = sum(_text(q) != _text(rows[str(q.index)]) for q in clean.questions)
    return ReleasedCopy(clean.name, level, file.corruption or None, read, rows, differ)


def _text(question: Question) -> list[str]:
    texts = (question.text, question.answer, *question.options.values())
    return [" ".join(text.split()) for text in texts]
