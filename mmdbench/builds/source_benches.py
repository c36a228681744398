"""Finds the benchmarks that a build was made from: by name, by file, and by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench, get_bench_names, open_bench
from mmdbench.benches.converted import named_files
from mmdbench.benches.fetch import find_file
from mmdbench.errors import MmdbenchError, UsageError
from mmdbench.system.inner_paths import plain_name

__all__ = ["SourceBenches", "find_source_benches"]


@dataclass(frozen=True)
class SourceBenches:
    """The benchmarks that were found, by name, and the reason for each that was not."""

    found: Mapping[str, Bench] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def find_source_benches(
    manifest: Mapping[str, Any],
    beside: Path,
    *,
    data_dir: Path | None = None,
    files: Sequence[Path] = (),
    image_root: Path | None = None,
) -> SourceBenches:
    """Find the benchmarks of a build by their records in its manifest; nothing is downloaded.

    Searches, in this order, `files`, the catalogue's places, the working directory, and the folder
    that holds `beside`. Only a file with the recorded digest counts.

    Args:
        manifest: The manifest, or the head of a log.
        beside: The build's folder.
        data_dir: The folder of benchmark files, if given.
        files: Files that the user named.
        image_root: A folder that image files of these may be in beside their own.

    Returns:
        The benchmarks found, and the reasons for those missing.

    Raises:
        UsageError: A file in `files` is not a source of this build.
    """
    found: dict[str, Bench] = {}
    missing: dict[str, str] = {}
    used: set[Path] = set()
    for record in manifest["benches"]:
        reasons = []
        for place in _places(record, beside, data_dir, files):
            try:
                bench = open_bench(
                    place,
                    family=record["family"],
                    data_dir=data_dir,
                    offline=True,
                    answers="any",
                    image_root=image_root,
                )
            except MmdbenchError as error:
                reasons.append(error.message)
                continue
            if bench.sha256 == record["sha256"]:
                found[record["name"]] = _named(bench, record["name"])
                used.add(bench.path)
                break
            reasons.append(f"{bench.path} is another file: its SHA-256 begins with {bench.sha256[:12]}.")
        else:
            missing[record["name"]] = " ".join(reasons) or f"No file {record['file']} was found."
    for path in files:
        if path not in used:
            raise UsageError(f"{path} is not a source of this build.", hint=" ".join(missing.values()))
    return SourceBenches(found, missing)


def _named(bench: Bench, name: str) -> Bench:
    """The benchmark under its name in the build: its file may have been renamed since."""
    if bench.name == name:
        return bench
    return replace(bench, name=name, questions=tuple(replace(q, bench=name) for q in bench.questions))


def _places(
    record: Mapping[str, Any], beside: Path, data_dir: Path | None, files: Sequence[Path]
) -> list[str | Path]:
    places: list[str | Path] = list(files)
    if record["name"] in get_bench_names():
        places.append(record["name"])
    name = plain_name(beside.parent, record["file"], f"The manifest of {beside}")
    candidates = (find_file(name, data_dir), Path(name), beside.parent / name)
    places += named_files(record["name"], data_dir)
    places += [path for path in candidates if path is not None and path.is_file()]
    return places
