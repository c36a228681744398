"""Names of a run's folder and of the files in it."""

from __future__ import annotations

from pathlib import Path

from mmdbench.models.endpoints import short_name
from mmdbench.records import ANSWER, RunPlan
from mmdbench.system.digest import value_digest
from mmdbench.system.files import REPLY_FILES

__all__ = [
    "BATCHES",
    "BATCH_JOURNAL",
    "CELLS_FILE",
    "IMAGES",
    "IMAGE_DIGESTS_FILE",
    "JUDGE_HEADS",
    "JUDGE_HEADS_FILES",
    "JUDGE_JOURNAL",
    "LOGS",
    "PLAN_FILES",
    "PREVIEWS",
    "QUALITY_CACHE_FILE",
    "QUALITY_FILE",
    "QUESTIONS_FILE",
    "ROWS",
    "default_folder",
    "folder_name",
    "replies_file",
]

CELLS_FILE = "cells.jsonl"
"""The cells of the latest plan, with the keys of their replies."""

QUESTIONS_FILE = "questions.jsonl"
"""The questions of the latest plan, without their images."""

IMAGE_DIGESTS_FILE = "images.jsonl"
"""Digest of each image file, digest of its pixels and its size."""

PLAN_FILES = (CELLS_FILE, QUESTIONS_FILE, IMAGE_DIGESTS_FILE)
"""The files that planning writes."""

IMAGES = "images"
"""Folder of the pictures that the model made before it answered (`--keep-images`)."""

ROWS = "rows"
"""Folder of the benchmarks that were made from rows with conversations (`mmdbench assign`)."""

LOGS = "logs"
"""Folder of the workers' logs."""

BATCH_JOURNAL = "batches.jsonl"
"""The batches that a run sent to a batch endpoint, written before they are waited for."""

BATCHES = "batches"
"""Folder of the requests in batches that are not collected yet."""

JUDGE_JOURNAL = "judge.jsonl"
"""Everything that judges answered about this run."""

JUDGE_HEADS = "judge-heads.json"
"""The prompt heads that the first judge was asked with; others have a digest in their name."""

JUDGE_HEADS_FILES = "judge-heads*.json"
"""The pattern of the files with prompt heads."""

QUALITY_FILE = "quality.json"
"""The quality metrics of the run's pictures."""

QUALITY_CACHE_FILE = "quality-cache.jsonl"
"""Every quality value that was measured, so that a later call does not measure it again."""

PREVIEWS = ".previews"
"""Folder of small copies of the pictures that were shown; it is hidden, so that it is never uploaded."""

_NAMING_FIELDS = ("model", "design", "corruptions", "seed", "profile", "codec")


def replies_file(worker: str = "0") -> str:
    """The name of a worker's file of replies; `*` as the worker gives the pattern of all of them."""
    return REPLY_FILES.replace("*", worker)


def folder_name(text: str) -> str:
    """A text as the name of a folder: other characters than letters, digits and `-_.+` become `-`.

    >>> folder_name("GPT 4.1 (ours)")
    'GPT-4.1--ours-'
    """
    return "".join(c if c.isalnum() or c in "-_.+" else "-" for c in text)[:80]


def default_folder(plan: RunPlan, label: str = "") -> Path:
    """The default folder of a plan's run, or the one that it has under another label.

    Its name follows from the fields that change every reply. A larger sample, another level or another
    protocol continues in the same folder.

    Args:
        plan: The plan.
        label: Name of the run in tables; empty for the short name of its model.

    Returns:
        The folder.
    """
    # Runs without a restorer or a task keep the names that they had before these fields existed.
    fields = (*_NAMING_FIELDS, "restore", "restore_clean") if plan.restore else _NAMING_FIELDS
    fields = fields if plan.task == ANSWER else (*fields, "task")
    fields = (*fields, "degrade_again") if plan.degrade_again else fields
    naming = {name: value for name, value in plan.as_dict().items() if name in fields}
    benches = "+".join(Path(name).stem for name in plan.benches)
    digest = value_digest({**naming, "benches": list(plan.benches)})[:8]
    safe = folder_name(f"{label or short_name(plan.model)}_{benches}_{plan.design}")
    earlier = sorted(Path("runs").glob(f"*_{digest}"))
    return earlier[0] if earlier else Path("runs") / f"{safe}_{digest}"
