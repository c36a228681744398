"""Benchmarks, opened: with a progress bar of downloads and a line on inferred families."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdbench.library.user_interface import ProgressBar, UserInterface

if TYPE_CHECKING:
    from mmdbench.benches import Bench
    from mmdbench.benches.bench import Answers
    from mmdbench.benches.fetch import FetchSettings

__all__ = ["Sources", "download_progress", "open_benches"]


@dataclass(frozen=True, slots=True)
class Sources:
    """Options that open benchmarks: folders, downloads, the family of a user's file, and its answers.

    `yes` agrees to downloads of more than 1 GB; in a dry run nothing but clean benchmarks is downloaded.
    """

    data_dir: Path | None = None
    offline: bool = False
    family: str = ""
    answers: Answers = "check"
    yes: bool = False
    dry_run: bool = False
    image_root: Path | None = None


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
    from mmdbench.benches.catalog import bench_title, unlike_published
    from mmdbench.benches.lookup import looks_like_path

    benches = []
    with download_progress(interface) as settings:
        for name in names:
            bench = open_bench(
                name,
                data_dir=sources.data_dir,
                offline=sources.offline,
                family=sources.family or None,
                settings=settings,
                answers=sources.answers,
                image_root=sources.image_root,
            )
            if looks_like_path(name) and not (sources.family or interface.quiet):
                interface.note(f"{bench.name}: family {bench.family} ({bench.family_reason})")
            difference = unlike_published(bench.name, len(bench.questions), bench.unpublished_md5)
            if difference:
                interface.note(f"mmdbench: FILE of {bench_title(bench.name)}: {difference}.")
            for note in () if interface.quiet else bench.notes:
                interface.note(f"{bench_title(bench.name)}: {note}")
            benches.append(bench)
    return benches


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
