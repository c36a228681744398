"""Small files in the published forms of R-Bench: CSV with pictures in folders, and Parquet."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pictures import picture, png

COLUMNS = ("name", "question", "choice", "answer", "type", "score", "distortion", "strength")
STRENGTHS = {"1": "low", "2": "mid", "3": "high"}


def published_rows() -> list[dict[str, str]]:
    """A row of each task at each strength, in the published columns; the first has a full-width semicolon."""
    rows = []
    for strength in STRENGTHS:
        choice = "A.red; B.blue\uff1bC.green" if strength == "1" else "A.red;B.blue; C.green"
        made = [
            ("MCQ", "Which colour?", choice, "A"),
            ("VQA", 'What does the "sign" say?', "N", '"Stop" in red'),
            ("CAP", "Describe the picture.", "N", str(["A sign.", "A red sign, 'stop'."])),
        ]
        for task, question, choice_cell, answer in made:
            row = {"name": f"{task}_{strength}.png", "question": f"{question} {strength}"}
            row |= {"choice": choice_cell, "answer": answer, "type": task, "score": "3.5"}
            rows.append({**row, "distortion": str(len(rows) + 1), "strength": strength})
    return rows


def picture_of(number: int, kind: str) -> bytes:
    """The picture of a row, another one for each row and kind."""
    return png(picture(number + (100 if kind == "ref" else 0), 24, 32))


def write_csv(folder: Path, rows: list[dict[str, str]] | None = None, encoding: str = "gb18030") -> Path:
    """Ref_Release.csv, and the pictures in `dis_image` and `ref_image` beside it."""
    rows = published_rows() if rows is None else rows
    path = folder / "Ref_Release.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    for kind in ("dis", "ref"):
        (folder / f"{kind}_image").mkdir(exist_ok=True)
        for number, row in enumerate(rows):
            (folder / f"{kind}_image" / row["name"]).write_bytes(picture_of(number, kind))
    return path


def write_parquet(path: Path, rows: list[dict[str, str]] | None = None, start: int = 0) -> Path:
    """A Parquet file of the rows, with the pictures in it; `start` is the number of the first."""
    from pyarrow import Table
    from pyarrow.parquet import write_table

    path.parent.mkdir(exist_ok=True)
    made: list[dict[str, Any]] = []
    for number, row in enumerate(published_rows() if rows is None else rows, start):
        numbers = {"score": float(row["score"])} | {n: int(row[n]) for n in ("distortion", "strength")}
        pictures = {f"{k}_image": {"bytes": picture_of(number, k), "path": None} for k in ("dis", "ref")}
        made.append({**row, **numbers, **pictures})
    write_table(Table.from_pylist(made), path)
    return path
