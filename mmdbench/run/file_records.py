"""Records of a run's files in its manifest, by which damage is found when they are read.

A file that is written whole has its digest there. A file that grows has its number of lines, which it must
still hold at least, and the number of those that an early version wrote without a check.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mmdbench.errors import StoreError
from mmdbench.run.folder import (
    BATCH_JOURNAL,
    CELLS_FILE,
    JUDGE_HEADS_FILES,
    JUDGE_JOURNAL,
    QUESTIONS_FILE,
)
from mmdbench.run.json_lines import count_lines
from mmdbench.system.digest import bytes_digest
from mmdbench.system.files import MANIFEST_FILE, REPLY_FILES
from mmdbench.system.inner_paths import inner_path
from mmdbench.system.shapes import read_as

__all__ = ["GROWING_FILES", "WHOLE_FILES", "RunFile", "file_records", "has_unchecked", "require_files"]

WHOLE_FILES = (CELLS_FILE, QUESTIONS_FILE, JUDGE_HEADS_FILES)
"""Names, or patterns of names, of the files of a run that are written whole."""

GROWING_FILES = (REPLY_FILES, JUDGE_JOURNAL, BATCH_JOURNAL)
"""Names, or patterns of names, of the files of a run that grow."""

_EVAL_AGAIN = "Run its mmdbench eval command again: it asks for what is missing, and for nothing twice."


@dataclass(frozen=True, slots=True)
class RunFile:
    """The digest of a file that is written whole, or the lines of a file that grows."""

    sha256: str = ""
    lines: int = 0
    unchecked: int = 0


def file_records(
    folder: Path, earlier: Mapping[str, Any] | None, written: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """The records of a run's files for its manifest.

    Args:
        folder: The run's folder.
        earlier: The records in the manifest so far, None for none.
        written: Names or patterns of the files that were written since; the records of others stay.

    Returns:
        Records by the name of the file.
    """
    records = {name: kept for name, kept in (earlier or {}).items() if not _is_any(name, written)}
    for pattern in (*WHOLE_FILES, *GROWING_FILES):
        for path in sorted(folder.glob(pattern)):
            if path.name not in records:
                made = asdict(_record(path, pattern))
                records[path.name] = {name: value for name, value in made.items() if value}
    return records


def _is_any(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _record(path: Path, pattern: str) -> RunFile:
    if pattern in GROWING_FILES:
        return RunFile(**asdict(count_lines(path)))
    try:
        return RunFile(bytes_digest(path.read_bytes()))
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error


def require_files(folder: Path, manifest: Mapping[str, Any], *names: str) -> None:
    """Raise StoreError for a file of a run that is not as its manifest records it.

    Args:
        folder: The run's folder.
        manifest: Its manifest; one of an early version records no files, and is not looked at.
        names: Names or patterns of the files to look at.
    """
    if "files" not in manifest:
        return
    for pattern in names:
        recorded = {name for name in manifest["files"] if fnmatch(name, pattern)}
        for name in sorted(recorded | {path.name for path in folder.glob(pattern)}):
            path = inner_path(folder, name, folder / MANIFEST_FILE)
            _require_file(path, _recorded(manifest, name), pattern)


def _require_file(path: Path, kept: RunFile, pattern: str) -> None:
    if not path.exists():
        if kept != RunFile():
            raise StoreError(f"{path} is missing.", hint=_EVAL_AGAIN)
        return
    found, problem = _record(path, pattern), ""
    if found.lines < kept.lines:
        problem = f"must have at least {kept.lines} lines by {MANIFEST_FILE}, got {found.lines}"
    elif found.unchecked > kept.unchecked:
        problem = f"line {found.unchecked} has no check: it was changed"
    elif kept.sha256 and found.sha256 != kept.sha256:
        problem = f"does not match its digest in {MANIFEST_FILE}: it was changed, or is of another plan"
    if problem:
        raise StoreError(f"{path}{', ' if problem.startswith('line') else ' '}{problem}.", hint=_EVAL_AGAIN)


def has_unchecked(manifest: Mapping[str, Any]) -> bool:
    """True for a run of an early version, whose manifest records no files, or with lines of such a run."""
    if "files" not in manifest:
        return True
    return any(_recorded(manifest, name).unchecked for name in manifest["files"])


def _recorded(manifest: Mapping[str, Any], name: str) -> RunFile:
    return read_as(RunFile, manifest["files"].get(name, {}))
