"""Checks the files of a build against its manifest, and its rows against its logs and its sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmdbench.benches.tsv_table import TsvRow
from mmdbench.builds.build_check import BuildCheck, Problem
from mmdbench.builds.manifest import BuiltOutput, read_log
from mmdbench.builds.output_reader import StoredRow, read_output
from mmdbench.builds.part_files import file_record
from mmdbench.builds.plan import plain_integer
from mmdbench.errors import MmdbenchError, StoreError
from mmdbench.system.digest import bytes_digest

__all__ = ["check_files", "check_rows"]


def check_files(check: BuildCheck, built: BuiltOutput) -> Iterator[Problem]:
    """Compare the files of an output and its log with the manifest's digests."""
    for record in (built.log, *built.files):
        try:
            found = file_record(check.folder, record.file)
        except StoreError as error:
            yield Problem(record.file, "", error.message)
            continue
        if found.bytes != record.bytes:
            yield Problem(
                record.file, "", f"it has {found.bytes} bytes, but the manifest says {record.bytes}."
            )
        elif found.sha256 != record.sha256:
            yield Problem(record.file, "", "its SHA-256 differs from the manifest's.")


def check_rows(check: BuildCheck, built: BuiltOutput) -> Iterator[Problem]:
    """Compare the rows of an output with its log, picture by picture, and their cells with the source."""
    source = check.sources.found.get(built.output.bench)
    originals = {str(index): row for index, row in source.rows.items()} if source else None
    digests: dict[str, list[str]] = {}
    where = built.log.file
    try:
        log = read_log(check.folder / built.log.file)
        for stored in read_output(check.folder, built, check.plan.format, check.families[built.output.bench]):
            where = stored.file
            logged = next(log, None)
            if logged is None or str(logged["index"]) != stored.index:
                yield Problem(stored.file, stored.index, "the log has another row here.")
                return
            yield from _check_pictures(stored, logged, digests)
            if originals is not None and stored.row is not None:
                columns = () if "refers" in logged else ("image",)
                yield from _check_cells(stored, stored.row, originals.get(stored.index), columns)
        for logged in log:
            yield Problem(where, str(logged["index"]), "the row is missing.")
    except MmdbenchError as error:
        yield Problem(where, "", error.message)


def _check_pictures(
    stored: StoredRow, logged: Mapping[str, Any], digests: dict[str, list[str]]
) -> Iterator[Problem]:
    found = [bytes_digest(picture) for picture in stored.pictures]
    expected = [image["bytes"] for image in logged["images"]]
    if "refers" in logged:
        cell = stored.row.text("image") if stored.row else ""
        if cell != logged["refers"]:
            yield Problem(stored.file, stored.index, "it refers to another row than in the log.")
        expected = digests.get(cell, digests.get(plain_integer(cell), []))
    digests[stored.index] = found
    if found != expected:
        yield Problem(stored.file, stored.index, "its pictures differ from those in the log.")


def _check_cells(
    stored: StoredRow, row: TsvRow, original: TsvRow | None, but: tuple[str, ...]
) -> Iterator[Problem]:
    """Compare the cells of a row with the source's, byte for byte, except for the columns in `but`."""
    if original is None:
        yield Problem(stored.file, stored.index, "the source has no such row.")
        return
    # If there was no column `image`, the build has one in place of `image_path`.
    paths = () if original.header.position("image") is not None else ("image_path",)
    for column in original.header.names:
        if column and column not in (*but, *paths) and row.raw(column) != original.raw(column):
            yield Problem(stored.file, stored.index, f"the column {column!r} differs from the source.")
