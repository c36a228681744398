"""Published results to compare runs with: `paper:clear-rl`, `paper:robust-r1-sft-rl`, `paper:gpt4o` …

The numbers are those of CLEAR (arXiv 2604.04780, tables 1, 2, 9 and 10), Robust-R1 (arXiv
2512.17532, tables 1 to 3) and R-Bench (arXiv 2410.05474, its repository). No per-question grades were
published, so nothing here is paired: a score's interval is Wilson's for its number of questions, and
averages are recomputed over the benchmarks that are asked for. The pictures of R-Bench are degraded as
they are published, so its scores belong to no level of severity. Notes name known misprints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from mmdbench.benches.catalog import is_degraded
from mmdbench.errors import UnknownNameError
from mmdbench.records import CLEAN, UNALTERED, in_order
from mmdbench.report.scores import AVERAGE, LevelRow, mean_rows
from mmdbench.report.tables.collect import PublishedRows
from mmdbench.stats import Estimate, difference, mean_score, proportion

__all__ = ["PREFIX", "is_misprint", "is_published", "paper_tables", "published_names", "published_rows"]

PREFIX = "paper:"

_HARD = "hard"
_RBENCH = "R-Bench"
"""The overall score of R-Bench's three tasks."""
_RBENCH_TABLES = ("rbench_absolute", "robust_r1_table1_rbench", "robust_r1_table3")
_SLUGS = {
    "Qwen2.5-VL-3B (Bai et al. 2025)": "qwen2.5-vl-3b",
    "Ours": "robust-r1-sft-rl",
    "Ours (w/o Reasoning)": "robust-r1-without-reasoning",
    "Ours (w/o r_{deg})": "robust-r1-without-r-deg",
    "Ours (w/o r_{len})": "robust-r1-without-r-len",
}
"""Names of rows of Robust-R1's table 3, whose labels name no model."""
_CLEAR_LEVELS = {"Clean": "clean", "Low": "low", "Mid": "mid", "Hard": "hard"}
_ROBUST_LEVELS = {"clean": "clean", "25%": "low", "50%": "mid", "100%": "hard"}
"""Robust-R1 applies the same sixteen functions at CLEAR's three strengths."""
_SFT_NOTE = (
    "it is the row + SFT of table 3; the card clear-sft, which has the bridge, is + SFT + Bridge (w/o GRPO) "
    "there, 69.51 clean and 63.11 hard"
)
_ROBUST_NOTE = (
    "25 %, 50 % and 100 % of Robust-R1's table 2 are low, mid and hard; its lens_blur has no largest kernel, "
    "which changes 11 to 12 % of a picture's values at hard, by 2 grey levels at most"
)


@cache
def paper_tables() -> dict[str, Any]:
    """The published tables as printed, with sizes of benchmarks and known misprints."""
    text = resources.files("mmdbench.report").joinpath("data/paper_tables.json").read_text("utf-8")
    return dict(json.loads(text))


def is_published(name: str) -> bool:
    """True if a name such as `paper:bagel` means a published result rather than a folder."""
    return name.startswith(PREFIX)


def is_misprint(note: str) -> bool:
    """True if a note of a report tells a misprint of a paper."""
    return any(note.endswith(known["text"]) for known in paper_tables()["misprints"])


def published_names() -> tuple[str, ...]:
    """Names of all published results, with their prefix."""
    return tuple(f"{PREFIX}{slug}" for slug in _scores())


def published_rows(name: str, benchmarks: Sequence[str] = ()) -> PublishedRows:
    """A published result as rows of a report, with its averages over some benchmarks (all if empty).

    `paper:bagel=BAGEL` has the label BAGEL. Raises UnknownNameError for an unknown name.
    """
    slug, _, label = name.removeprefix(PREFIX).partition("=")
    name = label or f"{PREFIX}{slug}"
    if slug not in _scores():
        raise UnknownNameError("published result", name, published_names())
    known = [_row(name, bench, levels) for bench, levels in _scores()[slug].items()]
    rows = [row for row in known if not benchmarks or row.id in benchmarks]
    rows += _means(rows, slug, [b for b in benchmarks if not is_degraded(b) and b != _RBENCH])
    notes = ["published without per-question grades: nothing is paired with it"]
    if slug in map(_slug, paper_tables()["robust_r1_table2"]["MMStar"]):
        notes.append(_ROBUST_NOTE)
    if slug == "clear-sft":
        notes.append(_SFT_NOTE)
    notes += [
        m["text"]
        for m in paper_tables()["misprints"]
        if slug in m["runs"] or ("*" in m["runs"] and slug in _clear_slugs())
    ]
    by_corruption = tuple(_corruption_rows(name, slug))
    overall = None
    if by_corruption:
        notes.insert(1, f"its scores by corruption are means over {', '.join(paper_tables()['benchmarks'])}")
        overall = next(row for row in _means(known, slug, ()) if row.id == AVERAGE)
    return PublishedRows(
        name, tuple(rows), by_corruption, tuple(notes), overall, rbench=_rbench(slug), paper=_paper(slug)
    )


def _paper(slug: str) -> str:
    """The paper of a result; the other models of R-Bench are in Robust-R1's tables."""
    if slug in _clear_slugs():
        return "CLEAR"
    own = (*paper_tables()["rbench_absolute"], *paper_tables()["rbench_relative"])
    return "R-Bench" if slug in map(_slug, own) else "Robust-R1"


def _clear_slugs() -> set[str]:
    return {_slug(label) for label in paper_tables()["table1_hard"]}


def _slug(label: str) -> str:
    return _SLUGS.get(label) or re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-")


@cache
def _scores() -> dict[str, dict[str, dict[str, float]]]:
    tables = paper_tables()
    found: dict[str, dict[str, dict[str, float]]] = {}
    hard = tables["table1_hard"]
    for label, values in hard.items():
        if label != "columns":
            columns = zip(hard["columns"][:-1], values[:-1], strict=True)
            found[_slug(label)] = {
                bench: {UNALTERED if is_degraded(bench) else _HARD: value} for bench, value in columns
            }
    for level, values in tables["table9_clear_rl"].items():
        for bench, value in zip(tables["benchmarks"], values[:-1], strict=True):
            found["clear-rl"][bench][_CLEAR_LEVELS[level]] = value
    robust = tables["robust_r1_table2"]
    levels = [_ROBUST_LEVELS[column] for column in robust["columns"]]
    for bench in ("MMMB", "MMStar", "RealWorldQA"):
        for label, values in robust[bench].items():
            found.setdefault(_slug(label), {})[bench] = dict(zip(levels, values, strict=True))
    for label, cells in ((label, cells) for name in _RBENCH_TABLES for label, cells in tables[name].items()):
        found.setdefault(_slug(label), {})[_RBENCH] = {UNALTERED: 100 * cells[-1]}
    for label in tables["rbench_relative"]:  # of some models nothing else was printed
        found.setdefault(_slug(label), {})
    return {slug: {b: _ordered(v) for b, v in benches.items()} for slug, benches in found.items()}


def _rbench(slug: str) -> dict[str, tuple[float, ...]]:
    """R-Bench's nine cells and the printed overall score (0..1), `absolute` and `relative`."""
    return {
        "relative" if name == "rbench_relative" else "absolute": tuple(cells)
        for name in (*_RBENCH_TABLES, "rbench_relative")
        for label, cells in paper_tables()[name].items()
        if _slug(label) == slug
    }


def _ordered(levels: Mapping[str, float]) -> dict[str, float]:
    return {level: levels[level] for level in in_order(levels)}


def _row(run: str, bench: str, levels: Mapping[str, float]) -> LevelRow:
    n = paper_tables()["sizes"].get(bench, 0)
    scores = {level: _estimate(value, n) for level, value in levels.items()}
    return LevelRow(bench, bench, n, scores, _drops(scores), run, covers=(bench,), outside=bench == _RBENCH)


def _estimate(points: float, n: int) -> Estimate:
    right = round(points / 100 * n)
    estimate = proportion([1.0] * right + [0.0] * (n - right))
    assert estimate is not None
    return replace(estimate.scaled(100), value=points)


def _drops(scores: Mapping[str, Estimate]) -> dict[str, Estimate]:
    if CLEAN not in scores:
        return {}
    return {level: difference(scores[CLEAN], score) for level, score in scores.items() if level != CLEAN}


def _means(rows: Sequence[LevelRow], slug: str, wanted: Sequence[str]) -> list[LevelRow]:
    """The means over the rows; those of `wanted` benchmarks that are not published are missing from them."""
    plain = [row for row in rows if not row.outside and not is_degraded(row.id)]
    degraded = [row for row in rows if not row.outside and is_degraded(row.id)]
    known = {row.id for row in plain}
    missing = [_row("", bench, {}) for bench in wanted if bench not in known]
    levels = _ordered({level: 0.0 for row in rows for level in row.scores})
    found = mean_rows([*plain, *missing], degraded, list(levels))
    printed = {_slug(k): v for k, v in paper_tables()["table2_clean_hard_drop"].items()}.get(slug)
    six = paper_tables()["benchmarks"]
    for place, mean in enumerate(found):
        if printed and CLEAN not in mean.scores and list(mean.covers) == six:
            clean = _mean_estimate(printed[0], [row.questions for row in plain])
            scores = {CLEAN: clean, **mean.scores}
            found[place] = replace(mean, scores=scores, drops=_drops(scores))
    return found


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
    six = tuple(tables["benchmarks"])
    sizes = [tables["sizes"][bench] for bench in six]
    rows = []
    for category, names in tables["table10_hard_per_corruption_bagel_clear_rl"].items():
        if category == "overall":
            continue
        values = {name: pair[place] for name, pair in names.items() if name != "category avg"}
        values[category] = sum(values.values()) / len(values)
        for name, points in values.items():
            score = {_HARD: _mean_estimate(points, sizes)}
            rows.append(LevelRow(name, name, sum(sizes), score, {}, run, covers=six))
    return rows
