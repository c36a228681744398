"""A stored build under check, and a problem found in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmdbench.builds.manifest import BuiltOutput
from mmdbench.builds.plan import BuildPlan
from mmdbench.builds.source_benches import SourceBenches

__all__ = ["BuildCheck", "Checked", "Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A difference between a build and its records: the file, the index of the row if any, and a text."""

    file: str
    index: str
    what: str

    def __str__(self) -> str:
        place = f"{self.file}, index {self.index}" if self.index else self.file
        return f"{place}: {self.what}"


Checked = Iterator[tuple[int, list[Problem]]]
"""Numbers of pictures checked, each with the problems found in them."""


@dataclass(frozen=True)
class BuildCheck:
    """The build to check, its sources, and the sample of its pictures to check.

    Attributes:
        folder: The build's folder.
        plan: The plan in its manifest.
        built: Its outputs.
        families: The family of each benchmark, by name.
        sources: The benchmarks that it was made from, as far as they were found.
        sample: The number of pictures to check, evenly spread over all outputs; 0 is all.
        workers: Threads.
        max_pixels: The largest picture, in pixels, that is read.
        on_progress: Called with the pictures checked and their total.
    """

    folder: Path
    plan: BuildPlan
    built: tuple[BuiltOutput, ...]
    families: Mapping[str, str]
    sources: SourceBenches
    sample: int
    workers: int
    max_pixels: int
    on_progress: Callable[[int, int], None]

    def wanted(self, number: int) -> bool:
        """True if the picture of that number, counted over all outputs, is in the sample."""
        total = self.pictures()
        if not 0 < self.sample < total:
            return True
        return (number + 1) * self.sample // total > number * self.sample // total

    def pictures(self) -> int:
        """The number of pictures in the build."""
        return sum(built.pictures for built in self.built)

    def offsets(self) -> dict[str, int]:
        """The number of the first picture of each output."""
        found, number = {}, 0
        for built in self.built:
            found[built.output.name] = number
            number += built.pictures
        return found
