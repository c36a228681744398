"""Rows of other formats as rows of a TSV: columns renamed, pictures as base64, answers as letters."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdbench.benches.column_map import FIRST_ANSWER
from mmdbench.benches.option_columns import (
    OPTION_LISTS,
    is_label,
    labelled_options,
    lettered_options,
    parsed_text,
    rename_options,
)
from mmdbench.benches.question_images import REFERENCE_CHARACTERS
from mmdbench.errors import DataError
from mmdbench.system.digest import bytes_digest

__all__ = ["REVISION", "Conversion"]

REVISION = "dataset_revision"
"""The column that names the source's revision in every row, so that the file's digest depends on it."""

_NUMBER = re.compile(r"\s*[0-9]{1,9}\s*", re.ASCII)
_ALTERNATIVES = "<OR>"
"""The text between alternative answers, as MM-Vet writes it."""


@dataclass
class Conversion:
    """Turns rows of a source into lines of a TSV.

    Attributes:
        where: The source, for messages.
        columns: The map of columns.
        names: The source's columns, without those of pictures.
        pictures: The source's columns of pictures; those of the map by default the only one.
        revision: The revision of the source, for its column; empty for none.
        has_options: True if a row had options so far.
    """

    where: str
    columns: Mapping[str, str]
    names: Sequence[str]
    pictures: Sequence[str]
    revision: str = ""
    has_options: bool = False
    _seen: dict[str, str] = field(default_factory=dict)
    _numbers: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Find the column of each target. Raises DataError for one that the source lacks."""
        self._pictures = self._picture_columns()
        targets = {t: c for t, c in self.columns.items() if c and t not in (FIRST_ANSWER, "image")}
        for target, name in targets.items():
            self._require(name, target)
        taken = {*targets.values(), *targets, "image", "image_path", REVISION}
        if "index" in self.columns:
            taken.add("index")  # `index=` numbers the rows
        kept = {name: name for name in self.names if name and name not in taken}
        self._sources = {**targets, **kept}
        if "question" not in self._sources:
            raise self._lacks("question")
        spelled = rename_options(tuple(self._sources))
        self._labels = {new: old for new, old in zip(spelled, self._sources, strict=True) if is_label(new)}
        self._index = self._sources.pop("index", "")

    def lines(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """The lines of the TSV, with its header. Raises DataError for a row that cannot be used."""
        yield _line(["index", *self._sources, *([REVISION] if self.revision else []), "image"])
        number = -1
        for number, row in enumerate(rows):
            index = _text(row.get(self._index)) if self._index else str(number)
            cells = [self._cell(target, row, number) for target in self._sources]
            yield _line([index, *cells, *([self.revision] if self.revision else []), self._image(row, index)])
        if number < 0:
            raise DataError(f"{self.where} has no rows.")
        if self._numbers["numbers"] and not self._numbers["zeros"] and FIRST_ANSWER not in self.columns:
            raise DataError(
                f"{self.where}: the answers are numbers, and none is 0.",
                hint=f"Say if they count from 0 or from 1: --column {FIRST_ANSWER}=1",
            )

    def _cell(self, target: str, row: Mapping[str, Any], number: int) -> str:
        value = row.get(self._sources[target])
        if target != "answer":
            if target in OPTION_LISTS and isinstance(value, (list, dict)):
                self.has_options = self.has_options or bool(value)
            elif value and (target in self._labels.values()):
                self.has_options = True
            return _text(value)
        options = self._options(row)
        answer = _whole(value)
        if options and answer is not None:
            return self._letter(answer, options, number)
        if isinstance(value, list):
            return _alternatives(value)
        return _text(value)

    def _letter(self, answer: int, options: Mapping[str, str], number: int) -> str:
        if any(map(_is_number, options.values())):
            return str(answer)
        self._numbers["numbers"] += 1
        self._numbers["zeros"] += answer == 0
        place = answer - int(self.columns.get(FIRST_ANSWER, 0))
        if 0 <= place < len(options):
            return list(options)[place]
        raise DataError(
            f"{self.where}, row {number}: the answer {answer} is the number of no option, counted from "
            f"{self.columns.get(FIRST_ANSWER, 0)}; it has {len(options)}.",
            hint=f"Answers that count from 1: --column {FIRST_ANSWER}=1",
        )

    def _options(self, row: Mapping[str, Any]) -> dict[str, str]:
        own = {new: t for new, old in self._labels.items() if (t := _text(row.get(self._sources[old])))}
        if own:
            return own
        for name in OPTION_LISTS:
            if name in self._sources:
                value = row.get(self._sources[name])
                text = value if isinstance(value, str) else ""
                found = labelled_options(lettered_options(text) or parsed_text(text) if text else value)
                self.has_options = self.has_options or bool(found)
                return found
        return {}

    def _image(self, row: Mapping[str, Any], index: str) -> str:
        held: list[Any] = []
        for name in self._pictures:
            value = row.get(name)
            held += value if isinstance(value, list) else [value]
        texts = [base64.b64encode(v).decode() if isinstance(v, bytes) else str(v) for v in held if v]
        if len(texts) != 1:
            return json.dumps(texts) if texts else ""
        # A picture of several questions is held once, and the other rows refer to it.
        digest = bytes_digest(texts[0].encode())
        if len(index) > REFERENCE_CHARACTERS or len(texts[0]) <= REFERENCE_CHARACTERS:
            return texts[0]
        first = self._seen.setdefault(digest, index)
        return texts[0] if first == index else first

    def _picture_columns(self) -> list[str]:
        given = [name.strip() for name in self.columns.get("image", "").split("+") if name.strip()]
        for name in given:
            self._require(name, "image")
        if given:
            return given
        if "image" in (*self.pictures, *self.names):
            return ["image"]
        if len(self.pictures) == 1:
            return [*self.pictures]
        raise self._lacks("image")

    def _require(self, name: str, target: str) -> None:
        if name not in (*self.names, *self.pictures):
            known = ", ".join((*self.names, *self.pictures))
            raise DataError(f"{self.where} has no column {name!r} for {target}.", hint=f"It has: {known}.")

    def _lacks(self, target: str) -> DataError:
        known = ", ".join((*self.names, *self.pictures))
        return DataError(
            f"{self.where}: no column is {target!r}. It has: {known}.",
            hint=f"Name the column: --column {target}=COLUMN",
        )


def _line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter="\t", lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _text(value: Any) -> str:
    """A value as the text of a cell: nothing for a missing one, JSON for lists and tables."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _whole(value: Any) -> int | None:
    """A whole number, also as text; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _alternatives(values: Sequence[Any]) -> str:
    """Alternative answers, the most frequent first; as texts, or as tables with the text in `answer`."""
    texts = (_text(value.get("answer") if isinstance(value, dict) else value) for value in values)
    return _ALTERNATIVES.join(text for text, _ in Counter(filter(None, texts)).most_common())
