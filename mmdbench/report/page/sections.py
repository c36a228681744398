"""Summary and tables of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdbench.records import CLEAN
from mmdbench.report.page.elements import PageLabels, scroller
from mmdbench.report.page.numbers import DASH, PageNumbers, box, tag
from mmdbench.report.scores import AVERAGE

__all__ = ["summary", "tables"]


def summary(numbers: PageNumbers, labels: PageLabels) -> str:
    """A card for each run: its clean score, its score at the worst level and the drop between them."""
    cards = []
    for run in labels.runs:
        main = enumerate(numbers.at("main"))
        rows = [(i, row) for i, row in main if row["run"] == run and row["scores"] and not row["outside"]]
        if not rows:
            continue
        place, row = next((r for r in rows if r[1]["id"].startswith(AVERAGE)), rows[0])
        head = tag("h3", run) + box("p", _about(numbers, run, row["name"]), class_="about")
        tiles = []
        for level in dict.fromkeys(level for level in (CLEAN, labels.worst) if level in row["scores"]):
            path = f"main/{place}/scores/{level}"
            tiles.append(_tile(f"Score {level}", numbers.number(f"{path}/value"), numbers.interval(path)))
        if labels.worst in row["drops"]:
            path = f"main/{place}/drops/{labels.worst}"
            lost = numbers.at(f"{path}/value") > 0
            kind = ("lost" if lost else "won") if numbers.clear(path) else ""
            tiles.append(_tile("Drop, points", numbers.number(f"{path}/value"), numbers.interval(path), kind))
            percent = _percent_path(numbers, labels, row)
            if percent:
                tiles.append(_tile("Drop, % of clean", numbers.number(percent, unit="%"), ""))
        cards.append(box("article", head, box("dl", *tiles, class_="tiles"), class_="card"))
    return "".join(cards)


def _about(numbers: PageNumbers, run: str, name: str) -> str:
    for i, info in enumerate(numbers.at("runs")):
        if info["label"] == run:
            answered, planned = (numbers.number(f"runs/{i}/counts/{key}", 0) for key in ("ok", "planned"))
            said = f"{answered} of {planned} planned answers"
            state = "complete" if info["complete"] else tag("strong", "incomplete", class_="alarm")
            return f"{tag('span', name)} · {said} · {state}"
    return f"{tag('span', name)} · published result"


def _tile(name: str, value: str, interval: str, kind: str = "") -> str:
    body = box("dd", value + interval)
    return box("div", tag("dt", name), body, class_=f"tile {kind}".strip())


def _percent_path(numbers: PageNumbers, labels: PageLabels, wanted: Mapping[str, Any]) -> str:
    ids = (wanted["id"], wanted["run"])[: min(2, len(labels.runs))]
    for t, table in enumerate(numbers.at("tables")):
        if table["key"] != "levels":
            continue
        for c, column in enumerate(table["columns"]):
            for r, row in enumerate(table["rows"]):
                if column["unit"] == "%" and row["ids"] == ids:
                    value = row["values"][c]
                    return f"tables/{t}/rows/{r}/values/{c}/value" if value else ""
    return ""


def tables(numbers: PageNumbers, best: Sequence[Mapping[tuple[int, int], int]]) -> str:
    """Every table of the report, collapsed; `best` holds the `ranks` of each."""
    parts = []
    for t, table in enumerate(numbers.at("tables")):
        heads = "".join(tag("th", name, scope="col") for name in table["labels"])
        for column in table["columns"]:
            heads += tag("th", column["name"] or table["title"], scope="col", class_="num")
        rows = range(len(table["rows"]))
        body = "".join(_table_row(numbers, f"tables/{t}/rows/{r}", table, r, best[t]) for r in rows)
        inner = tag("caption", table["caption"] or table["title"])
        inner += box("thead", box("tr", heads)) + box("tbody", body)
        grid = scroller(box("table", inner, class_="plain"), table["title"])
        head = box("summary", tag("h3", table["title"]))
        parts.append(box("details", head, grid, id=f"table-{table['key']}"))
    return "".join(parts)


def _table_row(
    numbers: PageNumbers,
    path_of_row: str,
    table: Mapping[str, Any],
    place: int,
    best: Mapping[tuple[int, int], int],
) -> str:
    row = table["rows"][place]
    cells = "".join(tag("th", label, scope="row") for label in row["labels"])
    for c, (value, column) in enumerate(zip(row["values"], table["columns"], strict=True)):
        path = f"{path_of_row}/values/{c}"
        if value is None:
            cells += tag("td", DASH, class_="num")
        elif isinstance(value["value"], str):
            cells += tag("td", value["value"])
        else:
            digits = column["digits"]
            text = numbers.number(f"{path}/value", digits, signed=column["signed"], unit=column["unit"])
            mark = ("", " best", " second")[best.get((place, c), 0)]
            cells += box("td", text + numbers.interval(path, digits), class_=f"num{mark}")
    return box("tr", cells, class_="sum" if row["summary"] else None)
