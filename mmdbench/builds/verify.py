"""Verifies a build: its files and rows against its manifest, its pictures against their source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.builds.build_check import BuildCheck, Checked, Problem
from mmdbench.builds.manifest import BuiltOutput, read_build
from mmdbench.builds.pipeline import default_workers
from mmdbench.builds.plan import BuildPlan
from mmdbench.builds.source_benches import SourceBenches
from mmdbench.builds.verify_images import check_decoded, check_remade
from mmdbench.builds.verify_rows import check_files, check_plan, check_rows
from mmdbench.corruptions.plugins import require_code
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import IncomparableError, StoreError
from mmdbench.system.bounds import require_at_least
from mmdbench.system.images import MAX_PIXELS
from mmdbench.system.opencv import single_threaded_opencv

__all__ = ["Verification", "VerifySettings", "verify_build"]


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification.

    Attributes:
        files: Files checked.
        rows: Rows checked.
        remade: Pictures made again from their source and compared.
        decoded: Pictures without a source, decoded and compared with the log.
        problems: The problems found, each once.
        missing: The reason why a source was not found, by benchmark.
    """

    files: int
    rows: int
    remade: int
    decoded: int
    problems: tuple[Problem, ...]
    missing: Mapping[str, str]


def _silent(done: int, total: int) -> None:
    """Ignore the progress."""


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """Settings of a verification.

    Attributes:
        sample: The number of pictures to check, evenly spread; 0 is all.
        workers: Threads; 0 is one for each CPU.
        max_pixels: The largest picture, in pixels, that is read.
        on_progress: Called with the number of pictures checked so far, and their total.
    """

    sample: int = 0
    workers: int = 0
    max_pixels: int = MAX_PIXELS
    on_progress: Callable[[int, int], None] = _silent

    def __post_init__(self) -> None:
        require_at_least("--max-pixels", self.max_pixels, 1, whole=True)


def verify_build(
    folder: Path,
    sources: SourceBenches,
    settings: VerifySettings | None = None,
) -> Verification:
    """Check every file and row of a build, and make its pictures again.

    Pictures of a benchmark without a source are decoded and compared with the log instead.

    Args:
        folder: The build's folder.
        sources: The benchmarks that it was made from.
        settings: The sample, the threads and the largest picture.

    Returns:
        Counts and problems.

    Raises:
        StoreError: The build is unfinished.
        IncomparableError: The build was made with another spec, so its pictures cannot be made again.
    """
    settings = settings or VerifySettings()
    manifest = read_build(folder)
    _require_verifiable(manifest, folder, sources)
    check = BuildCheck(
        folder,
        BuildPlan.from_dict(manifest["plan"]),
        tuple(BuiltOutput.from_dict(record) for record in manifest["outputs"]),
        {record["name"]: record["family"] for record in manifest["benches"]},
        sources,
        settings.sample,
        settings.workers or default_workers(),
        settings.max_pixels,
        settings.on_progress,
    )
    problems = [problem for output in check.built for problem in check_files(check, output)]
    problems += [problem for output in check.built for problem in check_rows(check, output)]
    problems += check_plan(check)
    found = [sources.found[name] for name in check.families if name in sources.found]
    sourceless = [name for name in check.families if name not in sources.found]
    with single_threaded_opencv():
        remade = _count(check, (check_remade(check, source) for source in found), problems)
        decoded = _count(check, (check_decoded(check, name) for name in sourceless), problems)
    files = sum(1 + len(b.files) for b in check.built)  # 1 for the output's log
    rows = sum(b.rows for b in check.built)
    return Verification(files, rows, remade, decoded, tuple(dict.fromkeys(problems)), sources.missing)


def _require_verifiable(manifest: Mapping[str, Any], folder: Path, sources: SourceBenches) -> None:
    if not manifest["complete"]:
        raise StoreError(
            f"A build must be finished before it is verified; {folder} holds an unfinished one.",
            hint="Run the same build command again.",
        )
    if not sources.found:
        return
    for name, entry in manifest["spec"].get("corruptions", {}).items():
        require_code(name, entry["code"])
    spec = load_spec()
    if manifest["spec"]["digest"] != spec.record(manifest["plan"].get("corruptions", ()))["digest"]:
        raise IncomparableError(
            f"Pictures can be made again only with the spec of the build, version "
            f"{manifest['spec']['version']}; this is version {spec.version}.",
            hint=f"Install mmdbench=={manifest['versions'].get('mmdbench')}, or use --files-only.",
        )


def _count(check: BuildCheck, checks: Iterable[Checked], problems: list[Problem]) -> int:
    """Run the checks of pictures; returns the number of pictures and appends to `problems`."""
    total = min(check.sample or check.pictures(), check.pictures())
    done = 0
    for checked in checks:
        for count, found in checked:
            done += count
            problems += found
            check.on_progress(done, total)
    return done
