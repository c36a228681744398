"""Parts of charts as SVG, coloured by the page's theme: scales, strips, markers and panels of curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mmdbench.report.page.numbers import box, tag

__all__ = ["Curve", "Mark", "Point", "Scale", "axis_strip", "marker", "panel", "strip"]

_SHAPES = ("circle", "square", "diamond", "triangle", "cross", "ring")


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale from `low` to `high` with round ticks, in the data's unit."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The position of a value: 0 at the low end, 1 at the high end."""
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    @classmethod
    def around(cls, values: Sequence[float], *, steps: int = 5, hold: Sequence[float] = ()) -> Scale:
        """A scale that holds some values.

        Args:
            values: The values.
            steps: The number of steps between ticks, roughly.
            hold: Further values, such as a zero line.

        Returns:
            A scale whose ends are ticks.

        >>> Scale.around([3.0, 41.0], hold=[0.0]).ticks
        (0.0, 10.0, 20.0, 30.0, 40.0, 50.0)
        """
        known = [*values, *hold] or [0.0, 1.0]
        low, high = min(known), max(known)
        width = (high - low) or 1.0
        power = 10 ** math.floor(math.log10(width / steps))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power * steps >= width * 0.95)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if first == last:
            last += 1
        ticks = tuple(float(round(n * step, 10)) for n in range(first, last + 1))
        return cls(ticks[0], ticks[-1], ticks)

    def label(self, tick: float) -> str:
        """A tick as text."""
        return f"{tick:g}"


@dataclass(frozen=True, slots=True)
class Mark:
    """A value with its interval; the number of its series picks colour and shape."""

    value: float
    low: float | None
    high: float | None
    series: int = 0


def strip(mark: Mark, scale: Scale) -> str:
    """A value and its interval on one line, as wide as the table cell."""
    parts = []
    for tick in scale.ticks:
        x, kind = _percent(scale, tick), "tick" if tick else "zero"
        parts.append(tag("line", x1=x, x2=x, y1="0", y2="100%", class_=kind))
    hue = f"s{mark.series % len(_SHAPES)}"
    if mark.low is not None and mark.high is not None:
        ends = {"x1": _percent(scale, mark.low), "x2": _percent(scale, mark.high)}
        parts.append(tag("line", y1="50%", y2="50%", class_=f"whisker {hue}", **ends))
    inner = box("g", marker(mark.series), class_=hue)
    parts.append(box("svg", inner, x=_percent(scale, mark.value), y="50%", overflow="visible"))
    return box("svg", *parts, class_="strip", aria_hidden="true")


def axis_strip(scale: Scale) -> str:
    """The axis of a column of strips."""
    parts = []
    for place, tick in enumerate(scale.ticks):
        side = "start" if place == 0 else "end" if place == len(scale.ticks) - 1 else "middle"
        kind = "minor" if len(scale.ticks) > 5 and place % 2 and tick else None
        x = _percent(scale, tick)
        parts.append(tag("text", scale.label(tick), x=x, y="12", text_anchor=side, class_=kind))
    return box("svg", *parts, class_="strip axis", aria_hidden="true")


def marker(series: int) -> str:
    """The marker of a series, around the origin."""
    shape = _SHAPES[series % len(_SHAPES)]
    outlines = {
        "square": "M-4-4H4V4H-4Z",
        "diamond": "M0-5.6L5.6 0L0 5.6L-5.6 0Z",
        "triangle": "M0-5.4L5.4 4.2H-5.4Z",
        "cross": "M-4.5-2L-2-4.5L0-2.5L2-4.5L4.5-2L2.5 0L4.5 2L2 4.5L0 2.5L-2 4.5L-4.5 2L-2.5 0Z",
    }
    if shape in outlines:
        return tag("path", d=outlines[shape], class_="mark")
    return tag("circle", r="4.6", class_="mark hollow" if shape == "ring" else "mark")


def _percent(scale: Scale, value: float) -> str:
    return f"{100 * scale.at(value):.2f}%"


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a curve: its position (0..1) across, its value, interval and description in words."""

    across: float
    value: float
    low: float | None = None
    high: float | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve; its number among the page's series picks colour, shape and dash."""

    number: int
    points: tuple[Point, ...]


_WIDE, _TALL = 300, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 14, 10, 24


def panel(series: Sequence[Curve], scale: Scale, across: Sequence[tuple[float, str]], words: str) -> str:
    """A chart of curves.

    Args:
        series: The curves.
        scale: The vertical scale.
        across: Position (0..1) and text of each label of the horizontal axis.
        words: Description of the chart, for screen readers.

    Returns:
        An SVG element.
    """
    parts = []
    for tick in scale.ticks:
        y = f"{_y(scale, tick):.1f}"
        parts.append(tag("line", x1=_LEFT, x2=_WIDE - _RIGHT, y1=y, y2=y, class_="tick"))
        parts.append(tag("text", scale.label(tick), x=_LEFT - 6, y=float(y) + 4, text_anchor="end"))
    for place, label in across:
        parts.append(tag("text", label, x=f"{_x(place):.1f}", y=_TALL - 6, text_anchor="middle"))
    parts += [_curve(curve, scale, (n - (len(series) - 1) / 2) * 3) for n, curve in enumerate(series)]
    return box("svg", *parts, class_="panel", role="img", aria_label=words, viewBox=f"0 0 {_WIDE} {_TALL}")


def _curve(curve: Curve, scale: Scale, shift: float) -> str:
    places = [(_x(p.across) + shift, _y(scale, p.value), p) for p in curve.points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    parts = [tag("polyline", points=line, class_="curve")]
    for x, y, point in places:
        if point.low is not None and point.high is not None:
            ends = {"y1": f"{_y(scale, point.low):.1f}", "y2": f"{_y(scale, point.high):.1f}"}
            parts.append(tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", class_="whisker", **ends))
        title = tag("title", point.words)
        parts.append(box("g", marker(curve.number), title, transform=f"translate({x:.1f} {y:.1f})"))
    return box("g", *parts, class_=f"s{curve.number % len(_SHAPES)}")


def _x(place: float) -> float:
    inner = 16
    return _LEFT + inner + place * (_WIDE - _LEFT - _RIGHT - 2 * inner)


def _y(scale: Scale, value: float) -> float:
    return _TOP + (1 - scale.at(value)) * (_TALL - _TOP - _BOTTOM)
