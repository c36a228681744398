"""The options of a benchmark's rows: columns A, B, C …, other spellings of them, or a column of lists."""

from __future__ import annotations

import ast
import itertools
import json
import re
import string
from collections.abc import Collection, Mapping, Sequence

from mmdbench.benches.tsv_table import TsvRow, TsvTable
from mmdbench.errors import DataError

__all__ = [
    "OPTION_LISTS",
    "RowOptions",
    "is_label",
    "labelled_options",
    "lettered_options",
    "listed_options",
    "parsed_text",
    "rename_options",
    "stray_options",
]

OPTION_LISTS = ("options", "choices", "answer_choices", "multiple_choices", "candidates", "option", "choice")
"""The columns that may hold the options of a row as a list."""
_MOST = 26
_NO_OPTIONS = "N"
"""The mark of a row without options in R-Bench's column `choice`."""
_LETTERED = re.compile(r"(?:^|[;\uff1b])\s*([A-Z])\s*[.\uff0e]")
# Lower-cased names of columns; an s is never taken for a letter, or "options" would be option S.
_WORDED = (
    re.compile(r"(?:option|opt|choice|candidate|answer|ans)s?[ _.:-]*[(\[]?([a-r])[)\]]?"),
    re.compile(r"(?:option|opt|choice|candidate)s?[ _.:-]*[(\[]?([0-9]{1,2})[)\]]?"),
)
_BARE = (re.compile(r"[(\[]?([a-z])[)\].:]?"), re.compile(r"[(\[]?([0-9]{1,2})[)\].:]?"))


def is_label(name: str) -> bool:
    """True for the name of an option's column, and so for the option's label: a single capital A..Z."""
    return len(name) == 1 and "A" <= name <= "Z"


def rename_options(names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns, other spellings of A, B, C … made labels if none is a label and one spelling fits.

    >>> rename_options(("index", "option_a", "option_b"))
    ('index', 'A', 'B')
    >>> rename_options(("1", "2", "answer"))
    ('A', 'B', 'answer')
    """
    if any(map(is_label, names)):
        return tuple(names)
    spellings = [found for pattern in (*_WORDED, *_BARE) if (found := _spelled(names, pattern))]
    return tuple(spellings[0].get(name, name) for name in names) if len(spellings) == 1 else tuple(names)


def stray_options(names: Collection[str]) -> str:
    """The first column that by its name is an option's, yet is not read as one; `names` are renamed ones."""
    labels = sorted(filter(is_label, names))
    for name in names:
        if any(pattern.fullmatch(name) for pattern in _WORDED):
            return name
        letter = _BARE[0].fullmatch(name)
        # After A to D comes e; an x or h far from them may be a coordinate.
        most = max("g", chr(ord(labels[-1]) + 33)) if labels else ""
        if letter and letter[1].upper() not in labels and letter[1] <= most:
            return name
    return ""


class RowOptions(Sequence[Mapping[str, str]]):
    """The options of each row of a table, by label.

    `listed` are those that rows hold as a list in one column, `columns` all names of columns with the
    labels of such lists; `notes` name the columns of options that are not called A, B, C ….
    """

    def __init__(self, table: TsvTable, *, read_lists: bool) -> None:
        """Read the lists, if the table has a column of them and no columns of options."""
        header = table.header
        column = _list_column(table) if read_lists else ""
        self._rows = table.rows
        self._labels = [name for name in header.names if is_label(name)]
        self.listed = [listed_options(row, column) if column else {} for row in table.rows]
        self.columns = (*header.names, *sorted(set().union(*self.listed)))
        renamed = [c for n, c in zip(header.names, header.columns, strict=True) if is_label(n) and n != c]
        found = [column] if column else renamed
        self.notes = [f"options are read from {', '.join(map(repr, found))}"] if found else []

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Mapping[str, str]:  # type: ignore[override]
        row = self._rows[number]
        return self.listed[number] or {name: text for name in self._labels if (text := row.text(name))}


def listed_options(row: TsvRow, column: str) -> dict[str, str]:
    """The options, by label, that a row has in one column as a list, as label → text or as `A.cat; B.dog`.

    There are none if the cell is empty or `N`. Raises DataError for anything else, and for fewer than two.
    """
    text = row.text(column)
    if not text or text == _NO_OPTIONS:
        return {}
    options = labelled_options(lettered_options(text) or parsed_text(text))
    if options:
        return options
    raise DataError(
        f"{row.where(column)}: {text[:60]!r} is not a list of two or more options.",
        hint='Write ["cat", "dog"] or A.cat; B.dog, or a column for each option: A, B, C …',
    )


def labelled_options(value: object) -> dict[str, str]:
    """The options of a list or of label → text, by label; none if it is something else.

    >>> labelled_options(["A. cat", "B. dog"])
    {'A': 'cat', 'B': 'dog'}
    """
    if isinstance(value, list):
        value = dict(zip(string.ascii_uppercase + "#", value, strict=False))
    if isinstance(value, dict):
        options = {str(label).strip().upper(): option for label, option in value.items()}
        texts = all(isinstance(option, str | int | float) for option in options.values())
        if texts and 1 < len(options) == len(value) <= _MOST and all(map(is_label, options)):
            return _without_labels({label: str(option) for label, option in options.items()})
    return {}


def lettered_options(text: str) -> dict[str, str]:
    """The options of a text such as `A.cat; B.dog`, where `;` may be full-width; none if it is another text.

    A `;` that is not followed by the next letter is a part of an option.

    >>> lettered_options("A.red; B.blue; or green\uff1bC.none")
    {'A': 'red', 'B': 'blue; or green', 'C': 'none'}
    """
    marks: list[re.Match[str]] = []
    for mark in _LETTERED.finditer(text):
        if mark[1] == chr(ord("A") + len(marks)) and (marks or not mark.start()):
            marks.append(mark)
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return {m[1]: text[m.end() : end].strip(" ;\uff1b") for m, end in zip(marks, ends, strict=False)}


def _list_column(table: TsvTable) -> str:
    """The column with each row's options as a list, in a table without columns of options; else empty."""
    names = table.header.names
    if any(map(is_label, names)):
        return ""
    for name in OPTION_LISTS:
        cells = (row.text(name) for row in table.rows) if name in names else iter(())
        first = next((cell for cell in cells if cell not in ("", _NO_OPTIONS)), "")
        if first.lstrip().startswith(("[", "{")) or len(lettered_options(first)) > 1:
            return name
    return ""


def _spelled(names: Sequence[str], pattern: re.Pattern[str]) -> dict[str, str]:
    """Name → label of the columns that one spelling gives to A, B …, at least two; else nothing."""
    found = {match[1].lstrip("0") or "0": name for name in names if (match := pattern.fullmatch(name))}
    for marks in ("abcdefghijklmnopqrstuvwxyz", range(_MOST), range(1, _MOST + 1)):
        run = list(itertools.takewhile(lambda mark: str(mark) in found, marks))
        if len(run) > 1:
            return {found[str(mark)]: label for mark, label in zip(run, string.ascii_uppercase, strict=False)}
    return {}


def parsed_text(text: str) -> object:
    """The value of a JSON or Python text; None for another text."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def _without_labels(options: Mapping[str, str]) -> dict[str, str]:
    """Options without their own labels in front, as in ["A. cat", "B. dog"], if all have them."""
    cut = {k: re.fullmatch(rf"\s*[(\[]?{k}[)\].:]\s*(.+)", v, re.DOTALL) for k, v in options.items()}
    return {k: found[1] for k, found in cut.items() if found} if all(cut.values()) else dict(options)
