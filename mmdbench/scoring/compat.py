"""The io mode `compat`: VLMEvalKit's trips through TSV and xlsx files, and what they do to texts.

pandas and xlsx files change cells: `None` and `NA` go missing, numbers are rewritten, control
characters are escaped, some replies turn into formulas. Published numbers contain these effects.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from msgspec import structs

from mmdbench.errors import DataError, MissingExtraError
from mmdbench.records import BenchData, Question
from mmdbench.scoring.family import Grading
from mmdbench.scoring.sheet import CELLS, Sheet, SheetRow

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compat_sheet", "prediction_frame", "require_compat"]

_NEEDED = ("pandas", "xlsxwriter", "openpyxl")
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def require_compat() -> None:
    """Raise MissingExtraError unless pandas, xlsxwriter and openpyxl are installed."""
    for name in _NEEDED:
        if find_spec(name) is None:
            raise MissingExtraError(name, "compat")


def compat_sheet(bench: BenchData, sheet: Sheet, grading: Grading) -> Sheet:
    """The sheet after VLMEvalKit's trips: TSV → xlsx before matching, another xlsx before the tables.

    Args:
        bench: The benchmark, of whose questions the TSV file is made again.
        sheet: The rows with their replies.
        grading: The grading of the benchmark's family, which names its trips.

    Returns:
        The same rows, with the texts that VLMEvalKit would read.

    Raises:
        DataError: A reply cannot be written to a spreadsheet at all.
    """
    require_compat()
    places = {question.index: place for place, question in enumerate(bench.questions)}
    tsv = _read_tsv(bench.questions)
    chosen = [places[row.index] for row in sheet.rows]
    frame = _with_predictions(tsv, chosen, [row.prediction for row in sheet.rows])
    formulas = sheet.rules.formulas
    for _ in range(grading.spreadsheet_trips):
        frame = _xlsx_trip(frame, formulas=formulas)
    frame["prediction"] = [str(value) for value in frame["prediction"]]
    frame.columns = [name if name in _CAPITALS else str(name).lower() for name in frame.columns]
    answers = _records(tsv)
    matched = [
        _matched(row, cells, answers[place], grading)
        for row, cells, place in zip(sheet.rows, _records(frame), chosen, strict=True)
    ]
    return _with_table_cells(replace(sheet, rows=tuple(matched)), frame, grading)


def prediction_frame(bench: BenchData, predictions: Sequence[str]) -> pd.DataFrame:
    """The table that VLMEvalKit writes after a run: its columns without images, and `prediction`."""
    require_compat()
    return _with_predictions(_read_tsv(bench.questions), range(len(bench.questions)), predictions)


def _with_predictions(tsv: pd.DataFrame, places: Sequence[int], predictions: Sequence[str]) -> pd.DataFrame:
    frame: pd.DataFrame = tsv.iloc[list(places)].copy()
    frame["prediction"] = list(predictions)
    return frame


def _matched(row: SheetRow, cells: dict[str, str], tsv_cells: dict[str, str], grading: Grading) -> SheetRow:
    # In a spreadsheet a missing answer reads "nan".
    truth = cells.get("answer", "nan") if grading.truth_from_spreadsheet else tsv_cells.get("answer", "")
    return structs.replace(
        row,
        question=cells.get("question", "nan"),
        options={label: cells[label] for label in _CAPITALS if label in cells},
        answer=truth,
        prediction=cells["prediction"],
        cells={name: cells[name] for name in CELLS if name in cells},
    )


def _with_table_cells(sheet: Sheet, frame: pd.DataFrame, grading: Grading) -> Sheet:
    """The sheet after the second trip, which only the rows of the tables make."""
    in_tables = {row.index for row in grading.table_rows(sheet)}
    kept = [place for place, row in enumerate(sheet.rows) if row.index in in_tables]
    table = frame.iloc[kept].copy()
    for _ in range(grading.spreadsheet_trips):
        table = _xlsx_trip(table, formulas=sheet.rules.formulas)
    rows = list(sheet.rows)
    for place, cells in zip(kept, _records(table), strict=True):
        groups = {name: cells[name] for name in CELLS if name in cells and name != "g_index"}
        if "g_index" in rows[place].cells:
            groups["g_index"] = rows[place].cells["g_index"]
        rows[place] = structs.replace(rows[place], cells=groups)
    return replace(sheet, rows=tuple(rows), columns=sheet.columns | frozenset(map(str, frame.columns)))


def _read_tsv(questions: Sequence[Question]) -> pd.DataFrame:
    import pandas as pd

    columns = list(dict.fromkeys(["index", *(name for q in questions for name in q.fields)]))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    for question in questions:
        writer.writerow([question.index, *(question.fields.get(name, "") for name in columns[1:])])
    text.seek(0)
    return pd.read_csv(text, sep="\t")


def _xlsx_trip(frame: pd.DataFrame, *, formulas: bool) -> pd.DataFrame:
    import pandas as pd

    file = io.BytesIO()
    options = {} if formulas else {"options": {"strings_to_formulas": False}}
    with warnings.catch_warnings():
        # Texts and links that are too long are cut or dropped, which is the effect wanted here.
        warnings.simplefilter("ignore")
        try:
            with pd.ExcelWriter(file, engine="xlsxwriter", engine_kwargs=options) as writer:
                frame.to_excel(writer, index=False)
        except (ValueError, OSError) as error:
            raise DataError(
                f"A reply cannot be written to a spreadsheet: {error}.",
                hint='Use io="literal", which VLMEvalKit itself cannot do.',
            ) from error
        file.seek(0)
        read: pd.DataFrame = pd.read_excel(file)
        return read


def _records(frame: pd.DataFrame) -> list[dict[str, str]]:
    import pandas as pd

    values: dict[str, list[Any]] = {str(name): list(frame[name]) for name in frame.columns}
    return [
        {name: str(column[place]) for name, column in values.items() if not pd.isna(column[place])}
        for place in range(len(frame))
    ]
