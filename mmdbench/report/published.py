"""Published results to compare runs with: `paper:clear-rl`, `paper:bagel`, `paper:robust-r1-sft-rl` …

The numbers are those of CLEAR (arXiv 2604.04780, tables 1, 2, 9 and 10) and Robust-R1 (arXiv
2512.17532, tables 1 and 2). No per-question grades were published, so nothing here is paired:
a score's interval is Wilson's for its number of questions, and averages are recomputed over the
benchmarks that are asked for. Notes name known misprints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from mmdbench.errors import UnknownNameError
from mmdbench.records import CLEAN
from mmdbench.report.scores import LevelRow, average_names
from mmdbench.report.tables.collect import PublishedRows
from mmdbench.stats import Estimate, difference, mean_score, proportion

__all__ = ["PREFIX", "is_published", "paper_tables", "published_names", "published_rows"]

PREFIX = "paper:"

_HARD = "hard"
_CLEAR_LEVELS = {"Clean": "clean", "Low": "low", "Mid": "mid", "Hard": "hard"}


@cache
def paper_tables() -> dict[str, Any]:
    """The published tables as printed, with sizes of benchmarks and known misprints."""
    text = resources.files("mmdbench.report").joinpath("data/paper_tables.json").read_text("utf-8")
    return dict(json.loads(text))


def is_published(name: str) -> bool:
    """True if a name such as `paper:bagel` means a published result rather than a folder."""
    return name.startswith(PREFIX)


def published_names() -> tuple[str, ...]:
    """Names of all published results, with their prefix."""
    return tuple(f"{PREFIX}{slug}" for slug in _scores())


def published_rows(name: str, benchmarks: Sequence[str] = ()) -> PublishedRows:
    """A published result as rows of a report, with its average over some benchmarks (all if empty).

    Raises UnknownNameError for an unknown name.
    """
    slug = name.removeprefix(PREFIX)
    if slug not in _scores():
        raise UnknownNameError("published result", name, published_names())
    scores = {b: v for b, v in _scores()[slug].items() if not benchmarks or b in benchmarks}
    rows = [_row(name, bench, levels) for bench, levels in scores.items()]
    if len(rows) > 1:
        whole = not benchmarks or len(rows) == len(set(benchmarks))
        rows.append(_average(name, rows, slug, average_names(len(rows), whole=whole)))
    notes = ["published without per-question grades: nothing is paired with it"]
    if slug.startswith(_ROBUST):
        notes.append("its corruptions are not CLEAR's: 25%, 50% and 100% are no level of ours")
    notes += [
        m["text"]
        for m in paper_tables()["misprints"]
        if slug in m["runs"] or ("*" in m["runs"] and not slug.startswith(_ROBUST))
    ]
    by_corruption = tuple(_corruption_rows(name, slug))
    if by_corruption:
        notes.insert(1, f"its scores by corruption are means over {', '.join(paper_tables()['benchmarks'])}")
    return PublishedRows(name, tuple(rows), by_corruption, tuple(notes))


_ROBUST = ("qwen", "gemma", "internvl", "robust", "tecoa")


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-")


@cache
def _scores() -> dict[str, dict[str, dict[str, float]]]:
    tables = paper_tables()
    found: dict[str, dict[str, dict[str, float]]] = {}
    hard = tables["table1_hard"]
    for label, values in hard.items():
        if label != "columns":
            columns = zip(hard["columns"][:-1], values[:-1], strict=True)
            found[_slug(label)] = {bench: {_HARD: value} for bench, value in columns}
    for level, values in tables["table9_clear_rl"].items():
        for bench, value in zip(tables["benchmarks"], values[:-1], strict=True):
            found["clear-rl"][bench][_CLEAR_LEVELS[level]] = value
    robust = tables["robust_r1_table2"]
    for bench in ("MMMB", "MMStar", "RealWorldQA"):
        for label, values in robust[bench].items():
            levels = dict(zip(robust["columns"], values, strict=True))
            found.setdefault(_slug(label), {})[bench] = levels
    for label, share in tables["robust_r1_table1_rbench_overall"].items():
        found.setdefault(_slug(label), {})["R-Bench"] = {"overall": 100 * share}
    return {slug: {b: _ordered(v) for b, v in benches.items()} for slug, benches in found.items()}


def _ordered(levels: Mapping[str, float]) -> dict[str, float]:
    order = [*_CLEAR_LEVELS.values(), *levels]
    return {level: levels[level] for level in dict.fromkeys(order) if level in levels}


def _row(run: str, bench: str, levels: Mapping[str, float]) -> LevelRow:
    n = paper_tables()["sizes"].get(bench, 495)
    scores = {level: _estimate(value, n) for level, value in levels.items()}
    return LevelRow(bench, bench, n, scores, _drops(scores), run)


def _estimate(points: float, n: int) -> Estimate:
    right = round(points / 100 * n)
    estimate = proportion([1.0] * right + [0.0] * (n - right))
    assert estimate is not None
    return replace(estimate.scaled(100), value=points)


def _drops(scores: Mapping[str, Estimate]) -> dict[str, Estimate]:
    if CLEAN not in scores:
        return {}
    return {level: difference(scores[CLEAN], score) for level, score in scores.items() if level != CLEAN}


def _average(run: str, rows: Sequence[LevelRow], slug: str, names: tuple[str, str]) -> LevelRow:
    levels = [level for level in rows[0].scores if all(level in row.scores for row in rows)]
    scores = {
        level: e
        for level in levels
        if (e := mean_score([row.scores[level] for row in rows], whole=100)) is not None
    }
    printed = {_slug(k): v for k, v in paper_tables()["table2_clean_hard_drop"].items()}.get(slug)
    six = paper_tables()["benchmarks"]
    if printed and CLEAN not in scores and [row.id for row in rows] == six:
        scores = {CLEAN: _mean_estimate(printed[0], [row.questions for row in rows]), **scores}
    return LevelRow(*names, sum(row.questions for row in rows), scores, _drops(scores), run)


def _mean_estimate(points: float, sizes: Sequence[int]) -> Estimate:
    # Only the mean was printed: the interval takes every benchmark at it.
    estimate = mean_score([_estimate(points, n) for n in sizes], whole=100)
    assert estimate is not None
    return replace(estimate, value=points)


def _corruption_rows(run: str, slug: str) -> list[LevelRow]:
    place = {"bagel": 0, "clear-rl": 1}.get(slug)
    if place is None:
        return []
    tables = paper_tables()
    sizes = [tables["sizes"][bench] for bench in tables["benchmarks"]]
    rows = []
    for category, names in tables["table10_hard_per_corruption_bagel_clear_rl"].items():
        if category == "overall":
            continue
        values = {name: pair[place] for name, pair in names.items() if name != "category avg"}
        values[category] = sum(values.values()) / len(values)
        for name, points in values.items():
            rows.append(LevelRow(name, name, sum(sizes), {_HARD: _mean_estimate(points, sizes)}, {}, run))
    return rows
