"""The manifest of a run: enough to repeat it, without secrets and without paths of one machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import StoreError
from mmdbench.models.cards import ModelCard
from mmdbench.run.inputs import RunInputs
from mmdbench.scoring import extraction_version
from mmdbench.system.environment import git_state, portable, versions
from mmdbench.system.files import MANIFEST_FILE, write_atomic

__all__ = ["find_manifest", "read_manifest", "run_manifest", "save_manifest"]

_CARD_FIELDS = ("name", "adapter", "model", "endpoint", "options", "generation", "price", "context", "images")


def run_manifest(inputs: RunInputs, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The manifest of a run; sessions, canary and judge are kept from an `earlier` one of its folder."""
    plan, spec = inputs.plan, load_spec()
    kept = {
        key: earlier[key]
        for key in ("sessions", "canary", "judge", "extraction")
        if earlier and key in earlier
    }
    return {
        "kind": "mmdbench run",
        "plan": plan.as_dict()
        | {
            "model": portable(plan.model),
            "benches": [Path(name).name for name in plan.benches],
            "restore": portable(plan.restore),
        },
        "benches": [
            {"name": b.name, "family": b.family, "questions": len(b.questions), "sha256": b.sha256}
            for b in inputs.benches
        ],
        "model": _card_record(inputs.card) | {"fingerprint": portable(dict(inputs.model.fingerprint()))},
        "spec": {"version": spec.version, "digest": spec.digest},
        "versions": versions(),
        "git": git_state(),
        "judge": None,
        "sessions": [],
        # A folder of an earlier version keeps having none, and its report says what is read otherwise now.
        **({} if earlier else {"extraction": extraction_version(plan.extraction)}),
        **kept,
    }


def save_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest into a run's folder."""
    write_atomic(folder / MANIFEST_FILE, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run or of a build. Raises StoreError if there is none or it is damaged."""
    path = folder / MANIFEST_FILE
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise StoreError(
            f"{folder} holds no {MANIFEST_FILE}.", hint="Name the folder of a run or of a build."
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(f"Cannot read {path}: {error}.") from error


def find_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder; None if there is none or it is damaged."""
    try:
        return read_manifest(folder)
    except StoreError:
        return None


def _card_record(card: ModelCard) -> dict[str, Any]:
    """The fields of a model card, without paths of this machine."""
    record = asdict(card)
    return dict(portable({name: record[name] for name in _CARD_FIELDS}))
