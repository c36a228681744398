"""Folders of runs: their default place, and the names inside."""

from __future__ import annotations

from pathlib import Path

from mmdbench.records import ANSWER, RunPlan
from mmdbench.system.digest import value_digest

__all__ = ["IMAGES", "default_folder"]

IMAGES = "images"
"""Folder of the pictures that the model made while it answered, where they are kept (`--keep-images`)."""

_NAMED_BY = ("model", "design", "corruptions", "seed", "profile", "codec")


def default_folder(plan: RunPlan) -> Path:
    """Folder of a run without `--out`, named by the settings that change replies.

    Plans that differ only in sample, levels or protocol share a folder, and so their replies.
    """
    # Runs without a restorer or a task keep the names that they had before these settings existed.
    keys = (*_NAMED_BY, "restore", "restore_clean") if plan.restore else _NAMED_BY
    keys = keys if plan.task == ANSWER else (*keys, "task")
    answering = {key: value for key, value in plan.as_dict().items() if key in keys}
    benches = "+".join(Path(name).stem for name in plan.benches)
    digest = value_digest({**answering, "benches": list(plan.benches)})[:8]
    safe = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in f"{plan.model}_{benches}_{plan.design}")
    return Path("runs") / f"{safe[:80]}_{digest}"
