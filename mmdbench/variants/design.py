"""The (question, level, corruption) cells of a run, by its design and sample.

`mixed`       one corruption for each question, the same at every level, drawn with the release's
              weights so that the four categories weigh the same.
`grid`        every corruption for every question.
`balanced:K`  K different corruptions for each question; each corruption equally often within a
              benchmark and its categories, so that the mean over questions estimates the grid's.
`chain:K`     K corruptions one after another on each question's picture, of K of the four categories and
              the same at every level: for `--task perceive`. A chain of one's own is a corruption named
              `a+b` under `grid` or `balanced:K`.
`drawn`       one corruption at one of the run's levels for each question. The corruption is that of `mixed`.
`drawn:NAME`  the same with the weights of `draws.py`, `uniform` or `published`: how training data are made.
`released`    the pictures of the authors' own degraded files: for named corruptions their files of one
              corruption each, else their mixed files, which do not name the corruption of a picture.

A question's corruptions follow from its benchmark, its index and the seed alone: not from the
other questions, the order or the sample. The rotations of one circular group, which are one
question, get the same corruptions. (`balanced:K` distributes over the whole benchmark, so there
they follow from the benchmark's content too.)

A question whose answer a corruption takes (`lost_answers`, by the stanza's `loses`) is not asked under it;
one that loses all its corruptions is not asked at all. `count_excluded` counts both.

The pictures of some benchmarks (R-Bench) are degraded as they are published: they are asked at the level
`unaltered` alone, unless the plan says `degrade_again`.

Samples are nested and stratified by category: the questions of `--sample 200` are among those
of `--sample 500`, and each category has its share of either. The two rows of a pair of MMVP are
taken together, so that a sample has a pair metric; they count as two questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmdbench.benches.catalog import is_degraded, undistorted_of
from mmdbench.corruptions.lost_answers import lost_kind
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import (
    ANSWER,
    PAPER_SET,
    UNALTERED,
    UNDEGRADED,
    BenchData,
    Cell,
    Index,
    Question,
    RunPlan,
    chain_steps,
)
from mmdbench.scoring.families import get_family, unit_of
from mmdbench.system.digest import derive_seed
from mmdbench.variants.draws import DRAWS, pick

__all__ = [
    "DESIGNS",
    "SampleSize",
    "check_corruptions",
    "check_one_set",
    "corruptions_for",
    "count_excluded",
    "meets_several",
    "parse_design",
    "parse_sample",
    "plan_cells",
    "sample_questions",
]

DESIGNS: Mapping[str, str] = {
    "mixed": "one corruption for each question, the same at all levels; the four categories equally often",
    "balanced:K": "K corruptions for each question, all equally often over the questions",
    "grid": "every question under every corruption at every level",
    "drawn": "each question once, under one corruption at one level; for training data",
    **{f"drawn:{name}": draw.meaning for name, draw in DRAWS.items()},
    "released": "the authors' own degraded files, which are downloaded",
    "chain:K": "K corruptions on top of each other, of K categories; with --task perceive",
}
"""Every design with its meaning."""

_DRAWN = {f"drawn:{name}": draw for name, draw in DRAWS.items()}

_CHAIN_LENGTHS = (2, 3, 4)
"""Numbers of corruptions in a chain of one corruption per category."""


@dataclass(frozen=True, slots=True)
class SampleSize:
    """A number of questions: of each benchmark, or of all together."""

    size: int
    per_bench: bool


def meets_several(plan: RunPlan) -> bool:
    """True if a question has several corruptions at a level, so that each is an arm of its own."""
    design = plan.design.partition(":")[0]
    return design in ("grid", "balanced") or (design == "released" and bool(plan.corruptions))


def check_corruptions(plan: RunPlan, spec: Spec) -> None:
    """Raise UsageError or UnknownNameError for corruptions of a plan that its design or task cannot use."""
    for name in plan.corruptions:
        steps = chain_steps(name)
        for step in steps:
            spec.corruption(step)
        if len(set(steps)) < len(steps):
            raise UsageError(f"A chain may have a corruption only once, got {name}.")
    if len(set(plan.corruptions)) < len(plan.corruptions):
        raise UsageError(f"A corruption may be named only once, got {', '.join(plan.corruptions)}.")
    check_one_set(plan.corruptions, spec)
    foreign = [name for name in plan.corruptions if spec.set_of(chain_steps(name)[0]) != PAPER_SET]
    if plan.design == "released" and foreign:
        raise UsageError(
            f"The authors' released files have the paper's corruptions, got {foreign[0]}.",
            hint="Choose another design: --design mixed.",
        )
    if plan.has_chains and plan.task == ANSWER:
        raise UsageError("Chains of corruptions are for the task perceive.", hint="Run with --task perceive.")
    own = [name for name in plan.corruptions if len(chain_steps(name)) > 1]
    if own and parse_design(plan.design)[0] not in ("grid", "balanced"):
        raise UsageError(
            f"The design {plan.design} draws single corruptions, got the chain {own[0]}.",
            hint="Add --design grid.",
        )


def check_one_set(names: Sequence[str], spec: Spec) -> None:
    """Raise UsageError for corruptions and chains of more than one set; one's own are in none."""
    sets = dict.fromkeys(spec.set_of(step) for name in names for step in chain_steps(name))
    found = [name for name in sets if name]
    if len(found) > 1:
        raise UsageError(
            f"The corruptions must be of one set, which averages are of; got some of {' and '.join(found)}.",
            hint="Name each set in a command of its own: --corruption-set.",
        )


def parse_design(text: str) -> tuple[str, int]:
    """Name of the design and its K (0 where it has none): `balanced:4` → ("balanced", 4)."""
    name, _, number = text.partition(":")
    if (name in ("mixed", "grid", "drawn", "released") and not number) or text in _DRAWN:
        return name, 0
    count = int(number) if number.isascii() and number.isdigit() else 0
    if (name == "balanced" and count > 0) or (name == "chain" and count in _CHAIN_LENGTHS):
        return name, count
    if name in ("mixed", "grid", "balanced", "chain", "drawn", "released"):
        raise UsageError(
            "The design must be mixed, grid, balanced:K, chain:K, drawn, drawn:NAME or released, "
            f"got {text!r}.",
            hint="K is from 1 to 16 for balanced, and from 2 to 4 for chain; NAME is one of "
            f"{', '.join(DRAWS)}.",
        )
    raise UnknownNameError("design", text, ("mixed", "grid", "balanced:4", "chain:2", "drawn", "released"))


def parse_sample(text: str) -> SampleSize | None:
    """`200` is 200 questions in all, `200/bench` of each benchmark, empty means every question."""
    if not text:
        return None
    number, slash, unit = text.partition("/")
    if not (number.isascii() and number.isdigit() and int(number) > 0 and unit == ("bench" if slash else "")):
        raise UsageError(
            f"The sample must be a number of questions, got {text!r}.", hint="Write 200 or 200/bench."
        )
    return SampleSize(int(number), bool(slash))


def plan_cells(
    plan: RunPlan, benches: Sequence[BenchData], spec: Spec
) -> Iterator[tuple[Question, list[Cell]]]:
    """Each question of a run with its cells, in the order in which they are asked.

    Args:
        plan: The run's levels, design, corruptions, sample and seed.
        benches: The run's benchmarks.
        spec: Names the corruptions and gives their weights.

    Yields:
        A question and its cells; none for a question that loses its answer under all its corruptions.
    """
    for bench, question, lost in _drawn_questions(plan, benches, spec):
        names = [name for name, kind in lost.items() if not kind]
        levels = _levels(plan, bench.name, unit_of(question, bench.family))
        if names or not set(levels) - set(UNDEGRADED):
            yield question, list(_question_cells(levels, question, names))


def count_excluded(plan: RunPlan, benches: Sequence[BenchData], spec: Spec) -> dict[str, dict[str, int]]:
    """The number of rows that are not asked under each corruption, by the kind of question.

    Args:
        plan: The run's levels, design, corruptions, sample and seed.
        benches: The run's benchmarks.
        spec: Names the kinds of questions whose answer a corruption takes.

    Returns:
        Numbers by kind, by corruption or chain; only of those that exclude any.
    """
    counts: dict[str, dict[str, int]] = {}
    if any(_kinds(name, spec) for name in plan.corruptions):
        for _, _, lost in _drawn_questions(plan, benches, spec):
            for name, kind in lost.items():
                if name is not None and kind:
                    found = counts.setdefault(name, {})
                    found[kind] = found.get(kind, 0) + 1
    return counts


def _drawn_questions(
    plan: RunPlan, benches: Sequence[BenchData], spec: Spec
) -> Iterator[tuple[BenchData, Question, dict[str | None, str]]]:
    """Each question of a run with its corruptions, and the kind by which each takes its answer."""
    for bench, questions in zip(benches, sample_questions(plan, benches), strict=True):
        drawn = corruptions_for(plan, bench, spec)
        for question in questions:
            # A mixed released file does not name them. Another task's question is not the benchmark's.
            names = drawn[unit_of(question, bench.family)] or (None,)
            texts = [question.text, *question.options.values()] if plan.task == ANSWER else []
            yield bench, question, {name: lost_kind(_kinds(name, spec), texts) for name in names}


def _kinds(name: str | None, spec: Spec) -> list[str]:
    return [kind for step in chain_steps(name) for kind in spec.corruption(step).loses]


def corruptions_for(plan: RunPlan, bench: BenchData, spec: Spec) -> dict[Index, tuple[str, ...]]:
    """The corruptions of each question of a benchmark under the plan's design.

    Args:
        plan: The run's design, corruptions and seed.
        bench: The benchmark.
        spec: Names the corruptions and gives their weights.

    Returns:
        Names of corruptions by the index of a unit (`unit_of`); none for a mixed released file.

    Raises:
        UsageError: The design needs more corruptions than the plan names.
    """
    design, count = parse_design(plan.design)
    names = plan.corruptions or spec.shipped
    units = dict.fromkeys(unit_of(q, bench.family) for q in bench.questions)
    if design == "released":
        return dict.fromkeys(units, tuple(plan.corruptions))
    if design == "grid":
        return dict.fromkeys(units, tuple(names))
    if design in ("mixed", "drawn"):
        draw = _DRAWN.get(plan.design)
        release = {name: spec.corruptions[name].release_weight for name in names}
        weights = draw.corruption_weights(names) if draw else release
        return {unit: (pick(weights, "mixed", bench.name, unit, plan.seed),) for unit in units}
    if design == "chain":
        return {unit: (_chain(names, count, spec, (bench.name, unit, plan.seed)),) for unit in units}
    if count > len(names):
        raise UsageError(
            f"balanced:{count} needs {count} different corruptions, but the run has {len(names)}.",
            hint=f"Write balanced:{len(names)} or less, or grid.",
        )
    return _balanced(_strata([bench]), names, count, plan.seed)


def sample_questions(plan: RunPlan, benches: Sequence[BenchData]) -> list[list[Question]]:
    """The questions of the plan's sample, by benchmark and in the order of each file."""
    sample = parse_sample(plan.sample)
    if sample is None:
        return [list(bench.questions) for bench in benches]
    groups = [[bench] for bench in benches] if sample.per_bench else [list(benches)]
    units = {bench.name: _sample_units(bench) for bench in benches}
    taken: set[tuple[str, Index]] = set()
    for group in groups:
        count = 0
        for name, unit in _ranked(group, units, plan.seed):
            if count >= sample.size:
                break
            count += units[name].questions[unit]
            taken.add((name, unit))
    return [
        [q for q in bench.questions if (bench.name, units[bench.name].of[q.index]) in taken]
        for bench in benches
    ]


@dataclass(frozen=True, slots=True)
class _SampleUnits:
    """The units that a sample never splits: by a row's index, and the number of questions in each."""

    of: Mapping[Index, Index]
    questions: Mapping[Index, int]


def _sample_units(bench: BenchData) -> _SampleUnits:
    units = {q.index: unit_of(q, bench.family) for q in bench.questions}
    # Partners are taken together, yet each is still a question of its own.
    partners = get_family(bench.family).partners(bench.questions)
    of = units | {index: units[partner] for index, partner in partners.items()}
    counted: dict[Index, set[Index]] = {}
    for index, unit in of.items():
        counted.setdefault(unit, set()).add(units[index])
    return _SampleUnits(of, {unit: len(found) for unit, found in counted.items()})


def _levels(plan: RunPlan, bench: str, unit: Index) -> tuple[str, ...]:
    degraded = [level for level in plan.levels if level not in UNDEGRADED]
    if is_degraded(bench):
        return (UNALTERED, *degraded) if plan.degrade_again else (UNALTERED,)
    if parse_design(plan.design)[0] != "drawn" or not degraded:
        return plan.levels
    if plan.design in _DRAWN:
        drawn = pick(_DRAWN[plan.design].level_weights(degraded), "level", bench, unit, plan.seed)
    else:
        drawn = degraded[derive_seed("level", bench, unit, plan.seed) % len(degraded)]
    return tuple(level for level in plan.levels if level not in degraded or level == drawn)


def _question_cells(levels: Sequence[str], question: Question, names: Sequence[str | None]) -> Iterator[Cell]:
    for level in levels:
        if level in UNDEGRADED:
            yield Cell(question.bench, question.index, level)
        else:
            yield from (Cell(question.bench, question.index, level, name) for name in names)


def _chain(names: Sequence[str], count: int, spec: Spec, key: tuple[object, ...]) -> str:
    found: dict[str, dict[str, float]] = {}
    for name in names:
        corruption = spec.corruption(name)
        found.setdefault(corruption.category, {})[name] = corruption.release_weight
    if count > len(found):
        raise UsageError(
            f"chain:{count} needs corruptions of {count} categories, but the run has {len(found)}.",
            hint="Name others: --corruption. See: mmdbench list corruptions",
        )
    taken = sorted(found, key=lambda category: derive_seed("chain", category, *key))[:count]
    return "+".join(pick(found[c], "chain", c, "type", *key) for c in spec.categories if c in taken)


def _balanced(
    strata: Mapping[tuple[str, str], list[Index]], names: Sequence[str], count: int, seed: int
) -> dict[Index, tuple[str, ...]]:
    # The corruptions are dealt in rounds, each a keyed shuffle of them all; the units, category by
    # category and in keyed order, each take the next `count`. So a corruption is used equally often
    # (to within one) in the benchmark, and to within two in a category, and never twice by one unit.
    drawn: dict[Index, tuple[str, ...]] = {}
    rest: list[str] = []
    turn = 0
    for (bench, _), units in sorted(strata.items()):
        for unit in sorted(units, key=lambda u: derive_seed("balanced", bench, u, seed)):
            taken: list[str] = []
            while len(taken) < count:
                if not rest:
                    keys = {name: derive_seed("turn", bench, turn, name, seed) for name in names}
                    # What the unit has already taken goes to the end of the new turn.
                    rest = sorted(names, key=lambda name: (name in taken, keys[name]))
                    turn += 1
                taken.append(rest.pop(0))
            drawn[unit] = tuple(sorted(taken, key=list(names).index))
    return drawn


def _strata(
    benches: Sequence[BenchData], sample_units: Mapping[str, _SampleUnits] | None = None
) -> dict[tuple[str, str], list[Index]]:
    strata: dict[tuple[str, str], dict[Index, None]] = {}
    seen: set[tuple[str, Index]] = set()
    for bench in benches:
        for question in bench.questions:
            unit = (
                sample_units[bench.name].of[question.index]
                if sample_units
                else unit_of(question, bench.family)
            )
            if (bench.name, unit) not in seen:
                seen.add((bench.name, unit))
                strata.setdefault((bench.name, question.category), {})[unit] = None
    return {key: list(units) for key, units in strata.items()}


def _ranked(
    benches: Sequence[BenchData], sample_units: Mapping[str, _SampleUnits], seed: int
) -> list[tuple[str, Index]]:
    # Within a stratum the order is keyed; the j-th of m units ranks at (j + ½)/m of the whole, so
    # that every prefix holds each stratum's share. A prefix of a prefix is what makes samples nest.
    ranked: list[tuple[float, int, str, Index]] = []
    for (bench, _), units in _strata(benches, sample_units).items():
        drawn_as = undistorted_of(bench) or bench  # the same questions about other pictures
        ordered = sorted(units, key=lambda u: derive_seed("sample", drawn_as, u, seed))
        for j, unit in enumerate(ordered):
            ranked.append(((j + 0.5) / len(units), derive_seed("tie", drawn_as, unit, seed), bench, unit))
    ranked.sort(key=lambda row: row[:2])
    return [(bench, unit) for _, _, bench, unit in ranked]
