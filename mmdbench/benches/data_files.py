"""The benchmarks' files on this machine, for `mmdbench data`: list, download, verify, locate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmdbench.benches.catalog import BenchInfo, find_bench, get_bench_names
from mmdbench.benches.fetch import (
    CheckedFile,
    FetchSettings,
    check_file,
    data_folders,
    fetch_bench,
    find_bench_file,
    recorded_check,
)
from mmdbench.benches.lookup import expand_benches
from mmdbench.benches.tsv_reader import read_table
from mmdbench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["DataFile", "data_path", "get_data", "list_data", "verify_data"]


@dataclass(frozen=True, slots=True)
class DataFile:
    """The state of one benchmark's file.

    `state` is shipped, present, partial or absent; `path` is None for the last two. `bytes` is its
    size on the disk. `checksum` is ok, mismatch, unchecked (never computed, or the file changed
    since) or unknown (the catalogue has none); `md5` is the computed one. `rows` is the number of rows of a
    file that is not known to be the published one; 0 if it cannot be read.
    """

    info: BenchInfo
    state: str
    path: Path | None
    bytes: int
    checksum: str
    md5: str = ""
    note: str = ""
    rows: int = 0


def list_data(data_dir: str | Path | None = None) -> tuple[DataFile, ...]:
    """The state of every benchmark's file, in the catalogue's order.

    Computes and records the checksum of each file that was not checked since it changed.
    """
    return tuple(_checked(find_bench(name), data_dir) for name in get_bench_names())


def get_data(
    names: str | Iterable[str],
    *,
    data_dir: str | Path | None = None,
    settings: FetchSettings | None = None,
) -> tuple[DataFile, ...]:
    """Download the files that are missing, one after the other.

    Args:
        names: Names of benchmarks and sets, as in `expand_benches`.
        data_dir: The folder to search first, and to download to.
        settings: Settings of the downloads.

    Returns:
        The state of each file afterwards.
    """
    found = []
    for name in _catalogued(names):
        fetch_bench(find_bench(name), data_dir=data_dir, settings=settings)
        found.append(_checked(find_bench(name), data_dir))
    return tuple(found)


def verify_data(
    names: str | Iterable[str] = (), *, data_dir: str | Path | None = None
) -> tuple[DataFile, ...]:
    """Compute and record the checksums of the files on this machine: those named, or all."""
    found = []
    for name in _catalogued(names) or get_bench_names():
        info = find_bench(name)
        path = find_bench_file(info, data_dir)
        # Nothing is recorded beside the package's own files, or in a folder that cannot be written to.
        checked = check_file(path, info, record=not info.shipped) if path else None
        found.append(_state(info, data_dir, checked))
    return tuple(found)


def data_path(name: str, *, data_dir: str | Path | None = None) -> Path:
    """The path of a benchmark's file. Raises DataError that names the folders if it is missing."""
    info = find_bench(name)
    path = find_bench_file(info, data_dir)
    if path is None:
        places = ", ".join(map(str, data_folders(data_dir)))
        raise DataError(
            f"{info.name} is not on this machine; the folders are {places}.",
            hint=f"To download it: mmdbench data get {info.name}",
        )
    return path


def _checked(info: BenchInfo, data_dir: str | Path | None) -> DataFile:
    """The state of a file, whose checksum is computed unless it is recorded."""
    path = find_bench_file(info, data_dir)
    if path is None or (not info.shipped and recorded_check(path, info) is not None):
        return _state(info, data_dir)
    # Nothing is recorded beside the package's own files.
    return _state(info, data_dir, check_file(path, info, record=not info.shipped))


def _count_rows(path: Path) -> int:
    try:
        return len(read_table(path).rows)
    except DataError:
        return 0


def _state(info: BenchInfo, data_dir: str | Path | None, checked: CheckedFile | None = None) -> DataFile:
    path = find_bench_file(info, data_dir)
    if path is None:
        part = data_folders(data_dir)[0] / f"{info.name}.tsv.part"
        size = part.stat().st_size if part.is_file() else 0
        return DataFile(info, "partial" if size else "absent", None, size, "unchecked", note=info.note)
    state, size = "shipped" if info.shipped else "present", path.stat().st_size
    if checked is None and not info.shipped:
        checked = recorded_check(path, info)
    if checked is None:
        return DataFile(info, state, path, size, "unchecked", note=info.note)
    note = info.other_md5.get(checked.md5, info.note)
    rows = 0 if checked.state == "ok" else _count_rows(path)
    return DataFile(info, state, path, size, checked.state, checked.md5, note, rows)


def _catalogued(names: str | Iterable[str]) -> tuple[str, ...]:
    chosen = expand_benches(names)
    for name in chosen:
        if name not in get_bench_names():
            raise DataError(
                f"{name} is not in the catalogue.", hint="Name a benchmark: mmdbench list benches"
            )
    return chosen
