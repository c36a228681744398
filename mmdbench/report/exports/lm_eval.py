"""Results in the layout of lm-evaluation-harness: one JSON of scores, and JSON lines of samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmdbench.report.exports.tasks import ExportedRun, ExportedTask, Sample, standard_error
from mmdbench.system.digest import value_digest
from mmdbench.system.files import make_folder, open_atomic, write_atomic

__all__ = ["write_lm_eval"]

_METRIC = "acc"


def write_lm_eval(run: ExportedRun, folder: Path, model: str) -> list[Path]:
    """Write `<model>/results_<time>.json` and `<model>/samples_<task>_<time>.jsonl`.

    Args:
        run: The run.
        folder: The folder to write to.
        model: The model's name, fit for a folder.

    Returns:
        The files.
    """
    place = make_folder(folder / model)
    time = run.asked[1].strftime("%Y-%m-%dT%H-%M-%S.%f")
    results = place / f"results_{time}.json"
    write_atomic(results, json.dumps(_results(run, model), indent=2, ensure_ascii=False) + "\n")
    written = [results]
    for task in run.tasks:
        path = place / f"samples_{task.name}_{time}.jsonl"
        with open_atomic(path) as file:
            for line in _samples(run, task):
                file.write(line.encode("utf-8", "replace"))
        written.append(path)
    return written


def _results(run: ExportedRun, model: str) -> dict[str, Any]:
    tasks, (first, last) = run.tasks, run.asked
    counts = {task.name: sum(1 for _ in task.samples()) for task in tasks}
    return {
        "results": {task.name: _scores(task) for task in tasks},
        "group_subtasks": {task.name: [] for task in tasks},
        "configs": {task.name: _config(run, task) for task in tasks},
        "versions": {task.name: run.facts.get("corruption_spec", "1") for task in tasks},
        "n-shot": {task.name: 0 for task in tasks},
        "higher_is_better": {task.name: {_METRIC: True} for task in tasks},
        "n-samples": {name: {"original": count, "effective": count} for name, count in counts.items()},
        "config": {
            "model": "mmdbench",
            "model_args": "",
            "limit": None,
            "bootstrap_iters": 0,
            "gen_kwargs": dict(run.generation),
            "random_seed": run.results.plan.seed,
        },
        "git_hash": None,
        "date": last.timestamp(),
        "task_hashes": {},
        "model_source": "mmdbench",
        "model_name": run.results.model,
        "model_name_sanitized": model,
        "system_instruction": None,
        "chat_template": None,
        "start_time": first.timestamp(),
        "end_time": last.timestamp(),
        "total_evaluation_time_seconds": str((last - first).total_seconds()),
        "mmdbench": run.facts,
    }


def _scores(task: ExportedTask) -> dict[str, Any]:
    return {
        "alias": f"{task.title} {task.level}",
        f"{_METRIC},none": task.score.value / 100,
        f"{_METRIC}_stderr,none": standard_error(task.score) / 100,
    }


def _config(run: ExportedRun, task: ExportedTask) -> dict[str, Any]:
    return {
        "task": task.name,
        "dataset_path": task.dataset.repo or task.bench,
        "dataset_name": task.dataset.config or None,
        "test_split": task.dataset.split or None,
        "output_type": "generate_until",
        "num_fewshot": 0,
        "repeats": run.results.plan.repeat,
        "metric_list": [{"metric": _METRIC, "aggregation": "mean", "higher_is_better": True}],
        "generation_kwargs": dict(run.generation),
        "metadata": {"level": task.level, **run.facts},
    }


def _samples(run: ExportedRun, task: ExportedTask) -> Iterator[str]:
    for number, sample in enumerate(task.samples()):
        doc = _doc(sample)
        record = {
            "doc_id": number,
            "doc": doc,
            "target": sample.question.answer,
            "arguments": {"gen_args_0": {"arg_0": sample.prompt, "arg_1": dict(run.generation)}},
            "resps": [[sample.text]],
            "filtered_resps": [sample.text],
            "filter": "none",
            "metrics": [_METRIC],
            "doc_hash": value_digest(doc),
            "prompt_hash": value_digest(sample.prompt),
            "target_hash": value_digest(sample.question.answer),
            _METRIC: sample.hit,
        }
        yield json.dumps(record, ensure_ascii=False) + "\n"


def _doc(sample: Sample) -> dict[str, Any]:
    return {
        "id": sample.id,
        "question": sample.question.text,
        "options": sample.question.options,
        "category": sample.question.category,
        "level": sample.level,
        "corruption": sample.corruption,
        "repeat": sample.repeat,
        "status": sample.status,
    }
