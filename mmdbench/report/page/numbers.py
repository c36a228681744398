"""Numbers of a report by their path, so that what a page shows is what the report's JSON holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from mmdbench.report.tables.rounding import fixed
from mmdbench.report.tables.table import Column, Value, shown

__all__ = ["DASH", "PageNumbers", "box", "tag"]

DASH = "–"

_VOID = frozenset({"circle", "line", "path", "polygon", "polyline", "rect"})


@dataclass(frozen=True, slots=True)
class PageNumbers:
    """The record that a page's numbers come from: `Tables.as_dict()`, and `quality` where there is any."""

    record: Mapping[str, Any]

    def at(self, path: str) -> Any:
        """What lies at a path such as `main/0/drops/hard/value`; None where it leads nowhere."""
        found: Any = self.record
        for step in path.split("/"):
            if isinstance(found, Mapping):
                found = found.get(step)
            elif isinstance(found, Sequence) and not isinstance(found, str):
                found = found[int(step)] if int(step) < len(found) else None
            else:
                return None
        return found

    def text(self, path: str, digits: int = 1, *, signed: bool = False, unit: str = "") -> str:
        """The number at a path, rounded by the report's rule; a dash where there is none."""
        value = self.at(path)
        if value is None:
            return DASH
        return shown(Value(value), Column("", unit, digits, signed=signed))

    def number(self, path: str, digits: int = 1, *, signed: bool = False, unit: str = "") -> str:
        """The number at a path as HTML that labels the path."""
        text = self.text(path, digits, signed=signed, unit=unit)
        if text == DASH:
            return DASH
        return tag("span", text, data_of=path, data_digits=digits)

    def interval(self, path: str, digits: int = 1) -> str:
        """The interval of the estimate at a path as HTML; empty where it has none."""
        if not self.known(path):
            return ""
        low, high = (self.number(f"{path}/{end}", digits) for end in ("low", "high"))
        return f'<span class="ci">{low} to {high}</span>'

    def spoken(self, path: str, digits: int = 1) -> str:
        """The estimate at a path in words, for those who hear the page."""
        value = self.at(f"{path}/value")
        if value is None:
            return "no value"
        words = f"{fixed(value, digits)} points"
        if self.known(path):
            low, high = (fixed(self.at(f"{path}/{end}"), digits) for end in ("low", "high"))
            words += f", 95 % interval {low} to {high}"
        return words

    def known(self, path: str) -> bool:
        """Whether the estimate at a path has an interval."""
        return self.at(f"{path}/low") is not None and self.at(f"{path}/high") is not None

    def clear(self, path: str) -> bool:
        """Whether the interval at a path leaves zero out."""
        return self.known(path) and not self.at(f"{path}/low") <= 0 <= self.at(f"{path}/high")


def tag(name: str, text: str = "", /, **attributes: Any) -> str:
    """An element with text, which is escaped.

    An underscore in an attribute's name is a hyphen, a last one is dropped; None leaves it out.

    >>> tag("td", "1 < 2", class_="n", data_of="a/b")
    '<td class="n" data-of="a/b">1 &lt; 2</td>'
    """
    return box(name, escape(text), **attributes)


def box(name: str, /, *inside: str, **attributes: Any) -> str:
    """An element with markup inside; its attributes are those of `tag`."""
    kept = ((k.rstrip("_").replace("_", "-"), v) for k, v in attributes.items() if v is not None)
    head = "".join(f' {k}="{escape(str(v))}"' for k, v in kept)
    body = "".join(inside)
    return f"<{name}{head}/>" if name in _VOID and not body else f"<{name}{head}>{body}</{name}>"
