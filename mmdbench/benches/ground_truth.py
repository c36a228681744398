"""Right answers, checked against the options of their rows when a benchmark's file is read.

A reply is right if its label equals the answer. An answer that is written in another way than as a
label is read as one, which is counted; an answer that means no option, or several, is a problem.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmdbench.benches.option_columns import stray_options
from mmdbench.benches.tsv_table import TsvTable
from mmdbench.errors import DataError

__all__ = ["GroundTruth", "read_answer", "read_ground_truth"]

_DRESSED = re.compile(r"[\s(\[{<\"'*`]*([A-Za-z])[\s)\]}>\"'*`.:,;]*")
_WITH_TEXT = re.compile(r"[\s(\[]*([A-Za-z])[)\].:\s]+(\S.*)", re.DOTALL)
_NUMBER = re.compile(r"[\s(\[]*([0-9]{1,2})(?:\.0*)?[\s)\].:]*")
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_AS_TEXT = "as the option's text"
_WRITE = "Write the label of the right option, such as A."


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The right answers of a file.

    `answers` holds those read as a label, by the number of their row from 0; `ways` counts how they were
    written. `problem` describes the first answer that cannot be used, with line and column; `missing` is
    True if there is none at all.
    """

    answers: Mapping[int, str] = field(default_factory=dict)
    ways: Mapping[str, int] = field(default_factory=dict)
    problem: DataError | None = None
    missing: bool = False

    def left_alone(self) -> GroundTruth:
        """The same file with every answer as it is written; a file without answers stays a problem."""
        return self if self.missing else GroundTruth()

    def notes(self) -> list[str]:
        """Words for the reader of a report: the number of answers read as labels, and their spellings."""
        count = len(self.answers)
        ways = ", ".join(f"{number} {way}" for way, number in self.ways.items())
        were = "answers were" if count != 1 else "answer was"
        return [f"{count} {were} read as the label of an option ({ways})"] if count else []


def read_ground_truth(table: TsvTable, options: Sequence[Mapping[str, str]], *, is_open: bool) -> GroundTruth:
    """Check the answers of a table.

    Args:
        table: The rows.
        options: The options of each row by label.
        is_open: True for open answers, which need only be there.

    Returns:
        The answers read as labels, and the first problem.
    """
    header = table.header
    first_line = f"{header.source.path}, line 1"
    if "answer" not in header.names:
        what = f"{first_line}: no column 'answer', so no reply can be graded."
        hint = f"The file has: {', '.join(header.names)}."
        return GroundTruth(problem=DataError(what, hint=hint), missing=True)
    stray = "" if is_open else stray_options(header.names)
    if stray:
        what = f"{first_line}: the column {stray!r} seems to be an option, but is not read as one."
        return GroundTruth(problem=DataError(what, hint="Name the options A, B, C …"))
    if not is_open and not any(options):
        what = f"{first_line}: no column of options."
        hint = "Name them A, B, C …; a file with open answers needs --family mmvet."
        return GroundTruth(problem=DataError(what, hint=hint))
    return _read_rows(table, options, is_open=is_open)


def read_answer(answer: str, options: Mapping[str, str]) -> tuple[str, str]:
    """The label that an answer means, and the way it is written; the way is empty for a label itself.

    A number counts options from 1, unless options are numbers themselves.
    Raises DataError if the answer means no option, or several.

    >>> read_answer("(b)", {"A": "cat", "B": "dog"})
    ('B', 'with brackets or a full stop')
    >>> read_answer("Dog", {"A": "cat", "B": "dog"})
    ('B', "as the option's text")
    """
    if answer in options:
        return answer, ""
    plain = unicodedata.normalize("NFKC", answer).strip()
    found = dict.fromkeys(_by_text(answer, options), _AS_TEXT)
    dressed = _DRESSED.fullmatch(plain)
    if dressed and dressed[1].upper() in options:
        bare = plain == dressed[1]
        way = "with spaces" if bare and dressed[1].isupper() else "in another case"
        found[dressed[1].upper()] = way if bare else "with brackets or a full stop"
    both = _WITH_TEXT.fullmatch(plain)
    if both and _same(options.get(both[1].upper(), ""), both[2]):
        found.setdefault(both[1].upper(), "as label and text")
    number = _NUMBER.fullmatch(plain)
    if number and not found and not any(map(_is_number, options.values())):
        label = chr(ord("A") + int(number[1]) - 1)
        # With a gap among the labels, the second option need not be B.
        if label in options and sorted(options) == [chr(ord("A") + n) for n in range(len(options))]:
            found[label] = "as a number, counted from 1"
    if len(found) == 1:
        return next(iter(found.items()))
    known = ", ".join(sorted(options))
    if found:
        raise DataError(f"the answer {_short(answer)} can mean {' or '.join(sorted(found))}.", hint=_WRITE)
    raise DataError(f"the answer {_short(answer)} is no option of its row ({known}).", hint=_WRITE)


def _read_rows(table: TsvTable, options: Sequence[Mapping[str, str]], *, is_open: bool) -> GroundTruth:
    answers: dict[int, str] = {}
    ways: Counter[str] = Counter()
    found: list[DataError] = []
    twofold: list[DataError] = []
    count = empty = 0
    for number, row in enumerate(table.rows):
        answer, own = row.text("answer"), options[number]
        try:
            if not answer.strip():
                empty += 1
                raise DataError("the answer is empty.", hint=_WRITE if own else "")
            if is_open or not own:
                continue
            label, way = read_answer(answer, own)
            if not way and any(text == answer and name != label for name, text in own.items()):
                where = row.where("answer")
                twofold.append(DataError(f"{where}: {_short(answer)} is a label and a text.", hint=_WRITE))
        except DataError as error:
            count += 1
            found = found or [DataError(f"{row.where('answer')}: {error.message}", hint=error.hint)]
            continue
        if way:
            answers[number] = label
            ways[way] += 1
    if ways[_AS_TEXT]:  # where other answers are texts, a letter may be one, too
        found, count = found or twofold, count + len(twofold)
    missing = empty == len(table.rows)
    return GroundTruth(answers, ways, _with_count(found[0], count) if found else None, missing)


def _with_count(first: DataError, count: int) -> DataError:
    more = f" {count - 1} more row{'s have' if count > 2 else ' has'} such an answer." if count > 1 else ""
    return DataError(first.message + more, hint=first.hint)


def _by_text(answer: str, options: Mapping[str, str]) -> list[str]:
    exact = [label for label, text in options.items() if text == answer]
    return exact or [label for label, text in options.items() if _same(text, answer)]


def _same(one: str, other: str) -> bool:
    return bool(_plain(one)) and _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix(".")


def _is_number(text: str) -> bool:
    plain = _plain(text)
    return bool(re.match(r"\W*[0-9]", plain)) or plain in _NUMBER_WORDS


def _short(answer: str) -> str:
    return repr(answer if len(answer) <= 60 else answer[:60] + "…")
