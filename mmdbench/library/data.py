"""Benchmark files on this machine: listed, downloaded and checked, with the authors' degraded files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdbench.benches.data_files import DataFile
from mmdbench.benches.data_files import get_data as get_benches
from mmdbench.benches.data_files import list_data as list_benches
from mmdbench.benches.data_files import verify_data as verify_benches
from mmdbench.benches.fetch import FetchSettings
from mmdbench.library.downloads import released_files, require_consent, show_missing
from mmdbench.library.sources import download_progress
from mmdbench.library.user_interface import UserInterface
from mmdbench.variants.released_data import (
    DATASET,
    PublishedFile,
    ReleasedState,
    choose_published,
    fetch_published,
    is_released_name,
    list_published,
    local_released,
    released_state,
)

__all__ = ["DATASET", "DataFile", "DataFiles", "ReleasedState", "get_data", "list_data", "verify_data"]

_RELEASED = "released"


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The files of benchmarks, and the authors' degraded files."""

    benches: tuple[DataFile, ...] = ()
    released: tuple[ReleasedState, ...] = ()

    @property
    def published(self) -> bool:
        """True if no file differs from the published one."""
        return "mismatch" not in [*(f.checksum for f in self.benches), *(f.checksum for f in self.released)]


def list_data(data_dir: Path | None = None, *, released: bool = False) -> DataFiles:
    """All benchmarks and the state of their files; with `released` the authors' files as published now."""
    if released:
        return DataFiles(released=tuple(released_state(file, data_dir) for file in list_published()))
    return DataFiles(tuple(list_benches(data_dir)), tuple(local_released(data_dir)))


def get_data(
    names: Sequence[str],
    data_dir: Path | None = None,
    *,
    yes: bool = False,
    interface: UserInterface | None = None,
) -> DataFiles:
    """Download files that are missing; the same call resumes.

    Args:
        names: Benchmarks, sets, and names of the authors' degraded files.
        data_dir: Folder of benchmark files.
        yes: Download more than 1 GB of the authors' files.
        interface: Shows the progress, and asks for consent.

    Returns:
        The files.
    """
    shows = interface or UserInterface()
    released, benches = _split(names)
    with download_progress(shows) as settings:
        states = _get_released(released, data_dir, settings, shows, yes=yes) if released else ()
        found = get_benches(benches, data_dir=data_dir, settings=settings)
    return DataFiles(tuple(found), tuple(states))


def verify_data(names: Sequence[str] = (), data_dir: Path | None = None) -> DataFiles:
    """Compare checksums with those of the published files; of all files without names."""
    released, benches = _split(names)
    here = [PublishedFile(f"{state.name}.tsv", 0) for state in local_released(data_dir)]
    wanted = [name for name in released if name.startswith(_RELEASED)]
    single = [PublishedFile(f"{name}.tsv", 0) for name in released if name not in wanted]
    chosen = [*(choose_published(wanted, here) if names else here), *single]
    states = tuple(released_state(file, data_dir, again=True) for file in chosen)
    found = verify_benches(benches, data_dir=data_dir) if benches or not released else ()
    return DataFiles(tuple(found), states)


def _split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of the authors' degraded files, and the others."""
    parts = [part.strip() for name in names for part in name.split(",") if part.strip()]
    return [p for p in parts if is_released_name(p)], [p for p in parts if not is_released_name(p)]


def _get_released(
    names: Sequence[str],
    data_dir: Path | None,
    settings: FetchSettings,
    interface: UserInterface,
    *,
    yes: bool,
) -> tuple[ReleasedState, ...]:
    chosen = choose_published(names, list_published(settings))
    missing = [file for file in chosen if released_state(file, data_dir).path is None]
    if missing:
        show_missing(released_files(missing), interface)
        require_consent(sum(file.bytes for file in missing), interface, yes=yes)
    return tuple(fetch_published(chosen, data_dir, settings))
