"""Results as logs of Inspect, one for each task, which `inspect view` shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmdbench._version import __version__
from mmdbench.report.exports.tasks import ExportedRun, ExportedTask, Sample, standard_error
from mmdbench.system.digest import value_digest
from mmdbench.system.files import make_folder, write_atomic

__all__ = ["write_inspect"]

_SCORER = "mmdbench"
_STOPS = {"ok": "stop", "truncated": "max_tokens", "refused": "content_filter"}
_SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "seed")


def write_inspect(run: ExportedRun, folder: Path, model: str) -> list[Path]:
    """Write `<time>_<task>_<id>.json` for each task.

    Args:
        run: The run.
        folder: The folder to write to.
        model: The model's name, fit for a file; it is part of each id.

    Returns:
        The files.
    """
    make_folder(folder)
    written = []
    for task in run.tasks:
        name = value_digest([model, task.name, run.facts, str(run.asked)])[:22]
        time = run.asked[0].strftime("%Y-%m-%dT%H-%M-%S+00-00")
        path = folder / f"{time}_{task.name.replace('_', '-')}_{name}.json"
        write_atomic(path, json.dumps(_log(run, task, name), indent=1, ensure_ascii=False) + "\n")
        written.append(path)
    return written


def _log(run: ExportedRun, task: ExportedTask, name: str) -> dict[str, Any]:
    samples = [_sample(run, sample) for sample in task.samples()]
    first, last = (time.isoformat() for time in run.asked)
    problem = run.results.problem
    return {
        "version": 2,
        "status": "error" if problem else "success",
        "eval": {
            "eval_id": name,
            "run_id": name,
            "task_id": name,
            "created": first,
            "task": task.name,
            "task_display_name": f"{task.title} {task.level}",
            "task_version": run.facts.get("corruption_spec", "1"),
            "dataset": {
                "name": task.bench,
                "location": task.dataset.place or None,
                "samples": len(samples),
                "sample_ids": [sample["id"] for sample in samples],
                "shuffled": False,
            },
            "model": run.results.model,
            "config": {"epochs": run.results.plan.repeat},
            "packages": {"mmdbench": __version__},
            "metadata": {"level": task.level, **run.facts},
        },
        "plan": {
            "name": "plan",
            "steps": [{"solver": "generate", "params": {}}],
            "config": {k: v for k, v in run.generation.items() if k in _SAMPLING and v is not None},
        },
        "results": _results(task, samples),
        "stats": {"started_at": first, "completed_at": last, "model_usage": _usage(run, samples)},
        # Without a problem there is no such field: Inspect's reader of headers takes no null for one.
        **({"error": _error(problem)} if problem else {}),
        "samples": samples,
    }


def _results(task: ExportedTask, samples: list[dict[str, Any]]) -> dict[str, Any]:
    score = task.score
    values = {
        "accuracy": score.value / 100,
        "stderr": standard_error(score) / 100,
        "ci_low": score.low / 100,
        "ci_high": score.high / 100,
    }
    failed = sum(sample["error"] is not None for sample in samples)
    return {
        "total_samples": len(samples),
        "completed_samples": len(samples) - failed,
        "scores": [
            {
                "name": _SCORER,
                "scorer": _SCORER,
                "scored_samples": len(samples),
                "unscored_samples": 0,
                "params": {},
                "metrics": {n: {"name": n, "value": v, "params": {}} for n, v in values.items()},
            }
        ],
    }


def _sample(run: ExportedRun, sample: Sample) -> dict[str, Any]:
    question, model = sample.question, run.results.model
    said = {"role": "assistant", "content": sample.text, "source": "generate", "model": model}
    answered = sample.status in _STOPS
    output: dict[str, Any] = {"model": model, "choices": [], "completion": sample.text}
    if answered:
        output["choices"] = [{"message": said, "stop_reason": _STOPS[sample.status]}]
        output["usage"] = _tokens(sample)
    reason = sample.reply.reason if sample.reply else "no reply"
    return {
        "id": sample.id,
        "epoch": sample.repeat,
        "input": sample.prompt,
        "choices": list(question.options.values()) or None,
        "target": question.answer,
        "messages": [{"role": "user", "content": sample.prompt, "source": "input"}, *([said] * answered)],
        "output": output,
        "scores": {_SCORER: _score(sample)},
        "metadata": {
            "level": sample.level,
            "corruption": sample.corruption,
            "category": question.category,
            "status": sample.status,
        },
        "total_time": sample.reply.seconds if sample.reply else None,
        "error": None if answered else _error(f"{sample.status}: {reason}"),
    }


def _score(sample: Sample) -> dict[str, Any]:
    value: float | str = {1.0: "C", 0.0: "I"}.get(sample.hit, sample.hit)
    grade = sample.grade
    return {
        "value": value,
        "answer": (grade.label if grade else None) or sample.text[:200],
        "explanation": f"{grade.verdict}, decided by {grade.stage}" if grade else "not graded",
    }


def _tokens(sample: Sample) -> dict[str, int] | None:
    if sample.tokens is None:
        return None
    read, written = sample.tokens
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}


def _usage(run: ExportedRun, samples: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    counted = [sample["output"].get("usage") for sample in samples]
    total: dict[str, int] = {}
    for usage in filter(None, counted):
        for name, count in usage.items():
            total[name] = total.get(name, 0) + count
    return {run.results.model: total} if total else {}


def _error(message: str) -> dict[str, str]:
    return {"message": message, "traceback": "", "traceback_ansi": ""}
