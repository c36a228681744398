"""The manifest of a run: enough to repeat it, without secrets and without paths of one machine."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ShapeError, StoreError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.models.endpoints import SERVED_BY, public_name
from mmdbench.records import RunPlan
from mmdbench.run.file_records import file_records
from mmdbench.run.folder import CELLS_FILE, IMAGES, LOGS, PLAN_FILES, ROWS
from mmdbench.run.inputs import RunInputs
from mmdbench.run.manifest_shape import RunManifest
from mmdbench.scoring import extraction_version
from mmdbench.system.digest import canonical_json, with_digest, without_digest
from mmdbench.system.environment import git_state, portable, versions
from mmdbench.system.files import MANIFEST_FILE, REPLY_FILES, write_atomic
from mmdbench.system.inner_paths import refuse_links
from mmdbench.system.json_text import parse_json
from mmdbench.system.shapes import check_shape
from mmdbench.variants.design import count_excluded

__all__ = [
    "RUN_FIELDS",
    "RUN_KIND",
    "find_manifest",
    "mend_manifest",
    "picture_record",
    "read_manifest",
    "require_own_folder",
    "require_run",
    "run_identity",
    "run_manifest",
    "same_run",
    "save_manifest",
]

RUN_FIELDS = ("kind", "plan", "benches", "model", "spec", "restoration", "released")
"""The fields of a manifest that are equal in all parts of one run."""

RUN_KIND = "mmdbench run"
"""The kind of folder that a run's manifest names."""

_COPY = ".manifest-copy.json"
"""The file beside the manifest that holds the same, for the case that the manifest is damaged."""

_KEPT = ("label", "sessions", "canary", "judge", "judges", "judge_sessions", "extraction", "files")
_HISTORY = ("sessions", "judge", "judges", "judge_sessions")
_ESTIMATES = ("price", "context", "images")
"""Fields of a card for estimates; the fingerprint has the rules for pictures that change replies."""

_CARD_FIELDS = ("name", "adapter", "model", "endpoint", "options", "generation", "price", "context", "images")


def run_manifest(inputs: RunInputs, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The manifest of a run; sessions, canary and judges are kept from an `earlier` one of its folder."""
    plan = inputs.plan
    kept = {key: earlier[key] for key in _KEPT if earlier and key in earlier}
    return {
        "kind": RUN_KIND,
        "plan": plan.as_dict()
        | {
            "model": portable(plan.model),
            "benches": [Path(name).name for name in plan.benches],
            "restore": portable(plan.restore),
        },
        "benches": [_bench_record(bench) for bench in inputs.benches],
        "model": _card_record(inputs.card) | {"fingerprint": portable(dict(inputs.model.fingerprint()))},
        "spec": load_spec().record(plan.corruptions),
        **({"excluded": excluded} if (excluded := count_excluded(plan, inputs.benches, load_spec())) else {}),
        "versions": versions(),
        "git": git_state(),
        "judge": None,
        "sessions": [],
        # A folder of an earlier version keeps having none, and its report says what is read otherwise now.
        **({} if earlier else {"extraction": extraction_version(plan.extraction)}),
        **kept,
        **({"label": inputs.settings.label} if inputs.settings.label else {}),
    }


def picture_record(inputs: RunInputs, *, reworded: bool) -> dict[str, Any]:
    """The manifest's fields about prompts and pictures that are not the benchmark's own."""
    pictures = inputs.pictures
    record: dict[str, Any] = {"prompt_override": reworded}
    if pictures.restorer is not None:
        fingerprint = portable(pictures.restorer.fingerprint())
        record["restoration"] = {"fingerprint": fingerprint, "clean": inputs.plan.restore_clean}
    if pictures.released:
        record["released"] = [copy.record() for copy in pictures.released.values()]
    return record


def same_run(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """True if two manifests, read from a file or just made, are of one run."""
    return canonical_json(run_identity(first)) == canonical_json(run_identity(second))


def run_identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are equal in all parts of one run; a model's price and sizes change no reply.

    Where the server has a label (`served_by`), its address is left out.
    """
    fields = {name: _field(manifest, name) for name in RUN_FIELDS}
    model = fields["model"]
    if isinstance(model, dict):
        fields["model"] = {key: value for key, value in model.items() if key not in _ESTIMATES}
    return fields


def _field(manifest: Mapping[str, Any], name: str) -> Any:
    value, server = manifest.get(name), _label_of(manifest)
    if not server or name not in ("plan", "model") or not isinstance(value, Mapping):
        return value
    if name == "plan":
        return {**value, "model": public_name(str(value.get("model")), server)}
    return {**value, "name": public_name(str(value.get("name")), server), "endpoint": ""}


def _label_of(manifest: Mapping[str, Any]) -> str:
    return str((manifest.get("model") or {}).get("options", {}).get(SERVED_BY, ""))


def save_manifest(folder: Path, manifest: Mapping[str, Any], written: Collection[str] = ()) -> dict[str, Any]:
    """Write a manifest into a folder; that of a run gets a digest, records of the run's files, and a copy.

    Args:
        folder: The folder of a run or of a training set.
        manifest: The manifest.
        written: Names or patterns of the run's files that were written since the manifest was.

    Returns:
        The manifest with the records of the files.
    """
    made = dict(manifest)
    if made.get("kind") != RUN_KIND:
        write_atomic(folder / MANIFEST_FILE, _text(made))
        return made
    made["files"] = file_records(folder, made.get("files"), written)
    text = _text(with_digest(made))
    write_atomic(folder / MANIFEST_FILE, text)
    write_atomic(folder / _COPY, text)
    return made


def _text(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run or of a build.

    Raises StoreError if there is none or it is damaged, or if the folder of a run holds a link.
    """
    manifest = _read(folder / MANIFEST_FILE)
    if manifest.get("kind") == RUN_KIND:
        refuse_links(folder)
    return dict(manifest)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(path.read_bytes())
        check_shape(found, dict, "manifest")
        manifest = without_digest(found)
        if manifest.get("kind") == RUN_KIND:
            check_shape(manifest, RunManifest, "manifest")
    except FileNotFoundError:
        raise StoreError(
            f"{path.parent} holds no {path.name}.", hint="Name the folder of a run or of a build."
        ) from None
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise StoreError(
            f"{path} is damaged: {error}.",
            hint="The mmdbench eval command of a run puts a damaged manifest aside and continues.",
        ) from error
    return manifest


def find_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder, None if there is none or the folder of a run holds a link.

    Of a damaged manifest it is what is still known.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        return None
    try:
        manifest = _read(path)
        if manifest.get("kind") == RUN_KIND:
            require_run(folder, manifest)
    except StoreError:
        manifest = _recovered(folder)
    try:
        if manifest.get("kind") == RUN_KIND:
            refuse_links(folder)
    except StoreError:
        return None
    return manifest


def mend_manifest(folder: Path) -> str:
    """Put a damaged manifest of a run aside and write what is still known of it; returns a note, or nothing.

    Call it under the run's lock.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        return ""
    refuse_links(folder)
    try:
        require_run(folder, _read(path))
    except StoreError as error:
        known, damage = find_manifest(folder) or {}, error.message
        if known.get("kind", RUN_KIND) != RUN_KIND or not os.access(path, os.R_OK) or not path.is_file():
            raise
    else:
        return ""
    names = (path.with_name(f"{path.stem}.damaged{number}.json") for number in ("", *range(2, 1000)))
    aside = next(name for name in names if not name.exists())
    write_atomic(aside, path.read_bytes())
    lost = [] if _copy(folder) else [name for name in _HISTORY if name not in known]
    rest = f" without {', '.join(lost)}, of which nothing can be read" if lost else " with all that it held"
    save_manifest(folder, {**known, "kind": RUN_KIND})
    return f"{damage.removesuffix('.')}: it is kept as {aside.name}, and the run continues{rest}"


def _recovered(folder: Path) -> dict[str, Any]:
    """The copy of a damaged manifest; if that is damaged too, the fields that can be read on their own."""
    return _copy(folder) or _readable_fields(folder)


def _copy(folder: Path) -> dict[str, Any] | None:
    """The copy of a manifest; None if it is damaged or missing."""
    try:
        copy = _read(folder / _COPY)
        require_run(folder, copy)
    except StoreError:
        return None
    return copy


def _readable_fields(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        text = (folder / MANIFEST_FILE).read_bytes().decode("utf-8", "replace")
    except OSError:
        return found
    for name in RunManifest.__annotations__:
        _, mark, value = text.partition(f'\n "{name}": ')
        try:
            kept = json.JSONDecoder().raw_decode(value)[0]
        except (ValueError, RecursionError):
            continue
        with suppress(ShapeError):
            check_shape({name: kept} if mark else {}, RunManifest)
            found |= {name: kept} if mark else {}
    return found


def require_run(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raise StoreError unless a folder's manifest is that of a run."""
    kind = str(manifest.get("kind"))
    if kind != RUN_KIND:
        raise StoreError(
            f"{folder} holds no run, but {_thing(kind)}.",
            hint="Name a folder that mmdbench eval made.",
        )


def require_own_folder(folder: Path, plan: RunPlan, card: ModelCard, benches: Sequence[Bench] = ()) -> None:
    """Check that a run may be written to a folder.

    A run's own folder may hold another sample, level, protocol or further benchmarks of the same model.

    Args:
        folder: The folder, which need not exist.
        plan: The plan of the run.
        card: The model of the run.
        benches: The benchmarks of the run, once they are open; the folder must hold one of them.

    Raises:
        UsageError: The folder holds something else.
        StoreError: The folder's manifest is damaged.
    """
    hint = "Name a new folder with -o, or one that holds this run."
    if not (folder / MANIFEST_FILE).exists():
        others = _other_files(folder)
        if others:
            raise UsageError(f"{folder} holds no run, but other files: {', '.join(others[:3])}.", hint=hint)
        refuse_links(folder)
        return
    manifest = _own_manifest(folder)
    if manifest.get("kind") != RUN_KIND:
        raise UsageError(f"{folder} holds {_thing(str(manifest.get('kind')))}, not a run.", hint=hint)
    for what, there, wanted in _identities(manifest, plan, card):
        if there is not None and there != wanted:
            raise UsageError(f"{folder} holds a run of {what} {there}, not of {wanted}.", hint=hint)
    there = manifest.get("benches", ())
    known = {bench[field] for bench in there for field in ("name", "sha256")}
    if known and benches and not known & {word for b in benches for word in (b.name, b.sha256)}:
        names = ", ".join(bench["name"] for bench in there)
        raise UsageError(f"{folder} holds a run of {names}, which this run does not ask.", hint=hint)


def _own_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, or what is known of a damaged one in a folder with the files of a run."""
    known = find_manifest(folder) or {}
    if "kind" in known:
        return known
    if not ((folder / CELLS_FILE).exists() or any(folder.glob(REPLY_FILES))):
        return read_manifest(folder)
    refuse_links(folder)
    return {**known, "kind": RUN_KIND}


def _identities(
    manifest: Mapping[str, Any], plan: RunPlan, card: ModelCard
) -> list[tuple[str, object, object]]:
    model, there, record = manifest.get("model", {}), _field(manifest, "plan") or {}, _card_record(card)
    server = str(card.options.get(SERVED_BY, ""))
    name = portable(plan.model)
    fields = [("the model", there.get("model"), public_name(name, server) if _label_of(manifest) else name)]
    fields += [(f"the model's {name}", model.get(name), record[name]) for name in ("adapter", "model")]
    return [
        *fields,
        ("the task", there.get("task"), plan.task),
        ("the design", there.get("design"), plan.design),
    ]


def _other_files(folder: Path) -> list[str]:
    """Files that no run leaves in a folder before it has a manifest: it plans, logs and keeps pictures."""
    if not folder.is_dir():
        return []
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    own = {*PLAN_FILES, IMAGES, LOGS, ROWS}
    return [name for name in names if name not in own and not fnmatch(name, REPLY_FILES)]


def _thing(kind: str) -> str:
    """The kind in a manifest as a noun: `mmdbench build` → a build."""
    return f"a {kind.removeprefix('mmdbench ')}" if kind.startswith("mmdbench ") else "something else"


def _bench_record(bench: Bench) -> dict[str, Any]:
    """The name, the family, the number of questions, the file digest and the notes of a benchmark."""
    record = {
        "name": bench.name,
        "family": bench.family,
        "questions": len(bench.questions),
        "sha256": bench.sha256,
    }
    # Only a file that is not the published one has its MD5 here.
    record |= {"md5": bench.unpublished_md5} if bench.unpublished_md5 else {}
    record |= {"source": bench.source} if bench.source else {}
    return record | ({"notes": list(bench.notes)} if bench.notes else {})


def _card_record(card: ModelCard) -> dict[str, Any]:
    """The fields of a model card, without paths of this machine."""
    record = asdict(card)
    return dict(portable({name: record[name] for name in _CARD_FIELDS}))
