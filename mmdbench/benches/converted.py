"""Benchmarks made of other formats: each is written to a TSV once, and read from it ever after.

The TSV is in `converted/<digest>/<name>.tsv` of the first data folder, with `<name>.json` beside it. The
digest is of the source, its revision and the map of columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmdbench.benches.bench import Answers, Bench, read_bench
from mmdbench.benches.column_map import map_text, recall_columns, remember_columns
from mmdbench.benches.conversion import Conversion
from mmdbench.benches.fetch import DownloadProgress, FetchSettings, data_folders
from mmdbench.errors import DataError
from mmdbench.scoring.families.mmvet import MMVET
from mmdbench.system.digest import value_digest
from mmdbench.system.files import make_folder, open_atomic, write_atomic
from mmdbench.system.inner_paths import is_plain_name, name_of_at_most
from mmdbench.system.json_text import parse_json
from mmdbench.system.locks import file_lock
from mmdbench.system.shapes import read_as

__all__ = [
    "OpenOptions",
    "Source",
    "SourceRecord",
    "bench_name",
    "chosen_columns",
    "find_converted",
    "named_files",
    "open_converted",
    "open_source",
]

_FOLDER = "converted"
_COLUMNS = "columns.json"
_LONGEST_NAME = 100
_REPORT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """The record beside a converted file.

    Attributes:
        given: The source as it was named, without a revision.
        revision: Its revision: a commit, or the digest of its files.
        columns: The map of columns.
        source: The source with its revision, for records; empty for files of this machine.
        licence: The licence that the source names; empty if unknown.
        title: The benchmark's name in tables.
        family: The family that follows from the source; empty if it is inferred from the columns.
    """

    given: str
    revision: str
    columns: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    licence: str = ""
    title: str = ""
    family: str = ""


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """Options that open a source; those of `open_bench`.

    Attributes:
        data_dir: The folder of benchmark files; converted files are in it.
        offline: Use what is on this machine.
        family: The family to use in place of the one that follows from the source.
        answers: Treatment of right answers.
        image_root: A folder that pictures may be in beside the source's own.
        columns: The map of columns; empty for the one that was given last.
        settings: Shows the progress.
        keeps_columns: Keep the map of columns for later commands.
    """

    data_dir: str | Path | None = None
    offline: bool = False
    family: str | None = None
    answers: Answers = "check"
    image_root: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    settings: FetchSettings = field(default_factory=FetchSettings)
    keeps_columns: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """A source that was opened: its record, the benchmark's name, its columns, and its rows when asked.

    `rows` gives each row by column; pictures are bytes, or text that is base64 already.
    """

    record: SourceRecord
    name: str
    names: tuple[str, ...]
    pictures: tuple[str, ...]
    rows: Callable[[], Iterable[Mapping[str, Any]]]


def bench_name(*parts: str) -> str:
    """The name of a benchmark that is made of parts, fit for a file.

    >>> bench_name("lmms-lab/VQA v2", "test")
    'lmms-lab.VQA-v2.test'
    """
    text = ".".join(part for part in parts if part).replace("/", ".")
    return name_of_at_most(_LONGEST_NAME, re.sub(r"[^\w.@+-]", "-", text))


def chosen_columns(given: str, options: OpenOptions) -> dict[str, str]:
    """The map of columns for a source: that of the options, or else the one that was kept.

    `given` is the source as it was named, without a revision.
    """
    return dict(options.columns) or recall_columns(_kept_maps(options), given)


def _keep_columns(given: str, options: OpenOptions) -> None:
    """Keep the map of the options, by which the source was opened, for later commands."""
    if options.columns and options.keeps_columns:
        make_folder(_kept_maps(options).parent)
        remember_columns(_kept_maps(options), given, options.columns)


def _kept_maps(options: OpenOptions) -> Path:
    return data_folders(options.data_dir)[0] / _FOLDER / _COLUMNS


def find_converted(
    given: str, columns: Mapping[str, str], data_dir: str | Path | None, revision: str = ""
) -> Path | None:
    """The newest file that was made of a source with these columns, or None.

    Args:
        given: The source as it was named, without a revision.
        columns: The map of columns.
        data_dir: The folder of benchmark files.
        revision: The beginning of its revision; empty for any.

    Returns:
        The path of the TSV.
    """
    for path in _files(data_dir, "*.tsv"):
        record = _read_record(path)
        if record is None or record.given != given or not record.revision.startswith(revision):
            continue
        if dict(record.columns) == dict(columns):
            return path
    return None


def named_files(name: str, data_dir: str | Path | None) -> list[Path]:
    """The converted files of a benchmark's name, the newest first."""
    return [*_files(data_dir, f"{name}.tsv")] if is_plain_name(name) and not set("*?[") & {*name} else []


def open_source(source: Source, options: OpenOptions) -> Bench:
    """The benchmark of a source, which is converted unless it was before.

    Raises DataError if a column is missing or a row cannot be used, StoreError if the file cannot be written.
    """
    record = source.record
    digest = value_digest([record.given, record.revision, dict(record.columns)])[:16]
    folder = make_folder(data_folders(options.data_dir)[0] / _FOLDER / digest)
    path = folder / f"{source.name}.tsv"
    with file_lock(folder / "lock", wait_s=options.settings.lock_wait_s):
        if not path.is_file() or _read_record(path) is None:
            record = _convert(source, path, options.settings)
            write_atomic(_record_path(path), json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n")
    return open_converted(path, options)


def open_converted(path: Path, options: OpenOptions) -> Bench:
    """The benchmark of a converted file, with what is known of its source. Raises DataError."""
    record = _read_record(path)
    if record is None:
        raise DataError(f"{path} has no record of its source beside it.", hint="Delete it; it is made again.")
    family = options.family or record.family or None
    bench = read_bench(path, family=family, answers=options.answers)
    _keep_columns(record.given, options)
    info = replace(
        bench.info,
        title=record.title or bench.name,
        source=record.source or bench.name,
        licence=record.licence or "unknown",
        family=bench.family,
    )
    notes = (*bench.notes, f"its columns are {map_text(record.columns)}") if record.columns else bench.notes
    reason = "its answers are open" if record.family and not options.family else bench.family_reason
    return replace(
        bench,
        info=info,
        source=record.source,
        column_map=record.columns,
        notes=notes,
        family_reason=reason,
    )


def _convert(source: Source, path: Path, settings: FetchSettings) -> SourceRecord:
    record = source.record
    where = record.source or record.given
    made = Conversion(where, record.columns, source.names, source.pictures, record.source)
    done = shown = 0
    with open_atomic(path) as file:
        for line in made.lines(source.rows()):
            data = line.encode("utf-8", "replace")
            file.write(data)
            done += len(data)
            if settings.progress and done - shown >= _REPORT_BYTES:
                settings.progress(DownloadProgress(source.name, done, None))
                shown = done
    return record if made.has_options or record.family else replace(record, family=MMVET.name)


def _files(data_dir: str | Path | None, pattern: str) -> Iterator[Path]:
    for folder in data_folders(data_dir):
        found = []
        for path in (folder / _FOLDER).glob(f"*/{pattern}"):
            with suppress(OSError):
                found.append((path.stat().st_mtime_ns, path))
        yield from (path for _, path in sorted(found, reverse=True))


def _read_record(path: Path) -> SourceRecord | None:
    try:
        return read_as(SourceRecord, parse_json(_record_path(path).read_bytes()))
    except (OSError, ValueError):
        return None


def _record_path(path: Path) -> Path:
    return path.with_suffix(".json")
