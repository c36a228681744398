"""A build's folder: what lies there already, and how finished files come to their place."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from mmdbench.builds.logs import (
    Built,
    Identity,
    describe_differences,
    read_build,
    read_log,
    write_build,
)
from mmdbench.builds.parts import DamagedPartError, FileRecord, disk_error, file_record
from mmdbench.builds.plan import BenchPlan
from mmdbench.errors import StoreError, UsageError
from mmdbench.system.files import MANIFEST_FILE, make_folder

__all__ = ["LOGS", "PARTS", "TakenOver", "move_output", "take_over"]

PARTS = ".parts"
"""Unfinished files lie there, each bench's in a folder of its own."""

LOGS = "manifests"
"""The logs of the outputs lie there."""

TakenOver = tuple[dict[str, list[Built]], list[str]]


def take_over(folder: Path, identity: Identity, planned: Sequence[BenchPlan]) -> TakenOver:
    """The benches that the folder holds whole already, and those whose files were damaged.

    Starts the manifest of a new build. Raises UsageError if the folder holds another build, or
    files of no build under the names that this one needs.
    """
    if not (folder / MANIFEST_FILE).exists():
        _refuse_strangers(folder, planned)
        write_build(folder, identity, (), complete=False)
        return {}, []
    manifest = read_build(folder)
    there = Identity.from_manifest(manifest)
    differences = describe_differences(there, identity, finished=bool(manifest["complete"]))
    if differences:
        raise UsageError(
            f"{folder} holds another build: {'; '.join(differences)}.",
            hint="Name another folder with -o, or delete that one.",
        )
    finished: dict[str, list[Built]] = {}
    for record in manifest["outputs"]:
        built = Built.from_dict(record)
        finished.setdefault(built.output.bench, []).append(built)
    damaged = [name for name, outputs in finished.items() if not all(_is_whole(folder, b) for b in outputs)]
    for name in damaged:
        _remove(folder, finished.pop(name))
    return finished, damaged


def move_output(parts: Path, folder: Path, built: Built, *, checked: bool) -> None:
    """Move an output's finished files to their place, those that are not there yet.

    Unless `checked` just now, each is compared with its digest; DamagedPartError if it differs.
    """
    for record in built.files:
        # What lies in a folder of its own moves with the folder.
        _move(parts, folder, (record.file.partition("/")[0], record), checked=checked)
    _move(parts, folder, (built.log.file, built.log), checked=checked)


def _move(parts: Path, folder: Path, what: tuple[str, FileRecord], *, checked: bool) -> None:
    name, record = what
    source, target = parts / name, folder / name
    try:
        waiting = source.exists()
        if not checked:
            _check(parts if waiting else folder, record)
        if waiting:
            make_folder(target.parent)
            if target.is_dir():
                shutil.rmtree(target)
            source.replace(target)
    except OSError as error:
        raise disk_error(target, error) from error


def _check(folder: Path, record: FileRecord) -> None:
    if not (folder / record.file).is_file() or file_record(folder, record.file) != record:
        raise DamagedPartError(f"{folder / record.file} is not as it was left.")


def _refuse_strangers(folder: Path, planned: Sequence[BenchPlan]) -> None:
    present = sorted(path.name for path in folder.iterdir())
    for name in (output.name for bench_plan in planned for output in bench_plan.outputs):
        for other in present:
            if other == name or (
                other.startswith(name) and other[len(name) :].startswith((".", "_part", "-0"))
            ):
                raise UsageError(
                    f"{folder / other} is in the way, and it is of no build that is known there.",
                    hint="Name another folder with -o, or move that file.",
                )


def _is_whole(folder: Path, built: Built) -> bool:
    try:
        if any(file_record(folder, record.file) != record for record in (built.log, *built.files)):
            return False
        for row in read_log(folder / built.log.file):
            for name, image in zip(row.get("files", ()), row["images"], strict=False):
                if file_record(folder, name).sha256 != image["bytes"]:
                    return False
    except StoreError:
        return False
    return True


def _remove(folder: Path, outputs: Sequence[Built]) -> None:
    for built in outputs:
        for record in built.files:
            path = folder / record.file.partition("/")[0]
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        (folder / built.log.file).unlink(missing_ok=True)
