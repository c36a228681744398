"""Merging the shards of one run, made on several machines, into one run.

Every shard holds the whole plan and the replies to its part of it, so shards must agree in plan,
model, data and spec. The order of the shards does not matter unless two of them hold different answers to
one request, and a merge can be repeated.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.corruptions.spec_file import described_spec
from mmdbench.errors import IncomparableError, StoreError, UnknownNameError, UsageError
from mmdbench.records import Reply
from mmdbench.run.file_records import require_files
from mmdbench.run.folder import CELLS_FILE, IMAGES, PLAN_FILES, QUESTIONS_FILE, replies_file
from mmdbench.run.generations import read_generation
from mmdbench.run.manifest import read_manifest, require_run, run_identity, save_manifest
from mmdbench.run.served_models import ServedModels
from mmdbench.run.store import read_replies, shard_paths, write_replies
from mmdbench.run.stored_plan import read_cells
from mmdbench.system.files import (
    MANIFEST_FILE,
    REPLY_FILES,
    cannot_write,
    make_folder,
    open_atomic,
    write_atomic,
)
from mmdbench.system.inner_paths import refuse_links
from mmdbench.system.locks import folder_lock

__all__ = ["PREFERENCES", "MergeSummary", "merge_runs"]

PREFERENCES = ("first", "newest")
"""The rules for two answers to one request: that of the run named first, or the one asked last."""

_MERGING = ".merging"
"""A file that says that a folder's files are those of a merge which has not ended."""


@dataclass(frozen=True, slots=True)
class MergeSummary:
    """Counts of a merge: `runs`, their `replies` to the `planned` requests, and `failed` ones among these.

    `different` is the number of requests with different answers in the runs, one of which was preferred.
    `alarm` is a sentence on the served models if they are several by their names, else empty.
    """

    runs: int
    replies: int
    planned: int
    failed: int
    alarm: str = ""
    different: int = 0


def merge_runs(runs: Sequence[Path], out: Path, prefer: str = "") -> MergeSummary:
    """Merge runs into a new folder, or into one that an earlier merge made or began.

    Args:
        runs: The folders of the runs.
        out: The folder of the whole.
        prefer: One of PREFERENCES, for different answers to one request; empty if there should be none.

    Returns:
        Its counts.

    Raises:
        StoreError: A folder holds no run, or a file cannot be read or written.
        IncomparableError: The runs are not parts of one, or hold different answers and none is preferred.
        UsageError: `out` holds anything but a merge.
    """
    if not runs:
        raise UsageError("No run to merge.")
    if prefer not in ("", *PREFERENCES):
        raise UnknownNameError("preference", prefer, PREFERENCES)
    manifests = [read_manifest(run) for run in runs]
    for run, manifest in zip(runs, manifests, strict=True):
        require_run(run, manifest)
        require_files(run, manifest, CELLS_FILE, QUESTIONS_FILE, REPLY_FILES)
        _check_same(runs[0], manifests[0], run, manifest)
    _check_out(runs, out)
    merged = _Merged(prefer)
    for run in runs:
        merged.add(run)
    merged.require_one_answer()
    with folder_lock(make_folder(out), "merging"):
        refuse_links(out)
        write_atomic(out / _MERGING, "")
        for name in PLAN_FILES:
            if (runs[0] / name).exists():
                _copy(runs[0] / name, out / name)
        keys = list(dict.fromkeys(cell.key for cell in read_cells(out, described_spec(*manifests))))
        replies = _write_replies(merged.replies, keys, out)
        _copy_kept(runs, out)
        save_manifest(out, _merged_manifest(runs, manifests))
        (out / _MERGING).unlink(missing_ok=True)
    served = ServedModels()
    for reply in replies:
        served.see(reply.details)
    failed = sum(reply.status == "error" for reply in replies)
    return MergeSummary(len(runs), len(replies), len(keys), failed, served.alarm, len(merged.different))


@dataclass
class _Merged:
    """The replies of several runs by key, and where two of them hold different answers."""

    prefer: str
    replies: dict[str, Reply] = field(default_factory=dict)
    different: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    _runs: dict[str, Path] = field(default_factory=dict)

    def add(self, run: Path) -> None:
        """Add the replies of a run."""
        for key, reply in read_replies(run).items():
            earlier = self.replies.get(key)
            if earlier is None or self._counts(reply, earlier, run):
                self.replies[key], self._runs[key] = reply, run

    def _counts(self, reply: Reply, earlier: Reply, run: Path) -> bool:
        """True if a reply takes the place of that of an earlier run."""
        if reply.generation > earlier.generation:
            self.different.pop(reply.key, None)
        if reply.generation != earlier.generation:
            return reply.generation > earlier.generation
        if "error" in (reply.status, earlier.status):
            return earlier.status == "error"
        if (reply.status, reply.text) == (earlier.status, earlier.text):
            return False
        self.different.setdefault(reply.key, (self._runs[reply.key], run))
        return self.prefer == "newest" and reply.asked > earlier.asked

    def require_one_answer(self) -> None:
        """Raise IncomparableError if there are different answers and none is preferred."""
        if not self.different or self.prefer:
            return
        key, (first, second) = next(iter(self.different.items()))
        cell = self.replies[key].cell
        where = f"{cell.bench} {cell.index} at {cell.level}" + f", {cell.corruption}" * bool(cell.corruption)
        raise IncomparableError(
            f"The runs hold different answers to {len(self.different)} requests, such as {where}, "
            f"in {first} and {second}.",
            hint="Say which count: --prefer first (of the run that is named first) or --prefer newest.",
        )


def _write_replies(merged: Mapping[str, Reply], keys: Sequence[str], out: Path) -> list[Reply]:
    # In the plan's order, so that equal replies make equal files; then those of earlier plans.
    ordered = [key for key in keys if key in merged]
    rest = sorted(merged.keys() - set(ordered))
    write_replies(out / replies_file(), (merged[key] for key in [*ordered, *rest]))
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
        with source.open("rb") as opened, open_atomic(target) as file:
            shutil.copyfileobj(opened, file)
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
    is_ours = (out / MANIFEST_FILE).exists() or (out / _MERGING).exists()
    # A merge that was killed early leaves its lock and what it began to write: hidden files.
    if not is_ours and out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise UsageError(f"{out} is not empty.", hint="Name a new folder.")


def _merged_manifest(runs: Sequence[Path], manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sessions = [session for manifest in manifests for session in manifest.get("sessions", [])]
    generation = min(map(read_generation, manifests), key=lambda one: one.since)
    return {
        **{name: value for name, value in manifests[0].items() if name not in ("generation", "files")},
        **({"generation": generation.as_dict()} if generation.number else {}),
        **_merged_canary(manifests),
        "judge": None,  # a judge's record of one part does not hold for the whole
        "sessions": sorted(sessions, key=lambda session: session.get("begun", "")),
        "merged": [run.name for run in runs],
    }


def _merged_canary(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The canary's record of the first run, with the suspect times of all."""
    records = [dict(manifest["canary"]) for manifest in manifests if manifest.get("canary")]
    suspects = [one for record in records for one in record.get("suspects", ())]
    return {"canary": {**records[0], **({"suspects": suspects} if suspects else {})}} if records else {}
