"""Charts of a page: drops, scores by level, accuracy by picture quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmdbench.report.page.elements import PageLabels, legend, opener, scroller
from mmdbench.report.page.numbers import PageNumbers, box, tag
from mmdbench.report.page.svg import Curve, Mark, Point, Scale, axis_strip, panel, strip

__all__ = ["curves", "drops", "quality"]


@dataclass(frozen=True, slots=True)
class _Line:
    id: str
    title: str
    run: str
    level: str
    series: int
    path: str


def drops(numbers: PageNumbers, labels: PageLabels) -> str:
    """A table of drops with their intervals: at every level of one run, at the worst level of several."""
    several = len(labels.runs) > 1
    lines = _lines(numbers, labels, several=several)
    if not lines:
        return tag("p", "There is no degraded level to compare with the clean one.")
    ends = [numbers.at(f"{line.path}/{key}") for line in lines for key in ("value", "low", "high")]
    scale = Scale.around([end for end in ends if end is not None], hold=[0.0])
    groups: dict[str, list[_Line]] = {}
    for line in lines:
        groups.setdefault(line.id, []).append(line)
    body = [
        _drop_row(numbers, labels, scale, line, len(group) if place == 0 else 0, several=several)
        for group in groups.values()
        for place, line in enumerate(group)
    ]
    name = tag("span", "Drop from clean, points", class_="axis-name")
    axis = box("th", name, axis_strip(scale), scope="col", class_="wide")
    heads = [
        tag("th", "Benchmark", scope="col"),
        tag("th", "Model" if several else "Level", scope="col"),
        axis,
        tag("th", "Drop, 95 % interval", scope="col", class_="num"),
    ]
    words = f"Drop from clean{f' to {labels.worst}' if several else ''}, in points, with 95 % intervals"
    caption = tag("caption", words, class_=None if several else "unseen")
    table = caption + box("thead", box("tr", *heads)) + box("tbody", *body)
    key = legend(labels.runs if several else labels.degraded)
    return key + scroller(box("table", table, class_="drops"), "Drops by benchmark")


def _lines(numbers: PageNumbers, labels: PageLabels, *, several: bool) -> list[_Line]:
    ids = dict.fromkeys(row["id"] for row in numbers.at("main"))
    levels = (labels.worst,) if several else labels.degraded
    return [
        _Line(
            row_id,
            row["name"],
            row["run"],
            level,
            labels.runs.index(row["run"]) if several else labels.degraded.index(level),
            f"main/{place}/drops/{level}",
        )
        for row_id in ids
        for place, row in enumerate(numbers.at("main"))
        for level in levels
        if row["id"] == row_id and level in row["drops"]
    ]


def _drop_row(
    numbers: PageNumbers, labels: PageLabels, scale: Scale, line: _Line, span: int, *, several: bool
) -> str:
    head = tag("th", line.title, scope="rowgroup", rowspan=span) if span else ""
    low, high = (numbers.at(f"{line.path}/{end}") for end in ("low", "high"))
    mark = Mark(numbers.at(f"{line.path}/value"), low, high, line.series)
    wanted = {"bench": labels.benches.get(line.id, ""), "level": line.level}
    words = f"{line.title} at {line.level}, drop"
    inside = numbers.number(f"{line.path}/value") + numbers.interval(line.path)
    label = tag("th", line.run if several else line.level, scope="row", class_="sub")
    drawn = box("td", strip(mark, scale), class_="wide")
    number = box("td", opener(labels, line.run, inside, words, wanted), class_="num")
    return box("tr", head, label, drawn, number, class_="first" if span else None)


def curves(numbers: PageNumbers, labels: PageLabels) -> str:
    """A chart of the scores at every level for each benchmark, all on one scale."""
    if len(labels.levels) < 2:
        return tag("p", "The run has one level.")
    steps = len(labels.levels) - 1
    found: dict[str, list[Curve]] = {}
    titles = {row["id"]: row["name"] for row in numbers.at("main")}
    ends: list[float] = []
    for i, row in enumerate(numbers.at("main")):
        points = []
        for place, level in enumerate(labels.levels):
            if level in row["scores"]:
                path = f"main/{i}/scores/{level}"
                value, low, high = (numbers.at(f"{path}/{k}") for k in ("value", "low", "high"))
                ends += [value, low, high]
                words = f"{row['run']}, {level}: {numbers.spoken(path)}"
                points.append(Point(place / steps, value, low, high, words))
        if points:
            found.setdefault(row["id"], []).append(Curve(labels.runs.index(row["run"]), tuple(points)))
    scale = Scale.around([e for e in ends if e is not None])
    across = [(place / steps, level) for place, level in enumerate(labels.levels)]
    figures = []
    for row_id, series in found.items():
        title = titles[row_id]
        words = f"{title}: " + "; ".join(point.words for s in series for point in s.points)
        figures.append(box("figure", tag("figcaption", title), panel(series, scale, across, words)))
    return legend(labels.runs) + box("div", *figures, class_="panels")


def quality(numbers: PageNumbers) -> str:
    """A chart of accuracy against the measured quality of pictures, for each metric."""
    entries = list(enumerate(numbers.at("quality") or []))
    runs = list(dict.fromkeys(entry["run"] for _, entry in entries))
    figures = []
    for metric in dict.fromkeys(entry["metric"] for _, entry in entries):
        mine = [(i, entry) for i, entry in entries if entry["metric"] == metric and entry["bins"]]
        if mine:
            figures.append(_quality_figure(numbers, runs, metric, mine))
    return legend(runs) + box("div", *figures, class_="panels") if figures else ""


def _quality_figure(
    numbers: PageNumbers, runs: Sequence[str], metric: str, entries: Sequence[tuple[int, Mapping[str, Any]]]
) -> str:
    bins = [b for _, entry in entries for b in entry["bins"]]
    side = Scale.around([b["quality"] for b in bins], steps=4)
    scale = Scale.around([b["accuracy"][key] for b in bins for key in ("value", "low", "high")])
    drawn = []
    for i, entry in entries:
        points = []
        for k, b in enumerate(entry["bins"]):
            path = f"quality/{i}/bins/{k}"
            where = f"{entry['run']}, {metric} {numbers.text(f'{path}/quality', 2)}"
            words = f"{where}: {numbers.spoken(f'{path}/accuracy')}, n {b['n']}"
            score = b["accuracy"]
            points.append(Point(side.at(b["quality"]), score["value"], score["low"], score["high"], words))
        drawn.append(Curve(runs.index(entry["run"]), tuple(points)))
    better = entries[0][1]["better"]
    caption = f"{metric.upper()} ({better} is better quality)" if better else metric
    words = f"Accuracy by {metric}: " + "; ".join(point.words for s in drawn for point in s.points)
    across = [(side.at(tick), side.label(tick)) for tick in side.ticks]
    return box("figure", tag("figcaption", caption), panel(drawn, scale, across, words))
