"""Checks the files of a build against its manifest, and its rows against its logs, plan and sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.benches.tsv_table import TsvRow
from mmdbench.builds.build_check import BuildCheck, Problem
from mmdbench.builds.manifest import BuiltOutput, read_log
from mmdbench.builds.output_reader import StoredRow, read_output
from mmdbench.builds.part_files import built_path, file_record
from mmdbench.builds.plan import BenchPlan, BuildPlan, Output, plain_integer, plan_benches
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import MmdbenchError, StoreError
from mmdbench.records import Index
from mmdbench.system.digest import bytes_digest
from mmdbench.variants.design import parse_sample

__all__ = ["check_files", "check_plan", "check_rows"]

_Rows = dict[Output, list[tuple[Index, str | None]]]


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
        log = read_log(built_path(check.folder, built.log.file))
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


def check_plan(check: BuildCheck) -> Iterator[Problem]:
    """Plan the build again from its sources, and compare the rows in the logs; one problem per output.

    A sample over several benchmarks depends on all of them: nothing is checked if one is missing.
    """
    outputs = {record.output: record for record in check.built}
    for planned in _plans(check.plan, check.sources.found):
        rows = _planned_rows(planned)
        for output in planned.outputs:
            record = outputs.get(output)
            if record is None:
                yield Problem(output.name, "", "the plan has this output, the manifest does not.")
                continue
            yield from _differences(check.folder, record, rows[output])
        for output, record in outputs.items():
            if output.bench == planned.bench.name and output not in rows:
                yield Problem(record.log.file, "", "the plan has no such output.")


def _plans(plan: BuildPlan, found: Mapping[str, Bench]) -> list[BenchPlan]:
    sample = parse_sample(plan.sample)
    benches = [found[name] for name in plan.benches if name in found]
    if sample is not None and not sample.per_bench and len(benches) < len(plan.benches):
        return []
    return plan_benches(plan, benches, load_spec())


def _planned_rows(planned: BenchPlan) -> _Rows:
    rows: _Rows = {output: [] for output in planned.outputs}
    for question, cells in planned.questions:
        for cell in cells:
            rows[planned.output_of(cell)].append((question.index, cell.corruption))
    return rows


def _differences(
    folder: Path, built: BuiltOutput, rows: Sequence[tuple[Index, str | None]]
) -> Iterator[Problem]:
    file = built.log.file
    try:
        for wanted, logged in zip_longest(rows, read_log(built_path(folder, file), left_out=True)):
            if logged is None:
                yield Problem(file, str(wanted[0]), "the plan has this row, the build does not.")
            elif wanted is None or logged["index"] != wanted[0]:
                yield Problem(file, str(logged["index"]), "the plan has another row here, or none.")
            elif logged["corruption"] != wanted[1]:
                what = f"the plan gives it {wanted[1]}, not {logged['corruption']}."
                yield Problem(file, str(wanted[0]), what)
            else:
                continue
            return
    except MmdbenchError:
        # A file that cannot be read was reported when the rows were checked.
        return
