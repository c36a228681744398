"""Results for a model's repository on the Hugging Face Hub: `.eval_results/*.yaml` and a `model-index`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mmdbench.errors import UsageError
from mmdbench.records import CLEAN
from mmdbench.report.exports.tasks import ExportedRun, ExportedTask, standard_error
from mmdbench.system.files import make_folder, write_atomic

__all__ = ["write_hub_results"]


def write_hub_results(run: ExportedRun, folder: Path, dataset: str = "") -> list[Path]:
    """Write `.eval_results/<task>.yaml`, and `model-index.yaml` with the metadata for the model's card.

    A leaderboard belongs to a dataset, and a degraded score has no place on that of the clean one. So the
    former are of the dataset that is named, whose tasks are those of a build, or else of clean scores alone.

    Args:
        run: The run.
        folder: The folder to write to: that of the model's repository.
        dataset: The dataset of a build that was published, `owner/name`.

    Returns:
        The files; `model-index.yaml` is the last.
    """
    if dataset and dataset.count("/") != 1:
        raise UsageError(f"--dataset takes owner/name, got {dataset!r}.")
    make_folder(folder)
    written = []
    for task in run.tasks:
        found = _place(task, dataset)
        if found:
            path = make_folder(folder / ".eval_results") / f"{task.name}.yaml"
            write_atomic(path, _yaml([_entry(run, task, found)]))
            written.append(path)
    path = folder / "model-index.yaml"
    write_atomic(path, _yaml({"model-index": [_model(run)]}))
    return [*written, path]


def _place(task: ExportedTask, dataset: str) -> dict[str, str]:
    """The dataset and its task that a leaderboard is of; empty if there is none."""
    if dataset:
        return {"id": dataset, "task_id": task.name}
    if task.level != CLEAN or not task.dataset.repo:
        return {}
    revision = {"revision": task.dataset.revision} if task.dataset.revision else {}
    return {"id": task.dataset.repo, "task_id": task.dataset.config or "default", **revision}


def _entry(run: ExportedRun, task: ExportedTask, place: dict[str, str]) -> dict[str, Any]:
    score = task.score
    return {
        "dataset": place,
        "value": round(score.value, 4),
        "date": run.asked[1].date().isoformat(),
        "notes": f"{task.level}; 95 % interval {score.low:.2f} to {score.high:.2f}; {_settings(run)}",
    }


def _model(run: ExportedRun) -> dict[str, Any]:
    return {"name": run.results.name, "results": [_result(run, task) for task in run.tasks]}


def _result(run: ExportedRun, task: ExportedTask) -> dict[str, Any]:
    found = task.dataset
    known = {"config": found.config, "split": found.split, "revision": found.revision}
    return {
        "task": {"type": "visual-question-answering", "name": f"{task.title} {task.level}"},
        "dataset": {
            "name": f"{task.title} ({task.level})",
            "type": found.repo or task.bench,
            **{name: value for name, value in known.items() if value},
            "args": {"level": task.level, "settings": _settings(run)},
        },
        "metrics": [
            {
                "type": "accuracy",
                "name": f"accuracy, {task.level}",
                "value": round(task.score.value, 4),
                "args": {
                    "standard_error": round(standard_error(task.score), 4),
                    "low": round(task.score.low, 4),
                    "high": round(task.score.high, 4),
                },
            }
        ],
    }


def _settings(run: ExportedRun) -> str:
    shown = ("protocol", "extraction", "judge", "design", "corruption_spec", "sample", "problem")
    return ", ".join(f"{name} {run.facts[name]}" for name in shown if name in run.facts)


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
