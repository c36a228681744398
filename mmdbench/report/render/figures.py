"""Figures for papers: scores by level, drops by benchmark, and the map of corruptions × levels.

They have the width of one or two columns of a paper; vector files hold the fonts that they use.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from mmdbench.errors import MissingExtraError, UsageError
from mmdbench.report.render.plots import draw_corruptions, draw_drops, draw_levels
from mmdbench.report.tables.collect import Tables
from mmdbench.system.files import cannot_write
from mmdbench.system.printable import one_line

__all__ = ["FORMATS", "draw_figures"]

FORMATS = ("svg", "pdf", "png")

VECTOR_FORMATS = FORMATS[:2]
"""The formats that are drawn if none is named."""

WIDTHS = {1: 3.35, 2: 6.9}
"""Width in inches of one and of two columns of a paper."""

_FIGURES = {"levels": draw_levels, "drops": draw_drops, "corruptions": draw_corruptions}

_FONT = "DejaVu Sans"
"""Comes with matplotlib, so that every machine draws the same."""

_NOTE_POINTS, _NOTE_INCHES, _NOTE_CHARACTERS_PER_INCH = 6, 0.1, 20

_STYLE: Any = {
    "font.family": _FONT,
    "svg.hashsalt": "mmdbench",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 8,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_figures(tables: Tables, folder: Path, formats: Sequence[str] = (), columns: int = 1) -> list[Path]:
    """Write the figures of a report; those that its tables do not suffice for are left out.

    Args:
        tables: The tables of the report.
        folder: Folder of the figures; it is made if it is missing.
        formats: Some of `svg`, `pdf` and `png` (300 dpi); none for `svg` and `pdf`.
        columns: Number of a paper's columns that a figure spans: 1 (3.35 inches) or 2 (6.9 inches).

    Returns:
        The paths of the files.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UsageError: Another format or another number of columns is asked for.
        StoreError: A file cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"Cannot draw {name!r}.", hint=f"Formats: {', '.join(FORMATS)}.")
    if columns not in WIDTHS:
        raise UsageError(f"Cannot draw figures of {columns} columns.", hint="A figure spans 1 or 2 columns.")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib, which draws figures,", "plot") from error
    paths = []
    with mpl.rc_context(_STYLE):
        for name, draw in _FIGURES.items():
            figure = Figure(layout="constrained", dpi=300)
            if not draw(figure, tables, WIDTHS[columns]):
                continue
            _write_notes(figure, tables)
            for kind in formats or VECTOR_FORMATS:
                path = folder / f"{name}.{kind}"
                _save(figure, path, kind)
                paths.append(path)
    return paths


def _save(figure: Any, path: Path, kind: str) -> None:
    # Without a date, equal numbers give equal files.
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}
    content = io.BytesIO()
    figure.savefig(content, format=kind, metadata=undated[kind])
    made = content.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_with_font(made) if kind == "svg" else made)
    except OSError as error:
        raise cannot_write(path, error) from error


def _with_font(svg: bytes) -> bytes:
    """The SVG with the glyphs that its text uses, so that it looks the same where the font is missing."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont
    from matplotlib import get_data_path

    subsetter = Subsetter(Options(layout_features=[], drop_tables=["FFTM", "GDEF", "GPOS", "GSUB", "kern"]))
    subsetter.populate(text=html.unescape(svg.decode("utf-8")))
    glyphs = io.BytesIO()
    path = Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    with TTFont(path, recalcTimestamp=False, lazy=True) as font:
        subsetter.subset(font)
        font.save(glyphs)
    data = base64.b64encode(glyphs.getvalue()).decode("ascii")
    rule = f"@font-face {{font-family: '{_FONT}'; src: url(data:font/ttf;base64,{data})}}"
    return svg.replace(b"</style>", f"{rule}</style>".encode(), 1)


def _write_notes(figure: Any, tables: Tables) -> None:
    """Write the rules below the axes and the notes beside them, above if a run is incomplete.

    The figure grows by what they need.
    """
    width, height = figure.get_size_inches()
    per_line = int(width * _NOTE_CHARACTERS_PER_INCH)
    above, below = tables.notes_around()
    paired = ", those of drops paired" if tables.runs else ""
    rules = f"95 % intervals{paired}; {tables.header['protocol']}, {tables.header['design']}"
    for notes, write, colour in (
        (above, figure.suptitle, "#b00020"),
        ((rules, *below), figure.supxlabel, "0.3"),
    ):
        lines = [line for note in notes for line in wrap(one_line(note), per_line)]
        if lines:
            height += _NOTE_INCHES * len(lines)
            write("\n".join(lines), fontsize=_NOTE_POINTS, color=colour, ha="center")
    figure.set_size_inches(width, height)
