"""The board as HTML: every table of every group, which a script sorts and filters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib import resources
from string import Template

from mmdbench._version import __version__
from mmdbench.records import CLEAN, in_order
from mmdbench.report.board.rankings import BoardEntry, BoardGroup, Standings
from mmdbench.report.page.elements import page_file, script_hash, scroller
from mmdbench.report.page.numbers import DASH, box, html_text, tag
from mmdbench.report.scores import LevelRow, worst_level
from mmdbench.report.tables.table import PRINTED
from mmdbench.stats import Estimate
from mmdbench.stats.rounding import fixed

__all__ = ["board_html"]

_DIGITS = 1


def board_html(groups: Sequence[BoardGroup], title: str) -> str:
    """The board as text.

    Args:
        groups: Groups of comparable results, in the order in which they are shown.
        title: The heading.

    Returns:
        A whole HTML file, which loads nothing.
    """
    script = page_file("theme.js") + _file("board.js")
    benches = dict.fromkeys(one.name for group in groups for one in group.standings)
    parted = {level for group in groups for level in group.levels if _parts(group, level)}
    hardest = worst_level(in_order(parted))
    return Template(_file("board.html")).substitute(
        title=html_text(title),
        version=__version__,
        hash=script_hash(script),
        css=page_file("page.css") + _file("board.css"),
        js=script,
        groups="".join(tag("option", group.title, value=n) for n, group in enumerate(groups)),
        benches="".join(tag("option", name, value=name) for name in benches),
        levels="".join(
            tag("option", level, value=level, selected="" if level == hardest else None)
            for level in in_order(parted)
        ),
        sections="".join(_section(n, group) for n, group in enumerate(groups)),
    )


def _section(number: int, group: BoardGroup) -> str:
    facts = "".join(tag("dt", key) + tag("dd", value) for key, value in group.facts.items())
    how = box("details", tag("summary", "What is equal in this table"), box("dl", facts, class_="facts"))
    views = [_levels_view(group, one) for one in group.standings]
    views += [_parts_view(group, level) for level in group.levels if _parts(group, level)]
    noted = (
        box("li", tag("b", entry.name), ": ", html_text(note))
        for entry in group.entries
        for note in entry.notes
    )
    notes = "".join(noted)
    if notes:
        how += box("details", tag("summary", "Notes"), box("ul", notes, class_="notes"))
    head = tag("h2", group.title, id=f"h-{number}")
    return box("section", head, *views, how, data_group=number, aria_labelledby=f"h-{number}")


def _levels_view(group: BoardGroup, one: Standings) -> str:
    levels = [level for level in group.levels if any(level in row.scores for _, row in one.rows)]
    chief = worst_level(levels) or levels[-1]
    drop = worst_level(levels) if any(chief in row.drops for _, row in one.rows) else ""
    heads = tag("th", f"Rank at {chief}", scope="col", class_="rank-head")
    heads += _head("Model", first="up")
    heads += _head(chief, level=chief, chosen=True)
    heads += _head(f"drop {CLEAN} → {drop}", first="up") if drop else ""
    others = [level for level in levels if level != chief]
    heads += "".join(_head(level, level=level) for level in others) + _head("n")
    order = sorted(range(len(one.rows)), key=lambda p: _height(one.rows[p][1].scores.get(chief)))
    body = ""
    for place in order:
        entry, row = one.rows[place]
        cells = _rank(one, place, chief) + _model(entry)
        cells += _score(row.scores.get(chief), group)
        cells += _score(row.drops.get(drop), group) if drop else ""
        cells += "".join(_score(row.scores.get(level), group) for level in others)
        cells += tag("td", str(row.questions), class_="num", data_value=row.questions)
        body += _row(entry, cells)
    overall = "yes" if one.overall else "no"
    return _view(one.name, heads, body, "", kind="levels", bench=one.name, overall=overall)


def _parts_view(group: BoardGroup, level: str) -> str:
    """The scores by corruption at a level; categories before their corruptions, as in the rows."""
    rows = _parts(group, level)
    names = dict.fromkeys(row.name for _, parts in rows for row in parts)
    heads = _head("Model", first="up") + "".join(_head(name.replace("_", " ")) for name in names)
    body = ""
    for entry, parts in rows:
        known = {row.name: row for row in parts}
        cells = (_score(known[name].scores.get(level) if name in known else None, group) for name in names)
        body += _row(entry, _model(entry) + "".join(cells))
    title = f"By category and corruption, {level}"
    return _view(title, heads, body, "parts", kind="parts", level=level)


def _parts(group: BoardGroup, level: str) -> list[tuple[BoardEntry, list[LevelRow]]]:
    found = ((entry, [row for row in entry.parts if level in row.scores]) for entry in group.entries)
    return [(entry, rows) for entry, rows in found if rows and level != CLEAN]


def _view(title: str, heads: str, body: str, kind_class: str, **data: str) -> str:
    inner = box("thead", box("tr", heads)) + box("tbody", body)
    table = box("table", inner, class_=f"plain board {kind_class}".strip(), aria_label=title)
    marked = {f"data_{key}": value for key, value in data.items()}
    return box("div", tag("h3", title), scroller(table, title), class_="view", **marked)


def _head(words: str, first: str = "down", *, level: str | None = None, chosen: bool = False) -> str:
    button = tag("button", words, type="button")
    sort = "descending" if chosen else None
    kind = None if words == "Model" else "num"
    return box("th", button, scope="col", class_=kind, data_first=first, data_level=level, aria_sort=sort)


def _row(entry: BoardEntry, cells: str) -> str:
    return box("tr", cells, data_search=f"{entry.name} {entry.about}".lower())


def _rank(one: Standings, place: int, level: str) -> str:
    entry, _ = one.rows[place]
    if entry.unranked:
        return tag("td", f"not ranked: {entry.unranked}", class_="unranked")
    found = {at: _rank_text(ranks[place]) for at, ranks in one.ranks.items() if place in ranks}
    words = json.dumps(found, ensure_ascii=False)
    return tag("td", found.get(level, DASH), class_="rank", data_ranks=words)


def _rank_text(rank: tuple[int, int]) -> str:
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"


def _model(entry: BoardEntry) -> str:
    (_, place), *more = entry.links or ((entry.name, ""),)
    name = tag("a", entry.name, href=place) if place else html_text(entry.name)
    parts = [box("b", name)]
    parts += [tag("span", entry.about, class_="about")] if entry.about else []
    links = "".join(_links(more))
    parts += [box("span", links, class_="about")] if links else []
    return box("th", *parts, scope="row", data_name=entry.name)


def _links(links: Sequence[tuple[str, str]]) -> Iterator[str]:
    return (tag("a", words, href=place) for words, place in links)


def _score(estimate: Estimate | None, group: BoardGroup) -> str:
    if estimate is None:
        return tag("td", DASH, class_="num")
    digits = PRINTED if group.published else _DIGITS
    low, high = fixed(estimate.low, digits), fixed(estimate.high, digits)
    inner = html_text(fixed(estimate.value, digits)) + tag("span", f"{low} to {high}", class_="ci")
    return box("td", inner, class_="num", data_value=repr(float(estimate.value)))


def _height(estimate: Estimate | None) -> float:
    return float("inf") if estimate is None else -estimate.value


def _file(name: str) -> str:
    return resources.files("mmdbench.report.board").joinpath(name).read_text("utf-8")
