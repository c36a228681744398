"""The plan of a build: its outputs, and the rows of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from msgspec import structs

from mmdbench.benches import Bench
from mmdbench.benches.catalog import bench_title, is_degraded
from mmdbench.benches.question_images import is_reference
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import DataError, UnknownNameError, UsageError
from mmdbench.records import CLEAN, LEVELS, RECODED, UNALTERED, Cell, Question, RunPlan
from mmdbench.system.shapes import read_as
from mmdbench.variants.codec import parse_codec
from mmdbench.variants.design import check_one_set, parse_design, parse_sample, plan_cells

__all__ = [
    "FORMATS",
    "BenchPlan",
    "BuildPlan",
    "Output",
    "RowPlan",
    "Target",
    "check_build_plan",
    "plain_integer",
    "plan_benches",
]

FORMATS = ("tsv", "folder", "parquet", "webdataset")


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """The definition of a build's contents; equal plans give the same bytes."""

    benches: tuple[str, ...]
    levels: tuple[str, ...] = LEVELS
    design: str = "mixed"
    corruptions: tuple[str, ...] = ()
    sample: str = ""
    seed: int = 0
    profile: str = "paper"
    codec: str = "jpeg:95"
    format: str = "tsv"
    degrade_again: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The plan as a JSON-able dict."""
        # Builds keep the records that they had before this field existed.
        return {k: v for k, v in asdict(self).items() if v or k != "degrade_again"}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> BuildPlan:
        """Read a plan back from a manifest. Raises ShapeError for one of another shape."""
        return read_as(cls, record, "plan")

    def as_run_plan(self) -> RunPlan:
        """The same cells and recipes as a run without a model."""
        shared = asdict(self)
        del shared["format"]
        return RunPlan(model="", **shared)

    def named(self, benches: Sequence[Bench]) -> BuildPlan:
        """The plan with the benchmarks' own names in place of paths."""
        return replace(self, benches=tuple(bench.name for bench in benches))


@dataclass(frozen=True, slots=True)
class Output:
    """One degraded copy of a benchmark: all its rows at a level, or at a level under a corruption."""

    bench: str
    level: str
    corruption: str | None = None

    @property
    def name(self) -> str:
        """The name of its file without the suffix: `MMStar_hard`, `MMStar_hard_motion_blur`."""
        return "_".join(part for part in (self.bench, self.level, self.corruption) if part)


@dataclass(frozen=True, slots=True)
class Target:
    """A row's place in one output, by the output's number, and the level and corruption of its cell.

    `same_as` is the number of an earlier row in that output with the same pictures, if the
    benchmark's own row refers to that row instead of holding them.
    """

    output: int
    cell: Cell
    same_as: int | None = None


@dataclass(frozen=True, slots=True)
class RowPlan:
    """A row to build: its number among the bench's rows to build, its question, and its targets."""

    number: int
    question: Question
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class BenchPlan:
    """The part of a build that one benchmark gives: its outputs, and its questions with their cells.

    Only with `with_references` a row may refer to the picture of an earlier one, as rows of a TSV do.
    """

    bench: Bench
    outputs: tuple[Output, ...]
    questions: Sequence[tuple[Question, Sequence[Cell]]]
    by_design: bool
    with_references: bool

    def rows(self, start: int = 0) -> Iterator[RowPlan]:
        """The rows from number `start` on, in the order of the benchmark's file."""
        places = {output: number for number, output in enumerate(self.outputs)}
        numbers = {str(question.index): number for number, (question, _) in enumerate(self.questions)}
        for number in range(start, len(self.questions)):
            question, cells = self.questions[number]
            source = self._refers_to(question, numbers)
            held: set[tuple[str, str | None]] = set()
            if source is not None and source < number:
                held = {(cell.level, cell.corruption) for cell in self.questions[source][1]}
            targets = []
            for cell in cells:
                same_as = source if (cell.level, cell.corruption) in held else None
                targets.append(Target(places[self.output_of(cell)], cell, same_as))
            yield RowPlan(number, question, tuple(targets))

    def output_of(self, cell: Cell) -> Output:
        """The output that a cell belongs to."""
        return Output(cell.bench, cell.level, None if self.by_design else cell.corruption)

    def _refers_to(self, question: Question, numbers: Mapping[str, int]) -> int | None:
        column = self.bench.table.header.position("image")
        if column is None or not self.with_references:
            return None
        cell = self.bench.rows[question.index].cells[column]
        if not isinstance(cell, str) or not is_reference(cell):
            return None
        return numbers.get(cell, numbers.get(plain_integer(cell)))


def plan_benches(plan: BuildPlan, benches: Sequence[Bench], spec: Spec) -> list[BenchPlan]:
    """Plan the outputs of each benchmark, and the rows that have a picture.

    Args:
        plan: The plan.
        benches: Its benchmarks.
        spec: The spec of the corruptions.

    Returns:
        A plan for each benchmark, in their order.

    Raises:
        UsageError: Two benchmarks have the same name, or the sample has no question of one.
        DataError: No row of a benchmark has a picture.
    """
    benches = [bench.with_pictures for bench in benches]
    names = [bench.name for bench in benches]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"Two benchmarks are named {name!r}.", hint="Build each into a folder of its own."
            )
    for bench in benches:
        if is_degraded(bench.name) and not plan.degrade_again and set(plan.levels) - {CLEAN}:
            raise UsageError(
                f"The pictures of {bench.name} are degraded as they are published.",
                hint="To degrade them again: --degrade-again",
            )
    run = plan.named(benches).as_run_plan()
    cells: dict[str, list[tuple[Question, Sequence[Cell]]]] = {name: [] for name in names}
    for question, planned in plan_cells(run, benches, spec):
        here = [structs.replace(cell, level=CLEAN) if cell.level == UNALTERED else cell for cell in planned]
        cells[question.bench].append((question, [cell for cell in here if cell.level in plan.levels]))
    _refuse_empty(plan, [name for name in names if not cells[name]])
    return [_bench_plan(bench, cells[bench.name], plan, spec) for bench in benches]


def _refuse_empty(plan: BuildPlan, empty: Sequence[str]) -> None:
    if empty and plan.sample:
        raise UsageError(
            f"The sample {plan.sample} has no question of {', '.join(map(bench_title, empty))}.",
            hint="Draw more, or a number of each benchmark: --sample 20/bench",
        )
    if empty:
        raise DataError(f"No row of {', '.join(map(bench_title, empty))} has a picture.")


def _bench_plan(
    bench: Bench, questions: list[tuple[Question, Sequence[Cell]]], plan: BuildPlan, spec: Spec
) -> BenchPlan:
    by_design = parse_design(plan.design)[0] == "mixed"
    outputs: list[Output] = []
    for level in plan.levels:
        if by_design or level in (CLEAN, RECODED):
            outputs.append(Output(bench.name, level))
        else:
            outputs += [Output(bench.name, level, name) for name in plan.corruptions or spec.shipped]
    return BenchPlan(bench, tuple(outputs), questions, by_design, plan.format == "tsv")


def check_build_plan(plan: BuildPlan, spec: Spec) -> None:
    """Check the values of a plan. Raises UsageError or UnknownNameError for the first that is wrong."""
    if plan.design == "released":
        raise UsageError(
            "The design 'released' uses the authors' own degraded files: there is nothing to build.",
            hint="Evaluate them: mmdbench eval --design released. To build like them: --design mixed.",
        )
    if parse_design(plan.design)[0] == "drawn":
        raise UsageError(
            "The design 'drawn' shows each question at one level only: it does not give whole benchmarks.",
            hint="Make training data with mmdbench assign, or build with --design mixed.",
        )
    if parse_design(plan.design)[0] == "chain":
        raise UsageError(
            "The design 'chain' is for the task perceive: no benchmark is built with it.",
            hint="Ask about chains: mmdbench eval --task perceive. In Python Chain makes pictures.",
        )
    parse_sample(plan.sample)
    parse_codec(plan.codec)
    if plan.format not in FORMATS:
        raise UnknownNameError("format", plan.format, FORMATS)
    for level in plan.levels:
        if level not in (CLEAN, RECODED, *LEVELS):
            raise UnknownNameError("level", level, (CLEAN, RECODED, *LEVELS))
    for name in plan.corruptions:
        spec.corruption(name)
    if len(set(plan.corruptions)) < len(plan.corruptions):
        raise UsageError(f"A corruption may be named only once, got {', '.join(plan.corruptions)}.")
    check_one_set(plan.corruptions, spec)
    spec.profile(plan.profile)
    if not plan.benches or not plan.levels:
        raise UsageError("Nothing to build.", hint="Name a benchmark and a level: --bench mini --level hard")


def plain_integer(text: str) -> str:
    """`007` → `7`: an integer index without leading zeros, as references write it; else the text itself."""
    try:
        return str(int(text))
    except ValueError:
        return text
