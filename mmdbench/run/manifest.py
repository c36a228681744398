"""What was run, written down: enough to run it again, and nothing that is secret or of one machine."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path, PureWindowsPath
from typing import Any

from mmdbench._version import __version__
from mmdbench.benches import Bench
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import StoreError
from mmdbench.models.cards import ModelCard
from mmdbench.records import RunPlan
from mmdbench.system.files import write_atomic

__all__ = [
    "MANIFEST_FILE",
    "bench_record",
    "card_record",
    "git_state",
    "portable",
    "read_manifest",
    "run_manifest",
    "save_manifest",
    "versions",
]

MANIFEST_FILE = "manifest.json"


def run_manifest(
    plan: RunPlan,
    benches: Sequence[Bench],
    card: ModelCard,
    fingerprint: Mapping[str, Any],
    spec: Spec,
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The manifest of a run; what its folder has seen before (sessions, canary) is taken from `earlier`."""
    kept = {key: earlier[key] for key in ("sessions", "canary", "judge") if earlier and key in earlier}
    return {
        "kind": "mmdbench run",
        "plan": plan.as_dict()
        | {
            "model": portable(plan.model),
            "benches": [Path(name).name for name in plan.benches],
            "restore": portable(plan.restore),
        },
        "benches": [bench_record(bench) for bench in benches],
        "model": card_record(card) | {"fingerprint": portable(dict(fingerprint))},
        "spec": {"version": spec.version, "digest": spec.digest},
        "versions": versions(),
        "git": git_state(),
        "judge": None,
        "sessions": [],
        **kept,
    }


def save_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest into a run's folder."""
    write_atomic(folder / MANIFEST_FILE, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run or of a build."""
    path = folder / MANIFEST_FILE
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise StoreError(
            f"{folder} holds no {MANIFEST_FILE}.", hint="Name the folder of a run or of a build."
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(f"Cannot read {path}: {error}.") from error


def bench_record(bench: Bench) -> dict[str, Any]:
    """What is kept of a benchmark: its name, family, number of questions and the digest of its file."""
    return {
        "name": bench.name,
        "family": bench.family,
        "questions": len(bench.questions),
        "sha256": bench.sha256,
    }


def card_record(card: ModelCard) -> dict[str, Any]:
    """What is kept of a model card; places on this machine are left out."""
    record: dict[str, Any] = {
        "name": card.name,
        "adapter": card.adapter,
        "model": card.model,
        "endpoint": card.endpoint,
        "options": dict(card.options),
        "generation": dict(card.generation),
        "price": asdict(card.price) if card.price else None,
        "context": card.context,
        "images": dict(card.images),
    }
    return dict(portable(record))


def portable(value: Any) -> Any:
    """The value with every absolute path cut down to its last name.

    >>> portable({"checkpoint": "/home/me/models/tiny", "endpoint": "https://host/v1"})
    {'checkpoint': 'tiny', 'endpoint': 'https://host/v1'}
    """
    if isinstance(value, Path):
        return value.name
    if isinstance(value, str):
        windows = PureWindowsPath(value)
        if value.startswith(("/", "~/")) or (windows.drive and windows.root):
            return windows.name
        return value
    if isinstance(value, Mapping):
        return {str(key): portable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [portable(inner) for inner in value]
    return value


def git_state() -> dict[str, Any] | None:
    """Commit of the source that runs, and whether it was changed since; None for an installed copy."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def versions() -> dict[str, str]:
    """The versions of everything that could move a pixel or a grade."""
    import cv2
    import numpy as np
    from PIL import __version__ as pillow
    from PIL import features

    found = {
        "mmdbench": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": pillow,
        "libjpeg": str(features.version("jpg")),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    for name in ("numba", "pandas", "openai"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
