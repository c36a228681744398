"""Gates: patterns of rows to watch, and the points that each row may lose.

`macro-hard:1.0`       the mean over benchmarks at hard may lose 1 point
`MMStar/all/hard:3`    MMStar at hard, whatever the corruption; `MMStar/hard:3` is the same
`MMStar/*/hard:3`      each corruption of MMStar at hard; `*` never stands for `all`
`*/capture/*:5`        every benchmark, corruptions of one category, each level
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UsageError
from mmdbench.records import CLEAN
from mmdbench.report.scores import levels_of, worst_level
from mmdbench.results.graded_run import RunResults
from mmdbench.stats import detectable_effect

__all__ = ["ALL", "MACRO", "Gate", "WatchedRow", "default_gates", "parse_gate", "watched_rows"]

MACRO = "macro"
ALL = "all"
LEAST_TOLERANCE = 1.0
USUAL_QUESTIONS = 120
"""A default gate allows no more than what this number of questions can decide, however few there are."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A pattern of rows, and the points that each of them may lose."""

    text: str
    bench: str
    part: str
    level: str
    tolerance: float


@dataclass(frozen=True, slots=True)
class WatchedRow:
    """A watched row: a benchmark (or `macro`), a part (`all`, a corruption, a category), a level."""

    bench: str
    part: str
    level: str
    tolerance: float

    @property
    def name(self) -> str:
        """The row in the syntax of a gate: bench/part/level."""
        return f"{self.bench}/{self.part}/{self.level}"


def parse_gate(text: str) -> Gate:
    """Read a gate: rows, a colon, and the points that they may lose.

    >>> parse_gate("MMStar/*/hard:3")
    Gate(text='MMStar/*/hard:3', bench='MMStar', part='*', level='hard', tolerance=3.0)
    >>> parse_gate("macro-hard:1.0").bench
    'macro'
    """
    body, colon, tolerance = text.rpartition(":")
    parts = body.split("/")
    if len(parts) == 1 and body.startswith(f"{MACRO}-"):
        parts = [MACRO, ALL, body.removeprefix(f"{MACRO}-")]
    elif len(parts) == 2:
        parts = [parts[0], ALL, parts[1]]
    if not (colon and len(parts) == 3 and all(parts) and re.fullmatch(r"\d+(\.\d+)?", tolerance)):
        raise UsageError(
            f"--gate must be ROWS:POINTS, got {text!r}.",
            hint="Write macro-hard:1.0, MMStar/hard:2 or 'MMStar/*/hard:3'.",
        )
    return Gate(text, parts[0], parts[1], parts[2], float(tolerance))


def default_gates(run: RunResults, alpha: float) -> list[Gate]:
    """Gates of a check that names none: the mean over benchmarks, at the worst level and clean.

    Each may lose what its questions can decide: the loss that the test would find in 80 of 100 runs if one
    answer in ten flips. That is 1 point at least, and at most what 120 questions can decide. Benchmarks
    whose published pictures are degraded are watched if the run has no others.
    """
    present = levels_of([run])
    levels = [level for level in (worst_level(present), CLEAN) if level in present] or present
    rate = alpha / len(levels)
    return [parse_gate(f"{MACRO}-{level}:{_decidable_points(run, level, rate)}") for level in levels]


def _decidable_points(run: RunResults, level: str, alpha: float) -> float:
    asked = {(hit.bench, hit.unit) for hit in run.hits if hit.level == level and hit.bench not in run.outside}
    counts = Counter(bench for bench, _ in asked)
    if not counts:
        return LEAST_TOLERANCE
    # As many questions of one benchmark have the variance of the mean over these.
    equal = len(counts) ** 2 / math.fsum(1 / n for n in counts.values())
    points = 100 * detectable_effect(max(round(equal), USUAL_QUESTIONS), alpha=alpha)
    return max(LEAST_TOLERANCE, math.ceil(10 * points) / 10)


def watched_rows(gates: Iterable[Gate], run: RunResults, spec: Spec) -> list[WatchedRow]:
    """The rows that gates name, each once and with its smallest tolerance.

    Args:
        gates: The patterns.
        run: The run, whose benchmarks, levels and corruptions are the rows.
        spec: The corruptions and their categories.

    Returns:
        The rows to compare, in the order of the gates.

    Raises:
        UsageError: A gate names no row. A check that compares nothing must not pass.
    """
    found: dict[tuple[str, str, str], float] = {}
    rows = _rows(run, spec)
    for gate in gates:
        mine = [row for row in rows if _matches(gate, row, run)]
        if not mine:
            known = list(
                dict.fromkeys([f"{MACRO}-{row[2]}" for row in rows] + [f"{row[0]}/{row[2]}" for row in rows])
            )
            raise UsageError(
                f"--gate must name a row of this run, got {gate.text!r}.",
                hint=f"Rows are {', '.join(known[:12])} … with a corruption, a category or * in the middle.",
            )
        for row in mine:
            found[row] = min(gate.tolerance, found.get(row, gate.tolerance))
    return [WatchedRow(*row, tolerance) for row, tolerance in found.items()]


def _rows(run: RunResults, spec: Spec) -> list[tuple[str, str, str]]:
    met: dict[tuple[str, str], dict[str, None]] = {}
    for hit in run.hits:
        for bench in (hit.bench, MACRO) if hit.bench not in run.outside else (hit.bench,):
            names_met = met.setdefault((bench, hit.level), {})
            if hit.corruption:
                names_met[hit.corruption] = None
    rows = []
    for bench in (MACRO, *dict.fromkeys(hit.bench for hit in run.hits)):
        for level in (level for level in levels_of([run]) if (bench, level) in met):
            names = [name for name in spec.corruptions if name in met.get((bench, level), {})]
            categories = dict.fromkeys(spec.corruptions[name].category for name in names)
            rows += [(bench, part, level) for part in (ALL, *categories, *names)]
    return rows


def _matches(gate: Gate, row: Sequence[str], run: RunResults) -> bool:
    bench, part, level = row
    benches = (bench, run.benchmark(bench))
    if MACRO in (bench, gate.bench):
        right = bench == gate.bench
    else:
        right = any(fnmatchcase(name.lower(), gate.bench.lower()) for name in benches)
    return right and fnmatchcase(level, gate.level) and _part_matches(gate.part, part, run)


def _part_matches(pattern: str, part: str, run: RunResults) -> bool:
    if part == pattern:
        return True
    corruptions = {hit.corruption for hit in run.hits}
    return part in corruptions and part != ALL and fnmatchcase(part, pattern)
