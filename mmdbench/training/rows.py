"""Rows in the style of LLaVA-OneVision (id, image, conversations) from Parquet or JSON lines, as a benchmark.

The rows are copied to a TSV file once, so that runs, samples and resumed commands read them as they read
any benchmark. The index of a question is the number of its row, from 0, because ids repeat.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.benches.question_images import decode_text, find_picture_file
from mmdbench.builds.parquet_output import load_pyarrow
from mmdbench.errors import DataError, ImageDecodeError
from mmdbench.records import Question
from mmdbench.scoring.families import get_family
from mmdbench.system.digest import value_digest
from mmdbench.system.files import make_folder, open_atomic, write_atomic
from mmdbench.system.images import PICTURE_SUFFIXES, picture_size
from mmdbench.system.json_text import parse_json
from mmdbench.system.shapes import check_shape
from mmdbench.training.filters import RowDraw, has_cjk, unfit_size
from mmdbench.training.training_format import Conversation, human_turn, read_conversation

__all__ = ["RowBench", "bench_of_rows", "conversation_of", "is_row_source"]

_COLUMNS = ("index", "id", "question", "answer", "category", "conversations", "image")
_SUFFIXES = (".parquet", ".jsonl")
_BATCH_ROWS = 64


@dataclass(frozen=True, slots=True)
class RowBench:
    """A TSV file that was made from rows: its path, and the numbers of rows left out, by reason."""

    path: Path
    left_out: Mapping[str, int] = field(default_factory=dict)


def is_row_source(name: str) -> bool:
    """True for a .parquet or .jsonl file, or the path, with a slash, of a folder."""
    return name.lower().endswith(_SUFFIXES) or ("/" in name and Path(name).is_dir())


def bench_of_rows(
    source: Path, folder: Path, draw: RowDraw | None = None, image_root: Path | None = None
) -> RowBench:
    """Copy the rows of a file, or of all files in a folder, to a TSV file, unless that was done before.

    Args:
        source: A .parquet or .jsonl file, or a folder with such files. Its name without suffix is the
            name of the benchmark.
        folder: The folder for the TSV file.
        draw: Copy only rows that it draws and that pass the filters of CLEAR's published recipe.
        image_root: A folder that pictures may be in beside the file's own; names may be relative to it.

    Returns:
        The TSV file.

    Raises:
        DataError: A file cannot be read, or none of its rows can be used.
        MissingExtraError: Parquet needs pyarrow.
    """
    files = _files(source)
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    settings = [states, asdict(draw) if draw else None, *([str(image_root)] if image_root else [])]
    made = folder / value_digest(settings)[:8]
    name = source.resolve().name if source.is_dir() else source.stem
    path, record = made / f"{name}.tsv", made / "left_out.json"
    if not record.exists():
        left_out: Counter[str] = Counter()
        rows = ((file, *row) for file in files for row in _rows(file))
        usable = _usable(name, rows, draw, image_root, left_out)
        _write_tsv(make_folder(made) / path.name, usable, source)
        write_atomic(record, json.dumps(left_out))
    try:
        counts = parse_json(record.read_bytes())
        check_shape(counts, dict[str, int], "counts")
    except ValueError as error:
        raise DataError(f"{record} is damaged: {error}.", hint=f"Delete {made}: it is made again.") from error
    return RowBench(path, counts)


def conversation_of(question: Question, family: str) -> Conversation:
    """The conversation that a row came with; of a benchmark's question its prompt and its answer."""
    own = question.fields.get("conversations")
    if own is not None:
        where = f"{question.bench}, index {question.index}"
        try:
            turns = parse_json(own)
        except ValueError as error:
            raise DataError(f"{where}: the conversation is not JSON ({error}).") from error
        return read_conversation(turns, where)
    prompt = get_family(family).prompt(question).strip()
    return Conversation((human_turn(prompt), ("gpt", question.answer)))


def _files(source: Path) -> list[Path]:
    found = [source]
    if source.is_dir():
        found = sorted(p for p in source.iterdir() if p.suffix.lower() in _SUFFIXES)
    if not found or not all(path.is_file() for path in found):
        raise DataError(
            f"{source}: no rows to read.", hint="Name a .parquet or .jsonl file, or a folder with such files."
        )
    return found


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row of a file with its place."""
    if path.suffix.lower() == ".parquet":
        yield from _parquet_rows(path)
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            try:
                row = parse_json(line) if line.strip() else {}
            except ValueError as error:
                raise DataError(f"{where}: not JSON ({error}).") from error
            if line.strip():
                yield where, _checked(row, where)


def _parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    arrow, parquet = load_pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            _checked(dict.fromkeys(file.schema_arrow.names, ()), str(path))
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for row in batch.to_pylist():
                    yield f"{path}, row {number}", row
                    number += 1
    except (OSError, arrow.ArrowException) as error:
        raise DataError(f"Cannot read {path}: {error}.") from error


def _checked(row: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(row, dict) or "conversations" not in row:
        found = ", ".join(row) if isinstance(row, dict) else type(row).__name__
        raise DataError(f"{where}: a row needs id, image and conversations. It has: {found}.")
    return row


def _usable(
    name: str,
    rows: Iterable[tuple[Path, str, Mapping[str, Any]]],
    draw: RowDraw | None,
    image_root: Path | None,
    left_out: Counter[str],
) -> Iterator[list[str]]:
    """The cells of each row that can be used; the others are counted."""
    for index, (path, where, row) in enumerate(rows):
        if draw and not draw.split_of(name, index):
            left_out["not drawn"] += 1
            continue
        conversation = read_conversation(row["conversations"], where)
        picture, reason = _picture(row.get("image"), (path.parent, image_root), where)
        if draw and not reason:
            reason = _unfit(conversation, picture, where)
        if not conversation.solution.strip():
            reason = "no answer in the conversation"
        if reason:
            left_out[reason] += 1
            continue
        turns = json.dumps(conversation.as_list(), ensure_ascii=False)
        subset = str(row.get("subset") or row.get("data_source") or name)
        texts = [str(row.get("id", index)), conversation.question, conversation.solution, subset, turns]
        yield [str(index), *texts, base64.b64encode(picture).decode()]


def _picture(image: Any, folders: tuple[Path, Path | None], where: str) -> tuple[bytes, str]:
    """The encoded picture of a row, or the reason why there is none to use."""
    if isinstance(image, list) and len(image) <= 1:
        image = image[0] if image else None
    if isinstance(image, list):
        return b"", "several pictures"
    if isinstance(image, Mapping):  # the feature `Image` of Hugging Face's datasets
        image = image.get("bytes") or image.get("path")
    if not image:
        return b"", "no picture"
    if isinstance(image, bytes):
        return image, ""
    if not isinstance(image, str):
        raise DataError(f"{where}: 'image' must be a path or base64 text, got {type(image).__name__}.")
    if not image.lower().endswith(PICTURE_SUFFIXES):
        return decode_text(image.encode(), where), ""
    try:
        path = find_picture_file(image, folders[0], root=folders[1])
        return (path or folders[0] / image).read_bytes(), ""
    except DataError as error:
        raise DataError(f"{where}: {error.message}", hint=error.hint) from None
    except OSError as error:
        hint = "Paths are relative to the file's folder, or to --image-root."
        raise DataError(
            f"{where}: cannot read the picture {image!r}: {error.strerror}.", hint=hint
        ) from error


def _unfit(conversation: Conversation, picture: bytes, where: str) -> str:
    if has_cjk(text for _, text in conversation.turns):
        return "CJK characters"
    try:
        return unfit_size(picture_size(picture, where))
    except ImageDecodeError:
        return "unreadable picture"


def _write_tsv(path: Path, rows: Iterator[list[str]], source: Path) -> None:
    first = next(rows, None)
    if first is None:
        raise DataError(f"{source}: none of its rows can be used.")
    with open_atomic(path) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="", write_through=True)
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerow(first)
        writer.writerows(rows)
        text.detach()
