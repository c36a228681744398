"""PageLabels and small parts that several sections of a page share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmdbench.records import CLEAN, RECODED
from mmdbench.report.page.numbers import box, tag
from mmdbench.report.page.svg import marker
from mmdbench.report.scores import worst_level

__all__ = ["PageLabels", "legend", "opener", "scroller"]


@dataclass(frozen=True, slots=True)
class PageLabels:
    """What the page calls things: levels and runs in their order, and a benchmark's name by its title.

    The first `graded` of the runs have examples; those behind them are published results.
    """

    levels: tuple[str, ...]
    runs: tuple[str, ...]
    benches: Mapping[str, str]
    graded: int

    @property
    def degraded(self) -> tuple[str, ...]:
        """The levels that are not clean."""
        return tuple(level for level in self.levels if level not in (CLEAN, RECODED))

    @property
    def worst(self) -> str:
        """The hardest level, or nothing."""
        return worst_level(self.levels)


def legend(labels: Sequence[str]) -> str:
    """What each shape and colour stands for; nothing for a single one."""
    if len(labels) < 2:
        return ""
    items = []
    for number, label in enumerate(labels):
        drawn = box("svg", marker(number), viewBox="-8 -8 16 16", class_="key", aria_hidden="true")
        items.append(box("li", drawn, tag("span", label), class_=f"s{number % 6}"))
    return box("ul", *items, class_="legend")


def scroller(table: str, name: str) -> str:
    """A wide thing that scrolls by itself, so that the page does not."""
    return box("div", table, class_="scroll", tabindex="0", role="group", aria_label=name)


def opener(labels: PageLabels, run: str, inside: str, words: str, wanted: Mapping[str, str]) -> str:
    """Numbers that show their examples when they are chosen; just the numbers for a published result."""
    place = labels.runs.index(run)
    if place >= labels.graded:
        return inside
    data = {f"data_{key}": value for key, value in wanted.items() if value}
    said = tag("span", f"Examples of {words}: ", class_="unseen") + inside
    return box("button", said, type="button", class_="go", data_run=place, **data)
