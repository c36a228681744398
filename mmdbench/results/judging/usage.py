"""Record of what a judge's calls about a run have cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdbench.run.manifest import read_manifest, save_manifest

__all__ = ["record_usage"]


def record_usage(folder: Path, usage: Mapping[str, Any]) -> None:
    """Add the calls, tokens and cost of one command to `judge_sessions` in a run's manifest.

    Call it under the run's lock: a run in progress writes there as well.
    """
    manifest = read_manifest(folder)
    manifest.setdefault("judge_sessions", []).append(dict(usage))
    save_manifest(folder, manifest)
