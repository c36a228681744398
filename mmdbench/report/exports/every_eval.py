"""Results in the schema of Every Eval Ever 0.3: one JSON of a run, and JSON lines of its samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from mmdbench._version import __version__
from mmdbench.errors import UsageError
from mmdbench.report.exports.tasks import ExportedRun, ExportedTask, Sample, standard_error
from mmdbench.stats import CONFIDENCE
from mmdbench.system.digest import bytes_digest, file_hash, value_digest
from mmdbench.system.files import make_folder, open_atomic, write_atomic

__all__ = ["write_every_eval"]

_VERSION = "0.3.0"
_COLLECTION = "mmdbench"
_UNKNOWN = "unknown"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def write_every_eval(run: ExportedRun, folder: Path, model: str, developer: str = "") -> list[Path]:
    """Write `data/mmdbench/<developer>/<model>/<uuid>.json` and `<uuid>_samples.jsonl`.

    Args:
        run: The run.
        folder: The folder to write to.
        model: The model's name, fit for a folder.
        developer: Its developer; by default that of `developer/name` in its card.

    Returns:
        The files.

    Raises:
        UsageError: The developer is no name of a folder.
    """
    if developer and not _NAME.fullmatch(developer):
        raise UsageError(f"--developer must be one word of letters, digits, . _ -, got {developer!r}.")
    told, name = _model_names(run, model)
    developer = developer or told
    key = value_digest([run.results.model, run.facts, str(run.asked), [task.name for task in run.tasks]])
    uuid = str(UUID(bytes=bytes.fromhex(key)[:16], version=4))
    place = f"data/{_COLLECTION}/{developer}/{name}/{uuid}"
    path, samples = folder / f"{place}.json", folder / f"{place}_samples.jsonl"
    make_folder(path.parent)
    stamp = str(int(run.asked[1].timestamp()))
    evaluation = f"{_COLLECTION}/{developer}/{name}/{stamp}"
    rows = 0
    with open_atomic(samples) as file:
        for line in _samples(run, evaluation, f"{developer}/{name}"):
            file.write(line.encode("utf-8", "replace"))
            rows += 1
    details = {
        "format": "jsonl",
        "file_path": f"{place}_samples.jsonl",
        "hash_algorithm": "sha256",
        "checksum": file_hash(samples, "sha256"),
        "total_rows": rows,
    }
    record = _record(run, evaluation, f"{developer}/{name}", stamp)
    write_atomic(path, json.dumps({**record, "detailed_evaluation_results": details}, indent=2) + "\n")
    return [path, samples]


def _model_names(run: ExportedRun, model: str) -> tuple[str, str]:
    """The developer and the name of the model, from `developer/name` in its card."""
    named = str(run.results.manifest.get("model", {}).get("model", ""))
    developer, slash, name = named.rpartition("/")
    plain = all(map(_NAME.fullmatch, (developer, name)))
    return (developer, name) if slash and plain else (_UNKNOWN, model)


def _record(run: ExportedRun, evaluation: str, model: str, stamp: str) -> dict[str, Any]:
    return {
        "schema_version": _VERSION,
        "evaluation_id": evaluation,
        "evaluation_timestamp": str(int(run.asked[0].timestamp())),
        "retrieved_timestamp": stamp,
        "source_metadata": {
            "source_name": "mmdbench",
            "source_type": "evaluation_run",
            "source_organization_name": _UNKNOWN,
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "mmdbench", "version": __version__, "additional_details": run.facts},
        "model_info": {
            "name": run.results.name,
            "id": model,
            "developer": model.partition("/")[0],
            "additional_details": {"deployment_type": _UNKNOWN, "model_availability": _UNKNOWN},
        },
        "evaluation_results": [_result(run, task) for task in run.tasks],
    }


def _result(run: ExportedRun, task: ExportedTask) -> dict[str, Any]:
    score = task.score
    sampling = {
        k: v for k, v in run.generation.items() if k in ("temperature", "top_p", "top_k") and v is not None
    }
    tokens = run.generation.get("max_tokens")
    arguments = sampling | ({"max_tokens": tokens} if isinstance(tokens, int) else {})
    return {
        "evaluation_result_id": task.name,
        "evaluation_name": task.name,
        "source_data": _source(task),
        "metric_config": {
            "evaluation_description": f"{task.title}, pictures at the level {task.level}",
            "metric_id": "accuracy",
            "metric_name": "Accuracy",
            "metric_kind": "accuracy",
            "metric_unit": "percent",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 100.0,
            "additional_details": {"level": task.level},
        },
        "score_details": {
            "score": score.value,
            "uncertainty": {
                "standard_error": {"value": standard_error(score), "method": "analytic"},
                "confidence_interval": {
                    "lower": score.low,
                    "upper": score.high,
                    "confidence_level": CONFIDENCE,
                    "method": "mmdbench",
                },
                "num_samples": score.n,
            },
        },
        **({"generation_config": {"generation_args": arguments}} if arguments else {}),
    }


def _source(task: ExportedTask) -> Mapping[str, Any]:
    found = task.dataset
    if found.repo:
        extra = {"revision": found.revision, "config": found.config}
        return {
            "dataset_name": task.bench,
            "source_type": "hf_dataset",
            "hf_repo": found.repo,
            **({"hf_split": found.split} if found.split else {}),
            "additional_details": {k: v for k, v in extra.items() if v},
        }
    if found.place.startswith("https://"):
        return {"dataset_name": task.bench, "source_type": "url", "url": [found.place]}
    return {"dataset_name": task.bench, "source_type": "other"}


def _samples(run: ExportedRun, evaluation: str, model: str) -> Iterator[str]:
    for task in run.tasks:
        for sample in task.samples():
            record = {
                "schema_version": _VERSION,
                "evaluation_id": evaluation,
                "model_id": model,
                "evaluation_name": task.name,
                "evaluation_result_id": task.name,
                **_sample(sample),
            }
            yield json.dumps(record, ensure_ascii=False) + "\n"


def _sample(sample: Sample) -> dict[str, Any]:
    question, grade = sample.question, sample.grade
    read = {
        "turn_idx": 0,
        "source": "output.raw",
        "extracted_value": (grade.label if grade else None) or "",
        "extraction_method": grade.stage if grade else "none",
        "is_terminal": True,
    }
    metadata = {"level": sample.level, "corruption": sample.corruption or "", "status": sample.status}
    tokens = sample.tokens
    return {
        "sample_id": str(sample.id) + (f"/repeat{sample.repeat}" if sample.repeat > 1 else ""),
        "sample_hash": bytes_digest((sample.prompt + question.answer).encode("utf-8", "replace")),
        "interaction_type": "single_turn",
        "input": {
            "raw": sample.prompt,
            "reference": [question.answer],
            "choices": list(question.options.values()) or None,
        },
        "output": {"raw": [sample.text]},
        "messages": None,
        "answer_attribution": [read],
        "evaluation": {"score": sample.hit, "is_correct": sample.hit == 1.0},
        "token_usage": tokens
        and {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)},
        "performance": {"latency_ms": sample.reply.seconds * 1000} if sample.reply else None,
        "error": (sample.reply.reason or None) if sample.reply else "no reply",
        "metadata": metadata,
    }
