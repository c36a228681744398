"""A benchmark's file: found on this machine or downloaded, and its checksum.

The folders are `data_dir`, then `$LMUData`, then `~/LMUData`, which VLMEvalKit uses. The checksum of a
file that was downloaded or verified is recorded beside it in `<file>.json`. Files of other programs
are never changed or deleted.
"""

from __future__ import annotations

import json
import os
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mmdbench.benches.download import Download, DownloadProgress, FetchSettings, download_to, mirrored
from mmdbench.errors import DataError, StoreError
from mmdbench.system.digest import file_hash
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.system.inner_paths import is_plain_name
from mmdbench.system.json_text import parse_json
from mmdbench.system.remote import add_from_data_url, data_folder, is_url
from mmdbench.system.shapes import read_as

if TYPE_CHECKING:
    from mmdbench.benches.catalog import BenchInfo

__all__ = [
    "LMU_DATA",
    "CheckedFile",
    "ChecksumWarning",
    "DownloadProgress",
    "FetchSettings",
    "check_file",
    "data_folders",
    "fetch_bench",
    "find_bench_file",
    "find_file",
    "recorded_check",
]


LMU_DATA = "LMUData"
"""The folder of benchmark files that VLMEvalKit uses, and the environment variable that names another."""


class ChecksumWarning(UserWarning):
    """A file has another checksum than the catalogue; it is used all the same."""


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file's MD5, with the size and time of change that the file had when it was computed."""

    md5: str
    expected_md5: str
    bytes: int
    mtime_ns: int
    url: str = ""
    checked_at: str = ""

    @property
    def state(self) -> str:
        """`ok`, `mismatch`, or `unknown` where the catalogue has no checksum."""
        if not self.expected_md5:
            return "unknown"
        return "ok" if self.md5 == self.expected_md5 else "mismatch"


def data_folders(data_dir: str | Path | None = None) -> tuple[Path, ...]:
    """The folders that are searched, in order; downloads go to the first."""
    found = []
    if data_dir is not None:
        found.append(data_folder(str(data_dir)) if is_url(data_dir) else Path(data_dir).expanduser())
    shared = os.environ.get(LMU_DATA)
    if shared:
        found.append(Path(shared).expanduser())
    try:
        found.append(Path("~", LMU_DATA).expanduser())
    except RuntimeError:  # a user without a home, as in some containers
        found.append(Path(LMU_DATA))
    return tuple(dict.fromkeys(found))


def find_file(name: str, data_dir: str | Path | None = None) -> Path | None:
    """The first file of that name in the data folders, or None; a name that leads out of them finds none."""
    for folder in data_folders(data_dir) if is_plain_name(name) else ():
        add_from_data_url(folder, name)
        with suppress(OSError, ValueError):
            if (folder / name).is_file():
                return folder / name
    return None


def find_bench_file(info: BenchInfo, data_dir: str | Path | None = None) -> Path | None:
    """The benchmark's file on this machine, under its own name or its URL's, or None."""
    if info.shipped:
        path = Path(str(resources.files("mmdbench.benches").joinpath("data").joinpath(info.shipped)))
        return path if path.is_file() else None
    by_url = Path(urlsplit(info.url).path).name
    return find_file(f"{info.name}.tsv", data_dir) or (find_file(by_url, data_dir) if by_url else None)


def fetch_bench(
    info: BenchInfo,
    *,
    data_dir: str | Path | None = None,
    offline: bool = False,
    settings: FetchSettings | None = None,
) -> Path:
    """The path of a benchmark's file, which is downloaded if it is not on this machine.

    A download with another checksum than the catalogue's is kept and used, with a ChecksumWarning.

    Args:
        info: The benchmark.
        data_dir: The folder to search first, and to download to; it may be a URL.
        offline: Download nothing.
        settings: Settings of the download.

    Returns:
        The path.

    Raises:
        DataError: The file is missing and `offline` is set, or the host sent a web page.
        DownloadError: The download failed.
    """
    path = find_bench_file(info, data_dir)
    if path is not None:
        return path
    if info.shipped:
        raise DataError(
            f"The file of {info.name} is missing from this installation.", hint="Install mmdbench again."
        )
    folders = data_folders(data_dir)
    if offline:
        raise DataError(
            f"{info.name} is not on this machine; the folders are {', '.join(map(str, folders))}.",
            hint=f"Without --offline it is downloaded; or put {info.url} at {folders[0] / info.name}.tsv",
        )
    return _download_bench(info, folders[0], settings or FetchSettings())


def check_file(path: Path, info: BenchInfo, *, url: str = "", record: bool = True) -> CheckedFile:
    """Compute a file's MD5.

    Args:
        path: The file.
        info: The benchmark, whose checksum is the expected one.
        url: The address that it was downloaded from; empty if unknown.
        record: Write the result beside the file, if the folder can be written to.

    Returns:
        The checksum, with the file's size and time of change.
    """
    md5, state = file_hash(path, "md5"), path.stat()
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    checked = CheckedFile(md5, info.md5, state.st_size, state.st_mtime_ns, url, now)
    if record:
        with suppress(StoreError):
            write_atomic(_record_path(path), json.dumps(asdict(checked), indent=1) + "\n")
    return checked


def recorded_check(path: Path, info: BenchInfo) -> CheckedFile | None:
    """The recorded checksum of a file that has not changed since; None if there is none."""
    try:
        record = parse_json(_record_path(path).read_bytes())
        found = replace(read_as(CheckedFile, record), expected_md5=info.md5)
        state = path.stat()
    except (OSError, ValueError, TypeError):
        return None
    return found if (found.bytes, found.mtime_ns) == (state.st_size, state.st_mtime_ns) else None


def _download_bench(info: BenchInfo, folder: Path, settings: FetchSettings) -> Path:
    target = make_folder(folder) / f"{info.name}.tsv"
    url = mirrored(info.url, settings.endpoint)

    def is_published(part: Path) -> bool:
        return not info.md5 or file_hash(part, "md5") in (info.md5, *info.other_md5)

    done = download_to(target, info.name, url, settings, is_published, strict=False)
    if done is not None:
        _warn_about(check_file(target, info, url=url), info, target, done)
    return target


def _warn_about(checked: CheckedFile, info: BenchInfo, target: Path, done: Download) -> None:
    if checked.state != "mismatch":
        return
    known = info.other_md5.get(checked.md5)
    what = f"it is {known}" if known else "its host may have changed it"
    warnings.warn(
        f"{target} ({done.bytes} bytes from {done.url}) has the MD5 {checked.md5}, not {info.md5}: {what}. "
        "It is used, and every result records its MD5.",
        ChecksumWarning,
        stacklevel=5,
    )


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")
