"""What was run, written down: enough to run it again, and nothing that is secret or of one machine."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from mmdbench._version import __version__
from mmdbench.benches import Bench
from mmdbench.errors import StoreError
from mmdbench.files import write_atomic
from mmdbench.models import ModelCard
from mmdbench.records import RunPlan
from mmdbench.spec import Spec

__all__ = ["MANIFEST_FILE", "bench_record", "read_manifest", "versions", "write_manifest"]

MANIFEST_FILE = "manifest.json"


def write_manifest(
    folder: Path,
    plan: RunPlan,
    benches: Sequence[Bench],
    card: ModelCard,
    fingerprint: Mapping[str, Any],
    spec: Spec,
) -> None:
    """Write the manifest of a run into its folder."""
    manifest = {
        "kind": "mmdbench run",
        "plan": plan.as_dict() | {"benches": [Path(name).name for name in plan.benches]},
        "benches": [bench_record(bench) for bench in benches],
        "model": {
            "name": card.name,
            "adapter": card.adapter,
            "generation": dict(card.generation),
            "fingerprint": dict(fingerprint),
        },
        "spec": {"version": spec.version, "digest": spec.digest},
        "versions": versions(),
    }
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
    for name in ("numba", "pandas"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
