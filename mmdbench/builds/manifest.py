"""The records of a build: one manifest, and for each output a log of its pictures.

`manifest.json` holds the plan, the benchmarks' files, the versions, and every file with its digest.
`manifests/NAME.jsonl` has a head line, then a line for each row: its index and, for each of its
pictures, the recipe, the drawn parameters, and the digests of its pixels and of its bytes. Neither
holds a time, a user or a path of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.builds.manifest_shape import BuildManifest, Kind, LogHead, LogRow, OutputRecord
from mmdbench.builds.part_files import FileRecord
from mmdbench.builds.plan import BuildPlan, Output
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import StoreError, UsageError
from mmdbench.system.files import MANIFEST_FILE, write_atomic
from mmdbench.system.json_text import parse_json, parse_record
from mmdbench.system.shapes import check_shape

__all__ = [
    "BUILD_KIND",
    "LEFT_OUT",
    "LOG_KIND",
    "BuiltOutput",
    "Identity",
    "describe_differences",
    "read_build",
    "read_log",
    "read_log_head",
    "write_build",
]

BUILD_KIND = "mmdbench build"
LOG_KIND = "mmdbench build log"

LEFT_OUT = "left_out"
"""The key of the reason, in the log, of a row that is left out because its picture cannot be used."""

# A build may be finished with another Python, or with numba or without: no byte depends on them.
_BINDING_VERSIONS = ("mmdbench", "numpy", "opencv", "pillow", "libjpeg", "platform")


@dataclass(frozen=True, slots=True)
class BuiltOutput:
    """A finished output: its counts, its files and its log."""

    output: Output
    rows: int
    pictures: int
    references: int
    no_ops: int
    log: FileRecord
    files: tuple[FileRecord, ...]
    left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The record as a JSON-able dict."""
        record = asdict(self)
        if not self.left_out:
            del record["left_out"]
        return {"name": self.output.name, **record.pop("output"), **record}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> BuiltOutput:
        """Read a record back. Raises ShapeError for one of another shape."""
        check_shape(record, OutputRecord, "output")
        return cls(
            Output(record["bench"], record["level"], record["corruption"]),
            record["rows"],
            record["pictures"],
            record["references"],
            record["no_ops"],
            FileRecord.from_dict(record["log"]),
            tuple(FileRecord.from_dict(r) for r in record["files"]),
            record.get("left_out", 0),
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """The part of a manifest that must agree to resume a build: plan, spec, benchmarks' files, versions."""

    plan: Mapping[str, Any]
    spec: Mapping[str, Any]
    benches: tuple[Mapping[str, Any], ...]
    versions: Mapping[str, str]

    @classmethod
    def of(
        cls, plan: BuildPlan, benches: Sequence[Bench], spec: Spec, versions: Mapping[str, str]
    ) -> Identity:
        """The identity of a build about to start.

        Args:
            plan: The plan.
            benches: Its benchmarks.
            spec: The spec of the corruptions.
            versions: Installed versions by package.

        Returns:
            The identity, as a manifest gives it back.
        """
        records = tuple(_bench_record(bench) for bench in benches)
        # Through JSON, so that it equals the identity read from a manifest.
        named = json.loads(json.dumps(plan.named(benches).as_dict()))
        return cls(named, spec.record(plan.corruptions), records, dict(versions))

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Identity:
        """The identity of the build that a manifest describes."""
        return cls(manifest["plan"], manifest["spec"], tuple(manifest["benches"]), manifest["versions"])

    def as_dict(self) -> dict[str, Any]:
        """The identity as a JSON-able dict, with the keys of a manifest."""
        return asdict(self)


def describe_differences(there: Identity, now: Identity, *, finished: bool) -> list[str]:
    """Describe the differences that keep a build from being resumed.

    Args:
        there: The identity of the build in the folder.
        now: The identity of the build about to start.
        finished: True leaves out the versions, which only matter while rows are made.

    Returns:
        One text for each difference.
    """
    found = _differences("", there.plan, now.plan) + _differences("spec ", there.spec, now.spec)
    for old in there.benches:
        new = next((b for b in now.benches if b["name"] == old["name"]), None)
        if new is not None:
            found += _differences(f"{old['name']} ", old, new)
    if not finished:
        old_versions, new_versions = (
            {k: v for k, v in i.versions.items() if k in _BINDING_VERSIONS} for i in (there, now)
        )
        found += _differences("", old_versions, new_versions)
    return found


def write_build(folder: Path, identity: Identity, built: Sequence[BuiltOutput], *, complete: bool) -> None:
    """Write the manifest of a build, atomically.

    Args:
        folder: The build's folder.
        identity: The identity of the build.
        built: The outputs finished so far.
        complete: True if these are all.
    """
    manifest = {
        "kind": BUILD_KIND,
        "complete": complete,
        **identity.as_dict(),
        "no_ops": sum(b.no_ops for b in built),
        "outputs": [b.as_dict() for b in built],
    }
    write_atomic(folder / MANIFEST_FILE, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def read_build(folder: Path) -> dict[str, Any]:
    """The manifest of a build. Raises UsageError if the folder holds none, StoreError if it is damaged."""
    path = folder / MANIFEST_FILE
    try:
        manifest = parse_json(path.read_bytes())
        check_shape(manifest, Kind, "manifest")
        if manifest["kind"] != BUILD_KIND:
            raise UsageError(
                f"{folder} holds a {manifest['kind']}, not a build.", hint="Name the folder of a build."
            )
        check_shape(manifest, BuildManifest, "manifest")
        missing = {o["bench"] for o in manifest["outputs"]} - {b["name"] for b in manifest["benches"]}
        if missing:
            raise ValueError(f"it has no record of the benchmark {min(missing)!r}")
        return dict(manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder} holds no {MANIFEST_FILE}.", hint="Name the folder of a build.") from None
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
    except UsageError:
        raise
    except ValueError as error:
        raise StoreError(
            f"{path} is not the manifest of a build: {error}.", hint="Build again, into another folder."
        ) from error


def read_log_head(line: bytes) -> dict[str, Any]:
    """The first line of a log. Raises ValueError for anything else."""
    head = parse_record(line)
    check_shape(head, LogHead, "head")
    if head["kind"] != LOG_KIND:
        raise ValueError("not a log of a build")
    return head


def read_log(path: Path, *, left_out: bool = False) -> Iterator[dict[str, Any]]:
    """The rows of a log, without its head; those left out only on demand.

    Raises StoreError for a damaged line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    read_log_head(line)
                    continue
                record = parse_record(line)
                check_shape(record, LogRow, "row")
                if left_out or LEFT_OUT not in record:
                    yield record
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise StoreError(
            f"{path}, line {number}: {error}.", hint="The file is damaged; build again."
        ) from error


def _bench_record(bench: Bench) -> dict[str, Any]:
    record = {
        "name": bench.name,
        "family": bench.family,
        "file": bench.path.name,
        "sha256": bench.sha256,
        "questions": len(bench.questions) - bench.without_picture,
        "without_picture": bench.without_picture,
    }
    return record | ({"source": bench.source} if bench.source else {})


def _differences(prefix: str, there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    keys = [*there, *(key for key in now if key not in there)]
    return [
        f"{prefix}{key} is {_shown(there.get(key))} there, {_shown(now.get(key))} here"
        for key in keys
        if there.get(key) != now.get(key)
    ]


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    text = str(value)
    return "none" if value in (None, "") else text if len(text) <= 60 else text[:12] + "…"
