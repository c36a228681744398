"""Benchmarks for a verb: opened, with a progress bar of downloads and a line on inferred families."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.progress import Bar

if TYPE_CHECKING:
    from mmdbench.benches import Bench
    from mmdbench.benches.bench import Answers
    from mmdbench.benches.fetch import FetchSettings

__all__ = ["Sources", "download_progress", "open_benches"]


@dataclass(frozen=True, slots=True)
class Sources:
    """Options that open benchmarks: their folder, downloads, the family of a user's file, and its answers.

    `yes` agrees to downloads of more than 1 GB; in a dry run nothing but clean benchmarks is downloaded.
    """

    data_dir: Path | None = None
    offline: bool = False
    family: str = ""
    answers: Answers = "check"
    yes: bool = False
    dry_run: bool = False


def open_benches(names: Sequence[str], sources: Sources, *, quiet: bool = False) -> list[Bench]:
    """Open benchmarks, download missing ones, and print the families that were inferred.

    A file that is not the published one is always named.

    Args:
        names: Names of benchmarks and paths of TSV files.
        sources: Options that open them.
        quiet: Print nothing else.

    Returns:
        The benchmarks, in the order of the names.
    """
    from mmdbench.benches import open_bench
    from mmdbench.benches.catalog import unlike_published
    from mmdbench.benches.lookup import looks_like_path

    benches = []
    with download_progress(quiet=quiet) as settings:
        for name in names:
            bench = open_bench(
                name,
                data_dir=sources.data_dir,
                offline=sources.offline,
                family=sources.family or None,
                settings=settings,
                answers=sources.answers,
            )
            if looks_like_path(name) and not (sources.family or quiet):
                say(f"{bench.name}: family {bench.family} ({bench.family_reason})", err=True)
            difference = unlike_published(bench.name, len(bench.questions), bench.unpublished_md5)
            if difference:
                say(f"mmdbench: FILE of {bench.name}: {difference}.", err=True)
            for note in () if quiet else bench.notes:
                say(f"{bench.name}: {note}", err=True)
            benches.append(bench)
    return benches


@contextmanager
def download_progress(*, quiet: bool = False) -> Iterator[FetchSettings]:
    """Settings of a download with a progress bar, which appears with the first byte."""
    from mmdbench.benches.fetch import DownloadProgress, FetchSettings

    bars: list[Bar] = []

    def show(progress: DownloadProgress) -> None:
        if not bars:
            bars.append(Bar("Download", quiet=quiet, unit="MB").__enter__())
        megabytes = (progress.done // 1_000_000, (progress.total or progress.done) // 1_000_000)
        bars[0].update(*megabytes, f"{progress.name} {progress.note}".strip())

    try:
        yield FetchSettings(progress=show)
    finally:
        for bar in bars:
            bar.__exit__(None, None, None)
