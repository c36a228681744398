"""The benchmarks that a build was made of, found again: by name, by file, and by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench, get_bench_names, open_bench
from mmdbench.benches.fetch import find_file
from mmdbench.errors import MmdbenchError, UsageError

__all__ = ["Sources", "find_sources"]


@dataclass(frozen=True)
class Sources:
    """The benchmarks that were found, by name, and why each of the others was not."""

    found: Mapping[str, Bench] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def find_sources(
    manifest: Mapping[str, Any], beside: Path, *, data_dir: Path | None = None, files: Sequence[Path] = ()
) -> Sources:
    """Find the sources of a build by what its manifest says of them; nothing is downloaded.

    Looked at, in this order: `files` that were named, the catalogue's places, the present folder,
    and the one that holds the folder `beside`. Only a file with the recorded digest is a source.
    Raises UsageError if a named file is the source of nothing.
    """
    found: dict[str, Bench] = {}
    missing: dict[str, str] = {}
    used: set[Path] = set()
    for record in manifest["benches"]:
        reasons = []
        for place in _places(record, beside, data_dir, files):
            try:
                bench = open_bench(place, family=record["family"], data_dir=data_dir, offline=True)
            except MmdbenchError as error:
                reasons.append(error.message)
                continue
            if bench.sha256 == record["sha256"]:
                found[record["name"]] = _named(bench, record["name"])
                used.add(bench.path)
                break
            reasons.append(f"{bench.path} is another file, its SHA-256 begins with {bench.sha256[:12]}.")
        else:
            missing[record["name"]] = " ".join(reasons) or f"No file {record['file']} was found."
    for path in files:
        if path not in used:
            raise UsageError(f"{path} is not what this build was made of.", hint=" ".join(missing.values()))
    return Sources(found, missing)


def _named(bench: Bench, name: str) -> Bench:
    """The benchmark under the name it had when it was built: its file may have been renamed since."""
    if bench.name == name:
        return bench
    return replace(bench, name=name, questions=tuple(replace(q, bench=name) for q in bench.questions))


def _places(
    record: Mapping[str, Any], beside: Path, data_dir: Path | None, files: Sequence[Path]
) -> list[str | Path]:
    places: list[str | Path] = list(files)
    if record["name"] in get_bench_names():
        places.append(record["name"])
    candidates = (find_file(record["file"], data_dir), Path(record["file"]), beside.parent / record["file"])
    places += [path for path in candidates if path is not None and path.is_file()]
    return places
