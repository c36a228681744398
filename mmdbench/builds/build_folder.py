"""The folder of a build: reuses the outputs of an earlier call, and moves finished files into place."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from mmdbench.builds.manifest import (
    BuiltOutput,
    Identity,
    describe_differences,
    read_build,
    read_log,
    write_build,
)
from mmdbench.builds.part_files import FileRecord, check_file, disk_error, file_record
from mmdbench.builds.plan import BenchPlan
from mmdbench.errors import StoreError, UsageError
from mmdbench.system.files import MANIFEST_FILE, make_folder

__all__ = ["LOGS", "PARTS", "TakenOver", "move_output", "take_over"]

PARTS = ".parts"
"""Subfolder of unfinished files, with a folder for each bench."""

LOGS = "manifests"
"""Subfolder of the outputs' logs."""

TakenOver = tuple[dict[str, list[BuiltOutput]], list[str]]


def take_over(folder: Path, identity: Identity, planned: Sequence[BenchPlan]) -> TakenOver:
    """Find the benches that an earlier call finished and remove damaged ones, or start a new manifest.

    Args:
        folder: The build's folder.
        identity: The identity of the build about to start.
        planned: Its benchmarks' outputs.

    Returns:
        The finished outputs by bench, and the names of the benches whose files were damaged.

    Raises:
        UsageError: The folder holds another build, or other files under the names needed.
    """
    if not (folder / MANIFEST_FILE).exists():
        _refuse_other_files(folder, planned)
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
    finished: dict[str, list[BuiltOutput]] = {}
    for record in manifest["outputs"]:
        built = BuiltOutput.from_dict(record)
        finished.setdefault(built.output.bench, []).append(built)
    damaged = [name for name, outputs in finished.items() if not all(_is_whole(folder, b) for b in outputs)]
    for name in damaged:
        _remove(folder, finished.pop(name))
    return finished, damaged


def move_output(parts: Path, folder: Path, built: BuiltOutput, *, check: bool) -> None:
    """Move the finished files of an output to their place, unless they are there already.

    Args:
        parts: The bench's folder of unfinished files.
        folder: The build's folder.
        built: The output.
        check: True to compare each file with its digest first.

    Raises:
        DamagedPartError: A file differs from its digest.
        StoreError: A file cannot be moved.
    """
    for record in built.files:
        # Files in a folder of their own move with it.
        _move(parts, folder, (record.file.partition("/")[0], record), check=check)
    _move(parts, folder, (built.log.file, built.log), check=check)


def _move(parts: Path, folder: Path, what: tuple[str, FileRecord], *, check: bool) -> None:
    name, record = what
    source, target = parts / name, folder / name
    try:
        waiting = source.exists()
        if check:
            check_file(parts if waiting else folder, record.file, record.sha256)
        if waiting:
            make_folder(target.parent)
            if target.is_dir():
                shutil.rmtree(target)
            source.replace(target)
    except OSError as error:
        raise disk_error(target, error) from error


def _refuse_other_files(folder: Path, planned: Sequence[BenchPlan]) -> None:
    present = sorted(path.name for path in folder.iterdir())
    for name in (output.name for bench_plan in planned for output in bench_plan.outputs):
        for other in present:
            if other == name or (
                other.startswith(name) and other[len(name) :].startswith((".", "_part", "-0"))
            ):
                raise UsageError(
                    f"{folder / other} has the name of an output, but the folder holds no build.",
                    hint="Name another folder with -o, or move that file.",
                )


def _is_whole(folder: Path, built: BuiltOutput) -> bool:
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


def _remove(folder: Path, outputs: Sequence[BuiltOutput]) -> None:
    for built in outputs:
        for record in built.files:
            path = folder / record.file.partition("/")[0]
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        (folder / built.log.file).unlink(missing_ok=True)
