"""Numbers of a page, each read from the report's JSON by its path, and HTML elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from mmdbench.report.tables.table import MARK, Column, Value, shown
from mmdbench.stats.rounding import fixed
from mmdbench.system.printable import visible

__all__ = ["DASH", "PageNumbers", "box", "html_text", "tag"]

DASH = "–"

_VOID = frozenset({"circle", "line", "path", "polygon", "polyline", "rect"})


@dataclass(frozen=True, slots=True)
class PageNumbers:
    """The record that all numbers of a page come from: its `Tables` as a dict, and its `quality` curves."""

    record: Mapping[str, Any]

    def at(self, path: str) -> Any:
        """The value at a path such as `main/0/drops/hard/value`; None if there is none."""
        found: Any = self.record
        for step in path.split("/"):
            if isinstance(found, Mapping):
                found = found.get(step)
            elif isinstance(found, Sequence) and not isinstance(found, str):
                found = found[int(step)] if int(step) < len(found) else None
            else:
                return None
        return found

    def text(self, path: str, digits: int) -> str:
        """The number at a path as plain text with some decimals; a dash if there is none."""
        return self._shown(path, Column("", "", digits))

    def number(self, path: str, digits: int = 1, *, signed: bool = False, unit: str = "") -> str:
        """The number at a path as HTML that names the path.

        Args:
            path: Path of the number in the record.
            digits: Number of decimals.
            signed: Write the + of a positive number.
            unit: The unit of its column; `%` is written.

        Returns:
            A span element, and the mark of a drop of an incomplete run; a dash if there is no number.
        """
        text = self._shown(path, Column("", unit, digits, signed=signed))
        if text == DASH:
            return DASH
        return tag("span", text, data_of=path, data_digits=digits) + self._mark(path)

    def _mark(self, path: str) -> str:
        parent, _, end = path.rpartition("/")
        row = path.partition("/drops/")[0]
        if end != "value" or row == path:
            return str(self.at(f"{parent}/mark") or "") if end == "value" else ""
        run = self.at(f"{row}/run")
        return "".join({MARK for info in self.at("runs") if info["label"] == run and not info["complete"]})

    def _shown(self, path: str, column: Column) -> str:
        value = self.at(path)
        return DASH if value is None else shown(Value(value), column)

    def interval(self, path: str, digits: int = 1) -> str:
        """The interval of the estimate at a path as HTML; empty if it has none."""
        if not self.known(path):
            return ""
        low, high = (self.number(f"{path}/{end}", digits) for end in ("low", "high"))
        return f'<span class="ci">{low} to {high}</span>'

    def spoken(self, path: str, digits: int = 1) -> str:
        """The estimate at a path in words, for screen readers."""
        value = self.at(f"{path}/value")
        if value is None:
            return "no value"
        words = f"{fixed(value, digits)} points"
        if self.known(path):
            low, high = (fixed(self.at(f"{path}/{end}"), digits) for end in ("low", "high"))
            words += f", 95 % interval {low} to {high}"
        return words

    def known(self, path: str) -> bool:
        """True if the estimate at a path has an interval."""
        return self.at(f"{path}/low") is not None and self.at(f"{path}/high") is not None

    def clear(self, path: str) -> bool:
        """True if the estimate at a path has an interval without zero."""
        return self.known(path) and not self.at(f"{path}/low") <= 0 <= self.at(f"{path}/high")


def html_text(text: str) -> str:
    """A text as HTML, inside an element or a quoted attribute, with its control characters shown."""
    return escape(visible(text))


def tag(name: str, text: str = "", /, **attributes: Any) -> str:
    """An HTML element with text.

    Args:
        name: Name of the element.
        text: Its text, which is escaped.
        **attributes: Its attributes. Underscores in a name become hyphens, one at the end is dropped;
            an attribute of None is left out.

    Returns:
        The element as HTML.

    >>> tag("td", "1 < 2", class_="n", data_of="a/b")
    '<td class="n" data-of="a/b">1 &lt; 2</td>'
    """
    return box(name, html_text(text), **attributes)


def box(name: str, /, *inside: str, **attributes: Any) -> str:
    """An HTML element with other elements inside.

    Args:
        name: Name of the element.
        *inside: Its content as HTML, which is not escaped.
        **attributes: Its attributes, named as for `tag`.

    Returns:
        The element as HTML.
    """
    kept = ((k.rstrip("_").replace("_", "-"), v) for k, v in attributes.items() if v is not None)
    head = "".join(f' {k}="{html_text(str(v))}"' for k, v in kept)
    body = "".join(inside)
    return f"<{name}{head}/>" if name in _VOID and not body else f"<{name}{head}>{body}</{name}>"
