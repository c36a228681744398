"""Elements that several sections of a page share: legend, scrolling box, button that opens examples."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from mmdbench.report.page.numbers import box, tag
from mmdbench.report.page.svg import marker
from mmdbench.report.scores import degraded_levels, worst_level

__all__ = ["PageLabels", "legend", "opener", "page_file", "script_hash", "scroller"]


@dataclass(frozen=True, slots=True)
class PageLabels:
    """Levels and runs of a page in their order, and the files of benchmarks by the ids of rows.

    The first `graded` runs have examples; those after them are published results.
    """

    levels: tuple[str, ...]
    runs: tuple[str, ...]
    benches: Mapping[str, str]
    graded: int

    @property
    def degraded(self) -> tuple[str, ...]:
        """The levels at which pictures are corrupted."""
        return degraded_levels(self.levels)

    @property
    def worst(self) -> str:
        """The hardest level; empty if there is none."""
        return worst_level(self.levels)


def legend(labels: Sequence[str]) -> str:
    """A legend of the shape and colour of each label; empty for a single one."""
    if len(labels) < 2:
        return ""
    items = []
    for number, label in enumerate(labels):
        drawn = box("svg", marker(number), viewBox="-8 -8 16 16", class_="key", aria_hidden="true")
        items.append(box("li", drawn, tag("span", label), class_=f"s{number % 6}"))
    return box("ul", *items, class_="legend")


def scroller(table: str, name: str) -> str:
    """A box in which a wide table scrolls, so that the page does not."""
    return box("div", table, class_="scroll", tabindex="0", role="group", aria_label=name)


def opener(labels: PageLabels, run: str, inside: str, words: str, wanted: Mapping[str, str]) -> str:
    """A button around numbers that opens their examples.

    Args:
        labels: The runs of the page.
        run: The run that the numbers are of.
        inside: The numbers, as HTML.
        words: Description of the numbers, for screen readers.
        wanted: Filters of the examples, such as `{"level": "hard"}`; empty values are dropped.

    Returns:
        The button as HTML; just the numbers for a published result, which has no examples.
    """
    place = labels.runs.index(run)
    if place >= labels.graded:
        return inside
    data = {f"data_{key}": value for key, value in wanted.items() if value}
    said = tag("span", f"Examples of {words}: ", class_="unseen") + inside
    return box("button", said, type="button", class_="go", data_run=place, **data)


def page_file(name: str) -> str:
    """The text of a template, style sheet or script of the page."""
    return resources.files("mmdbench.report.page").joinpath(name).read_text("utf-8")


def script_hash(script: str) -> str:
    """The hash of a script by which a page's policy allows it, and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
