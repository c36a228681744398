"""Files of predictions: reading those of VLMEvalKit and JSON Lines, and writing some that it can grade."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmdbench.errors import DataError, MissingExtraError, UsageError
from mmdbench.records import BenchData, Index
from mmdbench.scoring.sheet import ANSWERED
from mmdbench.system.files import write_atomic
from mmdbench.system.json_text import parse_json

__all__ = ["read_predictions", "write_predictions"]

_INTEGER = re.compile(r"-?\d{1,18}")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


def read_predictions(path: str | Path) -> dict[Index, str]:
    """Read reply texts by index from a file with the columns `index` and `prediction`.

    Known are .xlsx, .tsv, .json and .jsonl.

    Indices are integers if all of them are, as in the benchmark's own file. In JSON Lines `text` may
    stand for `prediction`. Raises DataError for a file without predictions, a missing column, an
    index that occurs twice, or a .pkl file (opening one runs whatever it holds), MissingExtraError
    for .xlsx without openpyxl.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle"):
        raise DataError(
            f"{path} is a pickle; opening one runs any code that it holds.",
            hint="Let VLMEvalKit write .xlsx, .tsv or .json (PRED_FORMAT), or convert the file yourself.",
        )
    if suffix not in _READERS:
        raise UsageError(f"Cannot read predictions from {path}.", hint="Known: " + ", ".join(_READERS) + ".")
    try:
        pairs = list(_READERS[suffix](path))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except UsageError:
        raise
    except (csv.Error, ValueError) as error:
        raise DataError(f"{path} is not a readable {suffix[1:]} file: {error}.") from error
    if not pairs:
        raise DataError(f"{path} holds no prediction.", hint="It needs the columns index and prediction.")
    return _typed(path, pairs)


def write_predictions(path: str | Path, bench: BenchData, replies: Mapping[Index, Any]) -> None:
    """Write replies as VLMEvalKit does, so that it grades them: the benchmark's columns and `prediction`.

    A row whose reply failed or is missing has an empty prediction. VLMEvalKit reads that from a
    spreadsheet as the text `nan`, in which it may find an option such as `a`; to prevent that, give
    another text for the row, as `mmdbench export` does (`results.export.NO_ANSWER`).

    Args:
        path: The file to write: .xlsx, .tsv or .json.
        bench: The benchmark; images are not written.
        replies: Texts, or anything with `.text` and `.status`, by the index of their question.

    Raises:
        UsageError: The file's name has another suffix.
        MissingExtraError: An .xlsx file needs packages that are not installed.
        StoreError: The file cannot be written; an earlier one is left as it was.
    """
    path = Path(path)
    texts = [_text(replies.get(question.index)) for question in bench.questions]
    if path.suffix == ".xlsx":
        write_atomic(path, _xlsx(bench, texts))
        return
    columns = list(dict.fromkeys(["index", *(name for q in bench.questions for name in q.fields)]))
    records = [
        {**{name: q.fields.get(name, "") for name in columns}, "index": q.index, "prediction": text}
        for q, text in zip(bench.questions, texts, strict=True)
    ]
    if path.suffix == ".json":
        write_atomic(path, json.dumps(records, ensure_ascii=False, indent=1) + "\n")
    elif path.suffix == ".tsv":
        text = io.StringIO()
        writer = csv.DictWriter(text, [*columns, "prediction"], delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        write_atomic(path, text.getvalue())
    else:
        raise UsageError(f"Cannot write predictions to {path}.", hint="Known: .xlsx, .tsv, .json.")


def _xlsx(bench: BenchData, texts: list[str]) -> bytes:
    from mmdbench.scoring.compat import prediction_frame

    frame = prediction_frame(bench, texts)
    import pandas as pd

    # Without these options a reply such as "=A" or a long link would not come back as it was written.
    options = {"options": {"strings_to_formulas": False, "strings_to_urls": False, "in_memory": True}}
    file = io.BytesIO()
    with (
        warnings.catch_warnings(),
        pd.ExcelWriter(file, engine="xlsxwriter", engine_kwargs=options) as writer,
    ):
        warnings.simplefilter("ignore")
        frame.to_excel(writer, index=False)
    return file.getvalue()


def _text(reply: Any) -> str:
    if reply is None or isinstance(reply, str):
        return reply or ""
    return str(reply.text) if reply.status in ANSWERED else ""


def _typed(path: Path, pairs: list[tuple[str, str]]) -> dict[Index, str]:
    whole = all(_INTEGER.fullmatch(index) for index, _ in pairs)
    result: dict[Index, str] = {}
    for text, prediction in pairs:
        index: Index = int(text) if whole else text
        if index in result:
            raise DataError(
                f"{path}: index {index!r} occurs more than once.", hint="Keep one row per question."
            )
        result[index] = prediction
    return result


def _read_xlsx(path: Path) -> Iterable[tuple[str, str]]:
    if find_spec("openpyxl") is None:
        raise MissingExtraError("openpyxl", "compat")
    import openpyxl

    # Formulas are read as their text: what the model wrote, not what a spreadsheet makes of it.
    try:
        with closing(openpyxl.load_workbook(path, read_only=True)) as book:
            rows = book.worksheets[0].iter_rows(values_only=True)
            header = [str(name) for name in next(rows, ())]
            records = [dict(zip(header, row, strict=False)) for row in rows]
    except FileNotFoundError:
        raise
    except Exception as error:  # openpyxl raises nearly every built-in kind on broken data
        what = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is not a readable xlsx file: {what or type(error).__name__}.") from error
    return [(_unescape(i), _unescape(p)) for i, p in _pick(path, records, header)]


def _read_tsv(path: Path) -> Iterable[tuple[str, str]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        return _pick(path, list(reader), reader.fieldnames or ())


def _read_json(path: Path) -> Iterable[tuple[str, str]]:
    value = parse_json(path.read_bytes(), lenient=True)
    if isinstance(value, dict):
        indices, texts = value.get("index"), value.get("prediction")
        if isinstance(indices, list) and isinstance(texts, list):
            if len(indices) != len(texts):
                raise DataError(f"{path}: {len(indices)} indices and {len(texts)} predictions.")
            return [(_cell(i), _cell(p)) for i, p in zip(indices, texts, strict=True)]
        return [(str(index), _cell(text)) for index, text in value.items()]
    return _pick(path, value if isinstance(value, list) else [])


def _read_jsonl(path: Path) -> Iterable[tuple[str, str]]:
    lines = path.read_text("utf-8-sig").split("\n")
    records = [parse_json(line, lenient=True) for line in lines if line.strip()]
    for record in records:
        if isinstance(record, dict) and "prediction" not in record and "text" in record:
            record["prediction"] = record["text"]
    return _pick(path, records)


def _pick(path: Path, records: list[Any], header: Iterable[str] = ()) -> list[tuple[str, str]]:
    pairs = []
    for number, record in enumerate(records, start=1):
        names = record if isinstance(record, dict) else {}
        missing = [name for name in ("index", "prediction") if name not in names]
        if missing:
            raise DataError(
                f"{path}, record {number}: no {' and no '.join(missing)}.",
                hint=f"Columns found: {', '.join(map(str, header or names))[:200] or 'none'}.",
            )
        pairs.append((_cell(record["index"]), _cell(record["prediction"])))
    return pairs


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


_READERS: dict[str, Callable[[Path], Iterable[tuple[str, str]]]] = {
    ".xlsx": _read_xlsx,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
}
