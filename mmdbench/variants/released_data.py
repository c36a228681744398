"""The authors' public dataset of degraded benchmarks: listed, downloaded and checked, never mirrored.

`CUDAOUTOFMEMORY/MMD-Bench` on the Hugging Face Hub has eighteen mixed files, `<bench>_LOW_LEVEL_LOW.tsv`,
`_MID` and `_HIGH`, and 96 of one corruption, all at hard. The names are found by listing it; files of the
user's win.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen

from mmdbench.benches import Bench
from mmdbench.benches.catalog import find_bench
from mmdbench.benches.download import FetchSettings, download_to, mirrored
from mmdbench.benches.fetch import data_folders, find_file
from mmdbench.errors import DataError, DownloadError, StoreError, UnknownNameError, UsageError
from mmdbench.records import UNDEGRADED, RunPlan
from mmdbench.system.digest import file_hash
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.system.inner_paths import plain_name
from mmdbench.system.json_text import parse_json
from mmdbench.system.shapes import read_as
from mmdbench.variants.released import KNOWN_SHA256, ReleasedFile, find_released_files, parse_released_name

__all__ = [
    "DATASET",
    "PublishedFile",
    "ReleasedState",
    "choose_published",
    "fetch_published",
    "is_released_name",
    "list_published",
    "local_released",
    "missing_published",
    "released_state",
]

DATASET = "CUDAOUTOFMEMORY/MMD-Bench"
"""The authors' dataset on the Hugging Face Hub."""

_HOST = "https://huggingface.co"
_SET = "released"
_LEVEL_OF_ONE_CORRUPTION = "hard"


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file of the dataset: its path there, its size in bytes, its SHA-256 if the Hub gives it."""

    path: str
    bytes: int
    sha256: str = ""

    @property
    def name(self) -> str:
        """The name without folder and ending."""
        return PurePosixPath(self.path).stem

    @property
    def kind(self) -> ReleasedFile | None:
        """Benchmark, level and corruption; None if the name gives none."""
        return parse_released_name(Path(f"{self.name}.tsv"))


@dataclass(frozen=True, slots=True)
class ReleasedState:
    """A file of the dataset on this machine.

    `state` is present, partial or absent; `bytes` is the size on the disk, or that of the published file;
    `checksum` is ok, mismatch, or unknown where no SHA-256 of the published file is known. `sha256` is the
    computed one.
    """

    name: str
    state: str
    path: Path | None
    bytes: int
    checksum: str
    sha256: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Record:
    """A file's SHA-256 and that of the published file, with the size and time that the file had."""

    sha256: str
    expected_sha256: str
    bytes: int
    mtime_ns: int
    url: str = ""


def is_released_name(name: str) -> bool:
    """True for the name of a degraded file, and for `released` and `released:<benchmark>`.

    >>> is_released_name("MMVP_LOW_LEVEL_HIGH"), is_released_name("MMVP")
    (True, False)
    """
    return name.partition(":")[0] == _SET or parse_released_name(Path(f"{name}.tsv")) is not None


def list_published(settings: FetchSettings | None = None) -> tuple[PublishedFile, ...]:
    """The TSV files of the dataset, by name. Raises DownloadError if the Hub cannot be read."""
    settings = settings or FetchSettings()
    url = mirrored(f"{_HOST}/api/datasets/{DATASET}/tree/main?recursive=true", settings.endpoint)
    found: list[PublishedFile] = []
    while url:
        entries, url = _page(url, settings)
        for entry in entries:
            if entry.get("type") == "file" and str(entry.get("path", "")).endswith(".tsv"):
                sha256 = (entry.get("lfs") or {}).get("oid", "")
                found.append(PublishedFile(entry["path"], int(entry.get("size", 0)), sha256))
    return tuple(sorted(found, key=lambda file: file.name))


def choose_published(names: Iterable[str], published: Sequence[PublishedFile]) -> tuple[PublishedFile, ...]:
    """The files that names mean: `released` is all mixed ones, `released:MMStar` those of a benchmark.

    Raises UnknownNameError for a name that the dataset does not have.
    """
    by_name = {file.name: file for file in published}
    mixed = [file for file in published if file.kind and file.kind.level]
    chosen: dict[str, PublishedFile] = {}
    for name in names:
        kind, _, bench = name.partition(":")
        if kind != _SET and name not in by_name:
            raise UnknownNameError("released file", name, by_name, see="mmdbench data list --released")
        files = [by_name[name]] if kind != _SET else mixed
        if kind == _SET and bench:
            files = [f for f in mixed if f.kind and f.kind.bench == find_bench(bench).name]
        chosen |= {file.name: file for file in files}
    return tuple(chosen.values())


def missing_published(
    plan: RunPlan, benches: Sequence[Bench], data_dir: Path | None, settings: FetchSettings | None = None
) -> tuple[PublishedFile, ...]:
    """The files of the dataset that a plan of the design `released` shows and that are not on this machine.

    Args:
        plan: The run's design, levels and corruptions.
        benches: The clean benchmarks.
        data_dir: A folder to search before the usual ones.
        settings: Settings of the listing, for which the Hub is asked only if something is missing.

    Returns:
        The files that the dataset has.

    Raises:
        UsageError: Files of one corruption are missing, and the level is not hard.
    """
    levels = [level for level in plan.levels if level not in UNDEGRADED]
    if plan.design != "released" or not levels or (plan.corruptions and len(levels) > 1):
        return ()
    kinds = [("", name) for name in plan.corruptions] or [(level, "") for level in levels]
    wanted = set()
    for bench in benches:
        with suppress(UnknownNameError):
            found = find_released_files(bench.info.name, data_dir or bench.path.parent)
            here = {(file.level, file.corruption) for file in found}
            wanted |= {(bench.info.name, *kind) for kind in kinds if kind not in here}
    if not wanted:
        return ()
    if plan.corruptions and levels != [_LEVEL_OF_ONE_CORRUPTION]:
        raise UsageError(
            f"The published files of one corruption are all at {_LEVEL_OF_ONE_CORRUPTION}, got {levels[0]}.",
            hint=f"Name it: --level clean,{_LEVEL_OF_ONE_CORRUPTION}.",
        )
    listed = [(file, file.kind) for file in list_published(settings)]
    return tuple(f for f, kind in listed if kind and (kind.bench, kind.level, kind.corruption) in wanted)


def fetch_published(
    files: Sequence[PublishedFile], data_dir: str | Path | None, settings: FetchSettings
) -> tuple[ReleasedState, ...]:
    """Download files that are missing, and record their checksums.

    Args:
        files: The files, as listed.
        data_dir: The folder to search first, and to download to.
        settings: Settings of the downloads.

    Returns:
        The state of each file afterwards.
    """
    states = []
    for file in files:
        if find_file(f"{file.name}.tsv", data_dir) is None:
            folder = make_folder(data_folders(data_dir)[0])
            target = folder / plain_name(folder, f"{file.name}.tsv", DATASET, DataError)
            url = mirrored(f"{_HOST}/datasets/{DATASET}/resolve/main/{quote(file.path)}", settings.endpoint)

            def is_right(part: Path, sha256: str = file.sha256) -> bool:
                return not sha256 or file_hash(part, "sha256") == sha256

            download_to(target, file.name, url, settings, is_right, strict=True)
            _record(target, file_hash(target, "sha256"), file.sha256, url)
        states.append(released_state(file, data_dir))
    return tuple(states)


def local_released(data_dir: str | Path | None = None) -> tuple[ReleasedState, ...]:
    """The files of the dataset that are on this machine, by name; no server is asked."""
    names = set()
    for folder in data_folders(data_dir):
        paths = folder.glob("*.tsv") if folder.is_dir() else ()
        names |= {path.stem for path in paths if parse_released_name(path) is not None}
    return tuple(released_state(PublishedFile(f"{name}.tsv", 0), data_dir) for name in sorted(names))


def released_state(
    file: PublishedFile, data_dir: str | Path | None = None, *, again: bool = False
) -> ReleasedState:
    """The state of a file, whose checksum is computed and recorded unless it is recorded.

    Args:
        file: The file; its size and SHA-256 may be unknown.
        data_dir: A folder to search before the usual ones.
        again: Compute the checksum anew.

    Returns:
        The state.
    """
    path = find_file(f"{file.name}.tsv", data_dir)
    if path is None:
        part = data_folders(data_dir)[0] / f"{file.name}.tsv.part"
        state = "partial" if part.is_file() and part.stat().st_size else "absent"
        return ReleasedState(file.name, state, None, file.bytes, "unchecked")
    record = _recorded(path)
    if record is None or again:
        earlier = record.expected_sha256 if record else ""
        record = _record(path, file_hash(path, "sha256"), file.sha256 or earlier)
    known = KNOWN_SHA256.get(file.name, "")
    expected = known or file.sha256 or record.expected_sha256
    checksum = "unknown" if not expected else "ok" if record.sha256 == expected else "mismatch"
    changed = known and file.sha256 and file.sha256 != known
    note = "The dataset has another file of this name now." if changed else ""
    return ReleasedState(file.name, "present", path, record.bytes, checksum, record.sha256, note)


def _page(url: str, settings: FetchSettings) -> tuple[list[dict[str, Any]], str]:
    """The entries of one page of a listing, and the address of the next page; empty for the last."""
    hint = "HF_ENDPOINT names a mirror, https_proxy a proxy; files of your own are found in --data-dir."
    try:
        with urlopen(url, timeout=settings.timeout_s) as answer:  # noqa: S310 - an address of the Hub
            entries = parse_json(answer.read())
            following = re.search(r'<([^>]+)>;\s*rel="next"', answer.headers.get("Link") or "")
    except HTTPError as error:
        raise DownloadError(
            f"Cannot list the dataset {DATASET}: {url} answered {error.code}.", hint=hint
        ) from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(f"Cannot list the dataset {DATASET} at {url}: {reason}.", hint=hint) from error
    except ValueError as error:
        raise DataError(f"{url} gave no listing of the dataset {DATASET}.", hint=hint) from error
    if not isinstance(entries, list):
        raise DataError(f"{url} gave no listing of the dataset {DATASET}.", hint=hint)
    return entries, following[1] if following else ""


def _record(path: Path, sha256: str, expected: str, url: str = "") -> _Record:
    state = path.stat()
    record = _Record(sha256, expected, state.st_size, state.st_mtime_ns, url)
    with suppress(StoreError):
        write_atomic(_record_path(path), json.dumps(asdict(record), indent=1) + "\n")
    return record


def _recorded(path: Path) -> _Record | None:
    """The recorded checksum of a file that has not changed since."""
    try:
        record = read_as(_Record, parse_json(_record_path(path).read_bytes()))
        state = path.stat()
    except (OSError, ValueError, TypeError):
        return None
    return record if (record.bytes, record.mtime_ns) == (state.st_size, state.st_mtime_ns) else None


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")
