"""Heat maps: the drop of each category and corruption at each level, as tables whose cells open examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmdbench.records import CLEAN
from mmdbench.report.page.elements import PageLabels, opener, scroller
from mmdbench.report.page.numbers import DASH, PageNumbers, box, tag
from mmdbench.report.scores import CORRUPTION, CORRUPTION_CATEGORY, QUESTION_CATEGORY

__all__ = ["heat_maps"]

_FILTERS = {CORRUPTION: "corruption", CORRUPTION_CATEGORY: "family", QUESTION_CATEGORY: "category"}

Rows = Sequence[tuple[str, Mapping[str, Any]]]
"""Path and record of each row."""


def heat_maps(numbers: PageNumbers, labels: PageLabels, categories: Mapping[str, str]) -> str:
    """A heat map of corruptions in their categories and one of question categories, for each run.

    A cell's shade is its drop as a share of the largest drop on the page, so shades can be compared
    between maps.

    Args:
        numbers: The numbers of the page.
        labels: The runs and levels of the page.
        categories: The category of each corruption.

    Returns:
        The tables as HTML, or a sentence where there is no degraded level. A published result without drops
        has none.
    """
    parts = numbers.at("breakdowns")
    titles = {part["id"]: part["title"] for part in parts}
    drops = [drop["value"] for part in parts for row in part["rows"] for drop in row["drops"].values()]
    if not drops:
        return tag("p", "There is no degraded level to compare with the clean one.")
    most = max(abs(value) for value in drops) or 1.0
    maps = []
    for run in labels.runs:
        rows = {part["id"]: _rows(numbers, f"breakdowns/{b}", run) for b, part in enumerate(parts)}
        of_run = _Map(numbers, labels, run, most, titles)
        if not any(row["drops"] for part in rows.values() for _, row in part):
            continue  # the scores of a published result are in the tables below
        groups = _by_category(rows.get(CORRUPTION, []), rows.get(CORRUPTION_CATEGORY, []), categories)
        if groups:
            maps.append(of_run.table(CORRUPTION, groups))
        if rows.get(QUESTION_CATEGORY):
            maps.append(of_run.table(QUESTION_CATEGORY, [("", rows[QUESTION_CATEGORY], [])]))
    return "".join(maps)


def _rows(numbers: PageNumbers, path: str, run: str) -> Rows:
    rows = enumerate(numbers.at(f"{path}/rows"))
    return [(f"{path}/rows/{r}", row) for r, row in rows if row["run"] == run]


def _by_category(rows: Rows, sums: Rows, categories: Mapping[str, str]) -> list[tuple[str, Rows, Rows]]:
    groups: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for path, row in rows:
        groups.setdefault(categories.get(row["id"], ""), []).append((path, row))
    return [(name, part, [s for s in sums if s[1]["id"] == name]) for name, part in groups.items()]


@dataclass(frozen=True, slots=True)
class _Map:
    """The heat maps of one run; a drop of `most` points has the darkest shade."""

    numbers: PageNumbers
    labels: PageLabels
    run: str
    most: float
    titles: Mapping[str, str]

    def table(self, part: str, groups: Sequence[tuple[str, Rows, Rows]]) -> str:
        title = self.titles[part]
        heads = [tag("th", title, scope="col"), tag("th", "n", scope="col", class_="num")]
        heads += [tag("th", level, scope="col", class_="num") for level in self.labels.levels]
        bodies = []
        for group, rows, sums in groups:
            lines = [self._row(part, row) for row in rows]
            if group:
                shown = group.replace("_", " ")
                lines = [self._row(CORRUPTION_CATEGORY, row, shown) for row in sums] + lines
            bodies.append(box("tbody", *lines))
        name = f"By {title.lower()}" + (f" – {self.run}" if len(self.labels.runs) > 1 else "")
        body = tag("caption", name) + box("thead", box("tr", *heads)) + "".join(bodies)
        return scroller(box("table", body, class_="heat"), name)

    def _row(self, part: str, row: tuple[str, Mapping[str, Any]], shown: str = "") -> str:
        path, record = row
        label = shown or record["name"].replace("_", " ")
        cells = tag("th", label, scope="row")
        cells += box("td", self.numbers.number(f"{path}/questions", 0), class_="num n")
        for level in self.labels.levels:
            if level not in record["scores"]:
                cells += tag("td", DASH, class_="num")
            elif level == CLEAN:
                cells += box("td", self._estimate(f"{path}/scores/{level}"), class_="num base")
            else:
                data = {_FILTERS[part]: record["id"], "level": level}
                cells += self._drop(path, level, f"{label} at {level}", data)
        return box("tr", cells, class_="sum" if shown else None)

    def _drop(self, path: str, level: str, words: str, data: Mapping[str, str]) -> str:
        drop, score = f"{path}/drops/{level}", f"{path}/scores/{level}"
        value = self.numbers.at(f"{drop}/value")
        inner = box("span", tag("span", "score ", class_="unseen"), self._estimate(score), class_="score")
        kind = "num"
        if value is not None:
            sure = tag("span", "•", class_="sure") if self.numbers.clear(drop) else ""
            parts = (self.numbers.number(f"{drop}/value"), sure, self.numbers.interval(drop))
            inner += box("span", tag("span", "drop ", class_="unseen"), *parts, class_="drop")
            kind += " loss" if value > 0 else " gain" if value < 0 else ""
        shade = f"--t:{min(1.0, abs(value or 0) / self.most):.3f}"
        return box("td", opener(self.labels, self.run, inner, words, data), class_=kind, style=shade)

    def _estimate(self, path: str) -> str:
        return self.numbers.number(f"{path}/value") + self.numbers.interval(path)
