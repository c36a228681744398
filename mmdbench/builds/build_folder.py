"""The folder of a build: reuses the outputs of an earlier call, and moves finished files into place."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from mmdbench.builds.manifest import (
    BuiltOutput,
    Identity,
    describe_differences,
    read_build,
    read_log,
    write_build,
)
from mmdbench.builds.part_files import DamagedPartError, FileRecord, built_path, check_file, file_record
from mmdbench.builds.plan import BenchPlan, Output
from mmdbench.errors import StoreError, UsageError
from mmdbench.system.files import MANIFEST_FILE, cannot_write, make_folder
from mmdbench.system.inner_paths import inner_path, refuse_links

__all__ = [
    "LOGS",
    "TakenOver",
    "check_outputs",
    "move_output",
    "parts_folder",
    "remove_parts",
    "require_outputs",
    "take_over",
]

LOGS = "manifests"
"""Subfolder of the outputs' logs."""

_PARTS = ".parts"
"""Subfolder of unfinished files, with a folder for each bench."""

# The names that the formats of a build give their files, after that of the output.
_FILE = re.compile(r"\.tsv|_part\d+\.tsv|-\d{5}\.tar|-\d{5}-of-\d{5}\.parquet|/metadata\.jsonl")
_PICTURE = re.compile(r"(row\.\d+|[A-Za-z0-9_-]{1,100})(\.\d+)?\.(jpg|png|webp)")

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
        StoreError: The manifest names other files than those of this build.
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
    recorded = [BuiltOutput.from_dict(record) for record in manifest["outputs"]]
    check_outputs(recorded, (output for plan in planned for output in plan.outputs), folder / MANIFEST_FILE)
    for built in recorded:
        finished.setdefault(built.output.bench, []).append(built)
    damaged = [name for name, outputs in finished.items() if not all(_is_whole(folder, b) for b in outputs)]
    for name in damaged:
        _remove(folder, finished.pop(name))
    return finished, damaged


def check_outputs(recorded: Iterable[BuiltOutput], planned: Iterable[Output], where: Path) -> None:
    """Check that records name the files that these outputs have: only such files are moved or removed.

    Args:
        recorded: The records.
        planned: The outputs that the build has.
        where: The manifest or checkpoint of the records.

    Raises:
        StoreError: A record is of another output, or names another file.
    """
    known = set(planned)
    for built in recorded:
        name = built.output.name
        wrong = [r.file for r in built.files if not _is_file_of(name, r.file)]
        wrong += [built.log.file] if built.log.file != f"{LOGS}/{name}.jsonl" else []
        if wrong or built.output not in known:
            raise StoreError(
                f"{where} names {wrong[0] if wrong else name!r}, which is not a file of this build.",
                hint="Nothing was changed. Build into another folder.",
            )


def parts_folder(folder: Path, bench: str) -> Path:
    """The folder of a bench's unfinished files, which is made; nothing in it may be a link."""
    parts = inner_path(folder, f"{_PARTS}/{bench}", f"The build {folder}")
    refuse_links(make_folder(parts))
    return parts


def remove_parts(folder: Path, benches: Iterable[str]) -> None:
    """Remove the folders of the benches' unfinished files."""
    for bench in benches:
        shutil.rmtree(inner_path(folder, f"{_PARTS}/{bench}", f"The build {folder}"), ignore_errors=True)
    with suppress(OSError):
        (folder / _PARTS).rmdir()


def move_output(parts: Path, folder: Path, built: BuiltOutput, *, check: bool) -> None:
    """Move the finished files of an output to their place, unless they are there already.

    Args:
        parts: The bench's folder of unfinished files.
        folder: The build's folder.
        built: The output.
        check: True to compare each file with its digest first.

    Raises:
        DamagedPartError: A file is missing, or differs from its digest.
        StoreError: A file cannot be moved.
    """
    for record in built.files:
        # Files in a folder of their own move with it.
        _move(parts, folder, (record.file.partition("/")[0], record), check=check)
    _move(parts, folder, (built.log.file, built.log), check=check)
    for path in _missing(folder, built):
        raise DamagedPartError(f"{path} was removed before it was in its place.")


def require_outputs(folder: Path, outputs: Iterable[BuiltOutput]) -> None:
    """Raise StoreError if a file of these outputs is not there in its length, or a picture is not there."""
    for built in outputs:
        for path in _missing(folder, built):
            raise StoreError(
                f"{path} was removed or changed while the build was running.",
                hint="Run the same command again: it makes that benchmark anew.",
            )


def _missing(folder: Path, built: BuiltOutput) -> Iterator[Path]:
    for record in (built.log, *built.files):
        path = built_path(folder, record.file)
        if not path.is_file() or path.stat().st_size != record.bytes:
            yield path
            return
    for row in read_log(built_path(folder, built.log.file)):
        yield from (folder / name for name in row.get("files", ()) if not built_path(folder, name).is_file())


def _move(parts: Path, folder: Path, what: tuple[str, FileRecord], *, check: bool) -> None:
    name, record = what
    source, target = built_path(parts, name), built_path(folder, name)
    try:
        waiting = source.exists()
        if check:
            check_file(parts if waiting else folder, record.file, record.sha256)
        if waiting:
            make_folder(target.parent)
            if target.is_dir():
                _remove_pictures(target)
            source.replace(target)
    except OSError as error:
        raise cannot_write(target, error) from error


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
        for row in read_log(built_path(folder, built.log.file)):
            for name, image in zip(row.get("files", ()), row["images"], strict=False):
                if file_record(folder, name).sha256 != image["bytes"]:
                    return False
    except StoreError:
        return False
    return True


def _remove(folder: Path, outputs: Sequence[BuiltOutput]) -> None:
    for built in outputs:
        for record in (*built.files, built.log):
            name, inside, _ = record.file.partition("/")
            path = built_path(folder, record.file)
            try:
                if inside and record is not built.log:
                    _remove_pictures(folder / name)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(path, error) from error


def _is_file_of(output: str, file: str) -> bool:
    return file.startswith(output) and _FILE.fullmatch(file[len(output) :]) is not None


def _remove_pictures(folder: Path) -> None:
    """Remove an output that is a folder of pictures, if it holds nothing else."""
    for path in _foreign(folder):
        raise UsageError(
            f"{path} is not a file of the build, and {folder} must be made again.",
            hint=f"Move it out of {folder}, and run the same command again.",
        )
    if folder.exists():
        shutil.rmtree(folder)


def _foreign(folder: Path) -> Iterator[Path]:
    """Whatever a folder of pictures holds beside pictures and their metadata."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else [folder] if folder.exists() else []:
        if path.is_symlink() or path.is_dir() != (path.name == "images"):
            yield path
        elif path.is_dir():
            yield from (p for p in sorted(path.iterdir()) if p.is_symlink() or not _is_picture(p))
        elif path.name != "metadata.jsonl":
            yield path


def _is_picture(path: Path) -> bool:
    return path.is_file() and _PICTURE.fullmatch(path.name) is not None
