"""Tasks of lmms-eval (`.yaml`) as benchmarks: the dataset that a task names, with its columns.

Nothing of a task's Python code is run. Where a task names a function for the question or the answer, the
columns are the usual ones or those of `--column`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdbench.errors import DataError
from mmdbench.system.inner_paths import path_within
from mmdbench.system.yaml_text import parse_yaml

__all__ = ["read_task"]

_FUNCTION = re.compile(r"!function\s+([^\s#]+)")
_COLUMN = re.compile(r"(?:\{\{\s*)?([A-Za-z_][\w-]*)(?:\s*\}\})?")
_FIELDS = {
    "doc_to_text": "question",
    "doc_to_target": "answer",
    "doc_to_visual": "image",
    "doc_to_choice": "options",
}
_SPLITS = ("test_split", "validation_split", "eval_split", "training_split")
_MOST_INCLUDED = 8


def read_task(path: Path) -> tuple[str, dict[str, str]]:
    """The dataset of a task, by its name for `--bench`, and the columns that the task tells.

    Args:
        path: The task's YAML file; `include` is followed in the same folder.

    Returns:
        `hf:owner/name:config:split`, and the map of columns.

    Raises:
        DataError: The file is no task, or its dataset is not on the Hub.
    """
    task = _read(path, path.parent, 0)
    repo, config = task.get("dataset_path"), task.get("dataset_name")
    if not isinstance(repo, str) or "/" not in repo:
        raise DataError(f"{path} names no dataset of the Hub.", hint="A task has dataset_path: owner/name.")
    split = next((task[key] for key in _SPLITS if isinstance(task.get(key), str)), "")
    kwargs = task.get("dataset_kwargs")
    revision = kwargs.get("revision") if isinstance(kwargs, dict) else ""
    columns = {}
    for key, target in _FIELDS.items():
        found = _COLUMN.fullmatch(str(task.get(key, "")).strip())
        if found and found[1] != target:
            columns[target] = found[1]
    parts = [f"hf:{repo}" + (f"@{revision}" if revision else ""), config, split]
    return ":".join(str(part) for part in parts if part), columns


def _read(path: Path, folder: Path, depth: int) -> Mapping[str, Any]:
    try:
        # A tag of lmms-eval; its text tells only that a function is named.
        task = parse_yaml(_FUNCTION.sub(r'"!function \1"', path.read_text("utf-8")))
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{path} is no YAML of a task: {error}.") from error
    if not isinstance(task, dict):
        raise DataError(f"{path} is no task of lmms-eval.")
    included = task.pop("include", None)
    if included is None:
        return task
    inner = path_within(folder, folder / str(included))
    if inner is None or depth >= _MOST_INCLUDED:
        raise DataError(f"{path} includes {included!r}, which is not in its folder.")
    return {**_read(inner, folder, depth + 1), **task}
