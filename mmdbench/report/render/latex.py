"""Tables as LaTeX with booktabs and notes, the best model in bold and the second underlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import Row, Table, Value, chosen, ranks, shown
from mmdbench.stats.rounding import fixed
from mmdbench.system.printable import log_line

__all__ = ["latex", "latex_table"]

Notes = tuple[Sequence[str], Sequence[str]]
"""Notes before and after a table."""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "→": r"$\rightarrow$",
    "Δ": r"$\Delta$",
    "–": "--",
    "…": r"\ldots{}",
    "×": r"$\times$",
    "−": "$-$",
    "<": "$<$",
    "†": r"\textdagger{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
} | {c: f"\\{c}" for c in "&%$#_{}"}


def latex(tables: Tables, keys: Sequence[str] = (), *, intervals: bool = False) -> str:
    """Tables as floats for a document that loads booktabs.

    Args:
        tables: The tables of a report.
        keys: Only these tables; see `chosen`.
        intervals: Write the interval behind each value.

    Returns:
        LaTeX, with the report's header as comments, and its notes in every float.
    """
    found = chosen(tables.tables, keys)
    head = ["% needs \\usepackage{booktabs}"] + [f"% {k}: {log_line(v)}" for k, v in tables.header.items()]
    notes = tables.notes_around()
    floats = [latex_table(table, notes, intervals=intervals) for table in found]
    return "\n".join(head) + "\n\n" + "\n\n".join(floats) + "\n"


def latex_table(table: Table, notes: Notes = ((), ()), *, intervals: bool = False) -> str:
    """One table as a float; its caption names the protocol and the weighting.

    Args:
        table: The table.
        notes: Lines in small print before and after the numbers.
        intervals: Write the interval behind each value.

    Returns:
        LaTeX.
    """
    best = ranks(table)
    before, after = ([_note(line) for line in lines] for lines in notes)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{_escape(table.title)}. {_escape(table.caption)}}}",
        rf"\label{{tab:{table.key}}}",
        *before,
        rf"\begin{{tabular}}{{{'l' * len(table.labels)}{'r' * len(table.columns)}}}",
        r"\toprule",
        _line([*map(_escape, table.labels), *(_escape(c.name) for c in table.columns)]),
        r"\midrule",
    ]
    section = table.rows[0].section if table.rows else ""
    for number, row in enumerate(table.rows):
        if row.section != section:
            lines.append(r"\midrule")
        section = row.section
        lines.append(_line(_cells(table, row, number, best, intervals=intervals)))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *after, r"\end{table}"])


def _note(line: str) -> str:
    return rf"\par\parbox{{\linewidth}}{{\footnotesize {_escape(line)}}}\par"


def _cells(
    table: Table, row: Row, number: int, best: Mapping[tuple[int, int], int], *, intervals: bool
) -> list[str]:
    cells = [rf"\emph{{{_escape(x)}}}" if row.summary else _escape(x) for x in row.labels]
    for place, (value, column) in enumerate(zip(row.values, table.columns, strict=True)):
        text = _escape(shown(value, column))
        mark = best.get((number, place), 0)
        text = rf"\textbf{{{text}}}" if mark == 1 else rf"\underline{{{text}}}" if mark == 2 else text
        cells.append(text + (_interval(value, column.digits) if intervals else ""))
    return cells


def _interval(value: Value | None, digits: int) -> str:
    if value is None or value.low is None or value.high is None:
        return ""
    return rf" {{\scriptsize [{fixed(value.low, digits)}, {fixed(value.high, digits)}]}}"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escape(text: str) -> str:
    line = "".join(_SPECIAL.get(c, c) for c in log_line(text))
    return f"{{}}{line}" if line.startswith(("[", "*")) else line  # behind \\\\ these belong to it
