"""R-Bench's aggregates: means by task, strength, step, group and distortion, and two overall scores.

Source: R-Bench, arXiv 2410.05474, and its repository: its 33 distortions, their seven steps and seven
groups, and an overall score that is the mean over rows. Robust-R1 (arXiv 2512.17532, table 1) prints the
plain mean of the nine cells of task and strength instead, cut to four decimals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "CELLS",
    "CELL_ROWS",
    "GROUPS",
    "PARTS",
    "STEPS",
    "RBenchScore",
    "mean_of_cells",
    "mean_over_rows",
    "means_by",
    "part_of",
]

CELLS = tuple((task, strength) for task in ("MCQ", "VQA", "CAP") for strength in ("low", "mid", "high"))
"""Task and strength of the nine cells, in the order of the published tables."""

CELL_ROWS: tuple[int, ...] = (170, 161, 164, 163, 165, 167, 162, 169, 164)
"""The number of R-Bench's rows in each cell, together 1,485."""

STEPS: Mapping[str, tuple[int, ...]] = {
    "environment": tuple(range(1, 5)),
    "camera": tuple(range(5, 9)),
    "analog": tuple(range(9, 14)),
    "source": tuple(range(14, 19)),
    "channel": tuple(range(19, 23)),
    "receive": tuple(range(23, 28)),
    "enhance": tuple(range(28, 34)),
}
"""The step of a picture's way from the scene to the model at which a distortion happens: its numbers."""

GROUPS: Mapping[str, tuple[int, ...]] = {
    "blur": (1, 5, 28),
    "luminance": (25, 26, 27),
    "chrominance": (14, 23, 24, 29, 30, 32, 33),
    "spatial": (6, 13, 18, 19, 20, 21, 22),
    "noise": (9, 10, 11, 12, 31),
    "compression": (15, 16, 17),
    "wild": (2, 3, 4, 7, 8),
}
"""The kinds of distortion, with their numbers."""

PARTS = ("type", "strength", "step", "group", "distortion", "cell")
"""The ways in which R-Bench divides its rows."""


@dataclass(frozen=True, slots=True)
class RBenchScore:
    """The score (0..1) of one row: its task, strength and distortion (1..33, None if the file has none)."""

    task: str
    strength: str
    distortion: int | None
    score: float


def part_of(row: RBenchScore, part: str) -> str:
    """The part of R-Bench that a row is in, by one of `PARTS`; empty if the row's file does not tell it."""
    named: dict[str, Callable[[], str]] = {
        "type": lambda: row.task,
        "strength": lambda: row.strength,
        "step": lambda: _named(STEPS, row.distortion),
        "group": lambda: _named(GROUPS, row.distortion),
        "distortion": lambda: "" if row.distortion is None else str(row.distortion),
        "cell": lambda: f"{row.task}/{row.strength}" if row.strength else "",
    }
    return named[part]()


def means_by(rows: Iterable[RBenchScore], part: str) -> dict[str, float]:
    """The mean score (0..1) of each part, by its name; rows whose part is unknown are in none.

    >>> means_by([RBenchScore("VQA", "low", 1, 0.5), RBenchScore("CAP", "mid", 5, 1.0)], "group")
    {'blur': 0.75}
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        if name := part_of(row, part):
            found.setdefault(name, []).append(row.score)
    return {name: math.fsum(values) / len(values) for name, values in found.items()}


def mean_over_rows(cells: Sequence[float], rows: Sequence[int]) -> float:
    """The overall score as R-Bench prints it: the mean of cells, each weighted by its number of rows."""
    return math.fsum(cell * count for cell, count in zip(cells, rows, strict=True)) / sum(rows)


def mean_of_cells(cells: Sequence[float]) -> float:
    """The overall score as Robust-R1 prints it before it is cut: the plain mean of the nine cells."""
    return math.fsum(cells) / len(cells)


def _named(parts: Mapping[str, tuple[int, ...]], distortion: int | None) -> str:
    return next((name for name, numbers in parts.items() if distortion in numbers), "")
