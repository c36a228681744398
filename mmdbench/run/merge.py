"""Merging the shards of one run, made on several machines, into one run.

Every shard holds the whole plan and the replies to its part of it, so shards must agree in plan,
model, data and spec. The order of the shards does not matter, and a merge can be repeated.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.errors import IncomparableError, StoreError, UsageError
from mmdbench.records import Reply
from mmdbench.run.folder import IMAGES, PLAN_FILES, replies_file
from mmdbench.run.generations import read_generation
from mmdbench.run.manifest import read_manifest, require_run, run_identity, save_manifest
from mmdbench.run.plan import read_cells
from mmdbench.run.served_models import ServedModels
from mmdbench.run.store import read_replies, reply_line, shard_paths
from mmdbench.system.files import MANIFEST_FILE, cannot_write, make_folder, open_atomic
from mmdbench.system.locks import folder_lock

__all__ = ["MergeSummary", "merge_runs"]


@dataclass(frozen=True, slots=True)
class MergeSummary:
    """Counts of a merge: `runs`, their `replies` to the `planned` requests, and `failed` ones among these.

    `alarm` is a sentence on the served models if they are several by their names, else empty.
    """

    runs: int
    replies: int
    planned: int
    failed: int
    alarm: str = ""


def merge_runs(runs: Sequence[Path], out: Path) -> MergeSummary:
    """Merge runs into a new folder, or into one that an earlier merge made.

    Raises StoreError for a folder that holds no run, IncomparableError if the runs are not parts of one,
    UsageError if `out` holds anything but a merge.
    """
    if not runs:
        raise UsageError("No run to merge.")
    manifests = [read_manifest(run) for run in runs]
    for run, manifest in zip(runs, manifests, strict=True):
        require_run(run, manifest)
        _check_same(runs[0], manifests[0], run, manifest)
    _check_out(runs, out)
    with folder_lock(make_folder(out), "merging"):
        for name in PLAN_FILES:
            if (runs[0] / name).exists():
                _copy(runs[0] / name, out / name)
        keys = list(dict.fromkeys(cell.key for cell in read_cells(out)))
        replies = _write_replies(runs, keys, out)
        _copy_kept(runs, out)
        save_manifest(out, _merged_manifest(runs, manifests))
    served = ServedModels()
    for reply in replies:
        served.see(reply.details)
    failed = sum(reply.status == "error" for reply in replies)
    return MergeSummary(len(runs), len(replies), len(keys), failed, served.alarm)


def _write_replies(runs: Sequence[Path], keys: Sequence[str], out: Path) -> list[Reply]:
    merged: dict[str, Reply] = {}
    for run in runs:
        for key, reply in read_replies(run).items():
            earlier = merged.get(key)
            newer = reply.generation - (earlier.generation if earlier else 0)
            if earlier is None or newer > 0 or (newer == 0 and earlier.status == "error"):
                merged[key] = reply
    # In the plan's order, so that equal replies make equal files; then those of earlier plans.
    ordered = [key for key in keys if key in merged]
    rest = sorted(merged.keys() - set(ordered))
    with open_atomic(out / replies_file()) as file:
        for key in [*ordered, *rest]:
            file.write(reply_line(merged[key]))
    for path in shard_paths(out):
        if path.name != replies_file():
            try:
                path.unlink()
            except OSError as error:
                raise cannot_write(path, error) from error
    return [merged[key] for key in ordered]


def _copy_kept(runs: Sequence[Path], out: Path) -> None:
    """Copy the pictures that the model made (`--keep-images`), which replies name."""
    for run in runs:
        for picture in sorted((run / IMAGES).glob("[!.]*")):
            target = make_folder(out / IMAGES) / picture.name
            if not target.exists():
                _copy(picture, target)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise StoreError(f"Cannot copy {source} to {target}: {error.strerror or error}.") from error


def _check_same(first: Path, wanted: Mapping[str, Any], run: Path, manifest: Mapping[str, Any]) -> None:
    one, other = run_identity(wanted), run_identity(manifest)
    for name in one:
        if one[name] != other[name]:
            where = _where(one, other, name)
            raise IncomparableError(
                f"{run} and {first} are not parts of one run: they differ in {where}.",
                hint="Merge shards of the same command; compare different runs with mmdbench compare.",
            )


def _where(first: Mapping[str, Any], second: Mapping[str, Any], name: str) -> str:
    a, b = first.get(name), second.get(name)
    if isinstance(a, dict) and isinstance(b, dict):
        fields = [key for key in {**a, **b} if a.get(key) != b.get(key)]
        return f"{name}: {', '.join(fields)}"
    return name


def _check_out(runs: Sequence[Path], out: Path) -> None:
    if out.resolve() in {run.resolve() for run in runs}:
        raise UsageError(f"{out} is one of the runs.", hint="Name a new folder.")
    if (out / MANIFEST_FILE).exists() and "merged" not in read_manifest(out):
        raise UsageError(f"{out} holds a run that no merge made.", hint="Name a new folder.")
    if not (out / MANIFEST_FILE).exists() and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty.", hint="Name a new folder.")


def _merged_manifest(runs: Sequence[Path], manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sessions = [session for manifest in manifests for session in manifest.get("sessions", [])]
    generation = min(map(read_generation, manifests), key=lambda one: one.since)
    return {
        **{name: value for name, value in manifests[0].items() if name != "generation"},
        **({"generation": generation.as_dict()} if generation.number else {}),
        **_merged_canary(manifests),
        "judge": None,  # a judge's record of one part does not hold for the whole
        "sessions": sorted(sessions, key=lambda session: str(session["begun"])),
        "merged": [run.name for run in runs],
    }


def _merged_canary(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The canary's record of the first run, with the suspect times of all."""
    records = [dict(manifest["canary"]) for manifest in manifests if manifest.get("canary")]
    suspects = [one for record in records for one in record.get("suspects", ())]
    return {"canary": {**records[0], **({"suspects": suspects} if suspects else {})}} if records else {}
