"""Heat maps: what each part of the whole loses at each level, as tables whose cells open examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdbench.records import CLEAN
from mmdbench.report.page.facts import DASH, Facts, box, tag
from mmdbench.report.page.names import Names, opener, scroller

__all__ = ["heat_maps"]

_FILTERS = {"Corruption": "corruption", "Corruption category": "family", "Question category": "category"}

Rows = Sequence[tuple[str, Mapping[str, Any]]]
"""Path and record of each row."""


def heat_maps(facts: Facts, names: Names, categories: Mapping[str, str]) -> str:
    """A heat map of corruptions in their categories and one of question categories, for each run.

    `categories` maps a corruption to its category. A cell's shade is its drop as a share of the
    largest drop on the page, so shades can be compared between maps.
    """
    parts = {p["title"]: b for b, p in enumerate(facts.at("breakdowns"))}
    found = [
        row["drops"][lv]["value"] for p in facts.at("breakdowns") for row in p["rows"] for lv in row["drops"]
    ]
    if not found:
        return tag("p", "There is no degraded level to compare with the clean one.")
    most = max(abs(value) for value in found) or 1.0
    maps = []
    for run in names.runs:
        rows = {title: _rows(facts, f"breakdowns/{b}", run) for title, b in parts.items()}
        groups = _by_category(rows.get("Corruption", []), rows.get("Corruption category", []), categories)
        if groups:
            maps.append(_map(facts, names, ("Corruption", run), groups, most))
        if rows.get("Question category"):
            maps.append(
                _map(facts, names, ("Question category", run), [("", rows["Question category"], [])], most)
            )
    return "".join(maps)


def _rows(facts: Facts, path: str, run: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"{path}/rows/{r}", row) for r, row in enumerate(facts.at(f"{path}/rows")) if row["run"] == run]


def _by_category(rows: Rows, sums: Rows, categories: Mapping[str, str]) -> list[tuple[str, Rows, Rows]]:
    groups: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for path, row in rows:
        groups.setdefault(categories.get(row["name"], ""), []).append((path, row))
    return [(name, part, [s for s in sums if s[1]["name"] == name]) for name, part in groups.items()]


def _map(
    facts: Facts, names: Names, about: tuple[str, str], groups: Sequence[tuple[str, Rows, Rows]], most: float
) -> str:
    title, run = about
    several = f" – {run}" if len(names.runs) > 1 else ""
    heads = [tag("th", title, scope="col"), tag("th", "n", scope="col", class_="num")]
    heads += [tag("th", level, scope="col", class_="num") for level in names.levels]
    bodies = []
    for group, rows, sums in groups:
        lines = [_line(facts, names, (title, run), row, most) for row in rows]
        if group:
            shown = group.replace("_", " ")
            lines = [_line(facts, names, ("Corruption category", run), s, most, shown) for s in sums] + lines
        bodies.append(box("tbody", *lines))
    caption = tag("caption", f"By {title.lower()}{several}")
    table = caption + box("thead", box("tr", *heads)) + "".join(bodies)
    return scroller(box("table", table, class_="heat"), f"By {title.lower()}{several}")


def _line(
    facts: Facts,
    names: Names,
    about: tuple[str, str],
    row: tuple[str, Mapping[str, Any]],
    most: float,
    shown: str = "",
) -> str:
    path, record = row
    label = shown or record["name"].replace("_", " ")
    cells = tag("th", label, scope="row") + box("td", facts.number(f"{path}/questions", 0), class_="num n")
    for level in names.levels:
        if level not in record["scores"]:
            cells += tag("td", DASH, class_="num")
        elif level == CLEAN:
            score = f"{path}/scores/{level}"
            both = facts.number(f"{score}/value") + facts.interval(score)
            cells += box("td", both, class_="num base")
        else:
            cells += _cell(facts, names, about, (path, record["name"], label), level, most)
    return box("tr", cells, class_="sum" if shown else None)


def _cell(
    facts: Facts, names: Names, about: tuple[str, str], row: tuple[str, str, str], level: str, most: float
) -> str:
    title, run = about
    path, name, label = row
    drop, score = f"{path}/drops/{level}", f"{path}/scores/{level}"
    value = facts.at(f"{drop}/value")
    parts = (tag("span", "score ", class_="unseen"), facts.number(f"{score}/value"), facts.interval(score))
    inner = box("span", *parts, class_="score")
    kind = "num"
    if value is not None:
        sure = tag("span", "•", class_="sure") if facts.clear(drop) else ""
        word = tag("span", "drop ", class_="unseen")
        inner += box("span", word, facts.number(f"{drop}/value"), sure, facts.interval(drop), class_="drop")
        kind += " loss" if value > 0 else " gain" if value < 0 else ""
    words = f"{label} at {level}"
    button = opener(names, run, inner, words, {_FILTERS[title]: name, "level": level})
    shade = f"--t:{min(1.0, abs(value or 0) / most):.3f}"
    return box("td", button, class_=kind, style=shade)
