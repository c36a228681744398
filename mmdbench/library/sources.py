"""Benchmarks, opened: with a progress bar of downloads and a line on inferred families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmdbench.library.user_interface import ProgressBar, UserInterface

if TYPE_CHECKING:
    from mmdbench.benches import Bench
    from mmdbench.benches.bench import Answers
    from mmdbench.benches.catalog import BenchInfo
    from mmdbench.benches.fetch import FetchSettings

__all__ = ["Sources", "download_progress", "given_columns", "open_benches"]


@dataclass(frozen=True, slots=True)
class Sources:
    """Options that open benchmarks: folders, downloads, the family of a user's file, and its answers.

    `yes` agrees to downloads of more than 1 GB; in a dry run nothing is downloaded, and benchmarks that are
    not on this machine have a stand-in.
    """

    data_dir: Path | None = None
    offline: bool = False
    family: str = ""
    answers: Answers = "check"
    yes: bool = False
    dry_run: bool = False
    image_root: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


def open_benches(names: Sequence[str], sources: Sources, interface: UserInterface) -> list[Bench]:
    """Open benchmarks, download missing ones, and say which families were inferred.

    A file that is not the published one is always named.

    Args:
        names: Names of benchmarks and paths of TSV files.
        sources: Options that open them.
        interface: Shows the progress of downloads, and notes.

    Returns:
        The benchmarks, in the order of the names.
    """
    from mmdbench.benches import open_bench
    from mmdbench.benches.stand_in import stand_in

    benches: list[Bench] = []
    absent: list[BenchInfo] = []
    unlike: list[str] = []
    with download_progress(interface) as settings:
        for name in names:
            info = _absent(name, sources) if sources.dry_run else None
            if info is not None:
                benches.append(stand_in(info))
                absent.append(info)
                continue
            bench = open_bench(
                name,
                data_dir=sources.data_dir,
                offline=sources.offline or sources.dry_run,
                family=sources.family or None,
                settings=settings,
                answers=sources.answers,
                image_root=sources.image_root,
                columns=sources.columns,
            )
            unlike += _difference(bench)
            _note_bench(name, bench, sources, interface)
            benches.append(bench)
    if unlike:
        interface.note_once(f"mmdbench: FILE of {'; '.join(unlike)}.")
    if absent:
        interface.note_once(_absent_note(absent))
    return benches


def _difference(bench: Bench) -> list[str]:
    """The benchmark with the difference of its file from the published one; empty if none is known."""
    from mmdbench.benches.catalog import bench_title, unlike_published

    found = unlike_published(bench.name, len(bench.questions), bench.unpublished_md5)
    return [f"{bench_title(bench.name)}: {found}"] if found else []


def _absent(name: str, sources: Sources) -> BenchInfo | None:
    """The catalogue's entry of a benchmark whose file is not on this machine; None for all else."""
    from mmdbench.benches.catalog import find_bench
    from mmdbench.benches.fetch import find_bench_file
    from mmdbench.errors import DataError, UsageError

    try:
        info = find_bench(name)
    except UsageError:  # no benchmark of the catalogue
        return None
    try:
        found = find_bench_file(info, sources.data_dir)
    except DataError:  # in the data folder at a URL
        return info
    return None if found is not None else info


def _absent_note(absent: Sequence[BenchInfo]) -> str:
    from mmdbench.benches.catalog import bench_title
    from mmdbench.benches.stand_in import PHOTOGRAPHS

    rows = ", ".join(f"{bench_title(info.name)} ({info.rows:,} rows)" for info in absent)
    names = " ".join(info.name for info in absent)
    return (
        f"Not on this machine: {rows}. The published numbers of rows are counted, with the pictures of "
        f"{PHOTOGRAPHS}. To download: mmdbench data get {names}"
    )


def _note_bench(name: str, bench: Bench, sources: Sources, interface: UserInterface) -> None:
    """Show a family that was inferred, and the notes of a benchmark."""
    from mmdbench.benches.catalog import bench_title
    from mmdbench.benches.lookup import looks_like_path

    if looks_like_path(name) and not (sources.family or interface.quiet):
        interface.note_once(f"{bench.name}: family {bench.family} ({bench.family_reason})")
    for note in () if interface.quiet else bench.notes:
        interface.note_once(f"{bench_title(bench.name)}: {note}")


def given_columns(given: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """The map of columns that an option gives, as a table or as texts. Raises UsageError."""
    from mmdbench.benches.column_map import map_text, parse_columns

    if isinstance(given, Mapping):
        return parse_columns([map_text({key: name}) for key, name in given.items()])
    return parse_columns([given] if isinstance(given, str) else given)


@contextmanager
def download_progress(interface: UserInterface) -> Iterator[FetchSettings]:
    """Settings of a download with a progress bar, which appears with the first byte."""
    from mmdbench.benches.fetch import DownloadProgress, FetchSettings

    with ExitStack() as stack:
        bars: list[ProgressBar] = []

        def show(progress: DownloadProgress) -> None:
            if not bars:
                bars.append(stack.enter_context(interface.bar("Download", "MB")))
            megabytes = (progress.done // 1_000_000, (progress.total or progress.done) // 1_000_000)
            bars[0].update(*megabytes, f"{progress.name} {progress.note}".strip())

        yield FetchSettings(progress=show)
