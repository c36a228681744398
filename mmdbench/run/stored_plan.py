"""The cells and questions of a run's latest plan, as its folder keeps them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any, TypedDict

from mmdbench.benches.catalog import is_degraded
from mmdbench.corruptions.spec import Spec
from mmdbench.corruptions.spec_file import shipped_spec
from mmdbench.errors import StoreError
from mmdbench.records import CLEAN, LEVEL_ORDER, UNALTERED, Cell, Index, Question, chain_steps
from mmdbench.run.folder import CELLS_FILE, QUESTIONS_FILE
from mmdbench.run.json_lines import read_lines
from mmdbench.scoring.families import stored_family
from mmdbench.system.shapes import check_shape

__all__ = ["PlannedCell", "StoredBench", "damaged_line", "read_cells", "read_questions"]


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell and the key that its reply is stored under."""

    cell: Cell
    key: str


@dataclass(frozen=True, slots=True)
class StoredBench:
    """The questions of a run's plan, without their images, as the run's folder keeps them."""

    name: str
    family: str
    questions: tuple[Question, ...]


def read_cells(folder: Path, spec: Spec | None = None) -> list[PlannedCell]:
    """The cells of a run's latest plan, in the order of asking; they name corruptions of `spec` alone.

    Raises StoreError for a damaged file.
    """
    known = (spec or shipped_spec()).corruptions
    # One copy of each combination: there may be half a million cells.
    places: dict[tuple[str, str, str | None], tuple[str, str, str | None]] = {}
    found = []
    for number, record in read_lines(folder / CELLS_FILE):
        try:
            if not _is_plain(record):
                check_shape(record, _CellRecord)
            bench, index, level, corruption, key = record["cell"]
            place = bench, level, corruption
            if place not in places:
                places[place] = _read_place(*place, known)
            bench, level, corruption = places[place]
            found.append(PlannedCell(Cell(bench, index, level, corruption, record.get("repeat", 1)), key))
        except ValueError as error:
            raise damaged_line(folder / CELLS_FILE, number, error) from error
    return found


def _is_plain(record: Mapping[str, Any]) -> bool:
    """True for nearly every cell there is, quickly: of the right types, and asked once."""
    cell = record.get("cell")
    return len(record) == 1 and cell.__class__ is list and tuple(map(type, cell)) in _PLAIN_CELLS


_PLAIN_CELLS = tuple(
    (str, index, str, corruption, str) for index in (int, str) for corruption in (str, type(None))
)


def _read_place(
    bench: str, level: str, corruption: str | None, known: Collection[str]
) -> tuple[str, str, str | None]:
    if level not in LEVEL_ORDER:
        raise ValueError(f"there is no level {level!r}")
    unknown = [step for step in chain_steps(corruption) if step not in known]
    if unknown:
        raise ValueError(f"there is no corruption {min(unknown)!r}")
    # Runs that were stored before the level `unaltered` existed call these pictures clean.
    unaltered = level == CLEAN and is_degraded(bench)
    return bench, UNALTERED if unaltered else level, corruption


def read_questions(folder: Path) -> list[StoredBench]:
    """The benchmarks of a run's latest plan, with the planned questions.

    Raises StoreError for a damaged file.
    """
    found: dict[tuple[str, str], list[Question]] = {}
    for number, record in read_lines(folder / QUESTIONS_FILE):
        try:
            check_shape(record, _QuestionRecord)
        except ValueError as error:
            raise damaged_line(folder / QUESTIONS_FILE, number, error) from error
        bench = intern(record["bench"])
        family = stored_family(bench, record["family"])
        fields = {intern(name): text for name, text in record["fields"].items()}
        found.setdefault((bench, family), []).append(Question(bench, record["index"], fields))
    return [StoredBench(name, family, tuple(rows)) for (name, family), rows in found.items()]


class _Cell(TypedDict):
    cell: tuple[str, Index, str, str | None, str]


class _CellRecord(_Cell, total=False):
    repeat: int


class _QuestionRecord(TypedDict):
    bench: str
    family: str
    index: Index
    fields: dict[str, str]


def damaged_line(path: Path, line: int, error: Exception) -> StoreError:
    """The error for a line of a run's folder that cannot be read, but can be written anew.

    Args:
        path: The file.
        line: The number of the line.
        error: What is wrong with it.

    Returns:
        The error.
    """
    return StoreError(
        f"{path}, line {line} cannot be read: {error}.",
        hint="Run its mmdbench eval command again: it writes the file anew and asks nothing twice.",
    )
