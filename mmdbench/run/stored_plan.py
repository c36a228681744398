"""The cells and questions of a run's latest plan, as its folder keeps them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from sys import intern

import msgspec

from mmdbench.benches.catalog import is_degraded
from mmdbench.corruptions.spec import Spec
from mmdbench.corruptions.spec_file import shipped_spec
from mmdbench.errors import StoreError
from mmdbench.records import CLEAN, LEVEL_ORDER, UNALTERED, Cell, Index, Question, chain_steps
from mmdbench.run.folder import CELLS_FILE, QUESTIONS_FILE
from mmdbench.run.json_lines import read_typed_lines
from mmdbench.scoring.families import stored_family

__all__ = ["PlannedCell", "StoredBench", "damaged_line", "read_cells", "read_questions"]


class PlannedCell(msgspec.Struct, frozen=True, gc=False):
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
    for number, line in read_typed_lines(folder / CELLS_FILE, _CellLine, damaged_line):
        bench, index, level, corruption, key = line.cell
        place = bench, level, corruption
        if place not in places:
            try:
                places[place] = _read_place(*place, known)
            except ValueError as error:
                raise damaged_line(folder / CELLS_FILE, number, error) from error
        bench, level, corruption = places[place]
        found.append(PlannedCell(Cell(bench, index, level, corruption, line.repeat), key))
    return found


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
    for _, line in read_typed_lines(folder / QUESTIONS_FILE, _QuestionLine, damaged_line):
        bench = intern(line.bench)
        fields = {intern(name): text for name, text in line.fields.items()}
        family = stored_family(bench, line.family)
        found.setdefault((bench, family), []).append(Question(bench, line.index, fields))
    return [StoredBench(name, family, tuple(rows)) for (name, family), rows in found.items()]


class _CellLine(msgspec.Struct, gc=False):
    cell: tuple[str, Index, str, str | None, str]
    repeat: int = 1


class _QuestionLine(msgspec.Struct, gc=False):
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
