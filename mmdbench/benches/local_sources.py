"""Files of other tools as benchmarks: COCO-VQA questions, pictures with metadata, tasks of lmms-eval.

Each is read into rows and converted like a dataset of the Hub; the converted file holds the pictures.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

from mmdbench.benches.bench import Bench
from mmdbench.benches.converted import (
    OpenOptions,
    Source,
    SourceRecord,
    bench_name,
    chosen_columns,
    open_source,
)
from mmdbench.benches.option_columns import parsed_text
from mmdbench.benches.question_images import find_picture_file
from mmdbench.errors import DataError, MissingExtraError
from mmdbench.system.digest import value_digest
from mmdbench.system.json_text import parse_json, parse_record
from mmdbench.system.shapes import check_shape

__all__ = ["METADATA_FILES", "is_picture_folder", "open_local_source"]

METADATA_FILES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""The files that describe a folder of pictures, as `imagefolder` of Hugging Face names them."""

_TASK_NAMES = re.compile(r"(?:OpenEnded|MultipleChoice)_")
_FILE_NAME = re.compile(r"(?:(.+)_)?file_names?")
_BY_LIST = "+"


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows whose pictures are named by files: `pictures` are the columns that hold these names."""

    rows: Sequence[Mapping[str, Any]]
    pictures: tuple[str, ...]
    folders: tuple[str, ...] = ()


class _Question(TypedDict, total=False):
    question_id: int | str
    image_id: int | str
    image: str | None
    question: str


class _Image(TypedDict, total=False):
    id: int | str
    file_name: str


class _Coco(TypedDict, total=False):
    questions: list[_Question]
    annotations: list[_Question]
    images: list[_Image]
    data_subtype: str


def is_picture_folder(path: Path) -> bool:
    """True for a folder of pictures with metadata."""
    return path.is_dir() and any((path / name).is_file() for name in METADATA_FILES)


def open_local_source(path: Path, options: OpenOptions) -> Bench:
    """Questions in the layout of COCO-VQA (`.json`), or a folder of pictures with metadata, as a benchmark.

    `path` is the file, two files with `+` between them (questions and annotations), or the folder. Raises
    DataError for a file that is missing or of another layout, and for pictures outside its folder.
    """
    files = _files_of(path)
    read = _read_folder(files[0]) if is_picture_folder(path) else _read_coco(files)
    folder = files[0].parent
    given = str(path.absolute())
    chosen = chosen_columns(given, options)
    found = [
        {
            name: [_find(one, folder, read.folders, options.image_root) for one in _listed(row.get(name))]
            for name in read.pictures
        }
        for row in read.rows
    ]
    states = [_state(file) for row in found for paths in row.values() for file in paths]
    revision = value_digest([[_state(file) for file in files], states])
    names = dict.fromkeys(name for row in read.rows for name in row if name not in read.pictures)
    shown = {name: _column_of(name) for name in read.pictures}

    def rows() -> Iterator[dict[str, Any]]:
        for row, pictures in zip(read.rows, found, strict=True):
            held = {shown[name]: [_bytes(file) for file in paths] for name, paths in pictures.items()}
            yield {**row, **held}

    stem = path.resolve().name if path.is_dir() else files[0].stem
    record = SourceRecord(given, revision, chosen, title=stem)
    source = Source(record, bench_name(stem), tuple(names), tuple(shown.values()), rows)
    return open_source(source, options)


def _files_of(path: Path) -> list[Path]:
    if is_picture_folder(path):
        return [next(path / name for name in METADATA_FILES if (path / name).is_file())]
    if path.is_dir():
        below = sorted(inner.name for inner in path.iterdir() if is_picture_folder(inner))
        raise DataError(
            f"{path} holds none of {', '.join(METADATA_FILES)}.",
            hint=f"Name a folder in it: {', '.join(below)}." if below else "See docs/other_formats.md.",
        )
    files = [Path(part) for part in str(path).split(_BY_LIST)] if not path.is_file() else [path]
    name = _TASK_NAMES.sub("", files[0].name).replace("questions", "annotations")
    beside = files[0].with_name(name)
    return [*files, beside] if len(files) == 1 and beside != files[0] and beside.is_file() else files


def _read_coco(files: Sequence[Path]) -> _Rows:
    """Questions, with the annotation of the same `question_id` and the file of their `image_id`."""
    tables = [_json(file) for file in files]
    head = tables[0]
    questions = head.get("questions") or head.get("annotations")
    if not questions:
        raise DataError(
            f"{files[0]} holds no list of questions.",
            hint="COCO-VQA has questions with question_id, image_id and question. See docs/other_formats.md.",
        )
    annotations = [row for table in tables for row in table.get("annotations", ())]
    answers = {row["question_id"]: row for row in annotations if "question_id" in row}
    images = {row.get("id"): row for table in tables for row in table.get("images", ())}
    subset = str(head.get("data_subtype", ""))
    rows = [_coco_row(q, answers.get(q.get("question_id"), {}), images, subset) for q in questions]
    return _Rows(rows, ("file_name",), ("images", *([subset] if subset else [])))


def _coco_row(
    question: Mapping[str, Any], answer: Mapping[str, Any], images: Mapping[Any, Any], subset: str
) -> dict[str, Any]:
    row = {**answer, **question}
    image = row.pop("image_id", None)
    named = row.pop("image", None) or (images.get(image) or {}).get("file_name")
    if not named and isinstance(image, int):
        named = f"COCO_{subset}_{image:012d}.jpg" if subset else f"{image:012d}.jpg"
    if "question_id" in row:
        row["index"] = row.pop("question_id")
    if "multiple_choice_answer" in row:
        row["answer"] = row.pop("multiple_choice_answer")
        row.pop("answers", None)
    elif "answer" not in row and "answers" in row:
        row["answer"] = row.pop("answers")
    return {**row, "file_name": named or ""}


def _read_folder(file: Path) -> _Rows:
    """Lines of the metadata of a folder of pictures; `file_name` and `NAME_file_names` name files."""
    rows = _metadata(file)
    names = dict.fromkeys(name for row in rows for name in row)
    pictures = tuple(name for name in names if _FILE_NAME.fullmatch(name))
    if not rows or not pictures:
        raise DataError(f"{file} has no column 'file_name'.", hint=f"It has: {', '.join(names)}.")
    return _Rows(rows, pictures)


def _metadata(file: Path) -> list[dict[str, Any]]:
    try:
        if file.suffix == ".jsonl":
            return [dict(parse_record(line)) for line in file.read_bytes().splitlines() if line.strip()]
        if file.suffix == ".csv":
            with file.open(encoding="utf-8-sig", newline="") as lines:
                return [dict(row) for row in csv.DictReader(lines)]
        table = import_module("pyarrow.parquet").read_table(file)
        return [dict(row) for row in table.to_pylist()]
    except ImportError as error:
        raise MissingExtraError("pyarrow, which reads Parquet,", "parquet") from error
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror or error}.") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{file} is damaged: {error}.") from error


def _json(file: Path) -> Mapping[str, Any]:
    try:
        value = parse_json(file.read_bytes())
        table = value if isinstance(value, dict) else {"questions": value}
        check_shape(table, _Coco)
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{file} is not in the layout of COCO-VQA: {error}.") from error
    return table


def _listed(value: Any) -> list[str]:
    if isinstance(value, str) and value.startswith("["):
        value = parsed_text(value) or value  # a list in a CSV; or a name that begins like one
    return [str(one) for one in (value if isinstance(value, (list, tuple)) else [value]) if one]


def _find(name: str, folder: Path, more: Sequence[str], root: Path | None) -> Path | str:
    """The file of a picture; its name, as text, if there is no such file."""
    return find_picture_file(name, folder, more=more, root=root) or name


def _state(file: Path | str) -> list[Any]:
    if isinstance(file, str):
        return [file]
    state = file.stat()
    return [file.name, state.st_size, state.st_mtime_ns]


def _bytes(file: Path | str) -> bytes | None:
    return file.read_bytes() if isinstance(file, Path) else None


def _column_of(name: str) -> str:
    """`file_name` → `image`, `left_file_name` → `left`."""
    found = _FILE_NAME.fullmatch(name)
    return (found[1] if found and found[1] else "") or "image"
