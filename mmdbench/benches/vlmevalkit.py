"""Datasets of VLMEvalKit as benchmarks: `vlmeval:<dataset>`."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from mmdbench.benches.bench import Answers, Bench, read_bench
from mmdbench.benches.catalog import find_bench
from mmdbench.benches.fetch import LMU_DATA, find_file
from mmdbench.benches.vlmevalkit_guard import guarded, kit_module
from mmdbench.errors import DataError, DownloadError, UnknownNameError, UsageError
from mmdbench.scoring.families.circular import CIRCULAR
from mmdbench.scoring.families.mmvet import MMVET
from mmdbench.scoring.families.plain import PLAIN
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.system.secrets import hide_secrets

__all__ = ["open_kit_bench"]

_CIRCULAR_NAMES = ("mmbench", "ccbench", "circular", "mmcr")
_JUDGED = ("VQA", "Y/N", "Caption")
_FOLDER = "vlmeval"


def open_kit_bench(
    name: str,
    data_dir: str | Path | None = None,
    *,
    offline: bool = False,
    family: str | None = None,
    answers: Answers = "check",
) -> Bench:
    """A dataset of VLMEvalKit as a benchmark.

    Its TSV file is read if there is one in the data folders; otherwise VLMEvalKit downloads the
    dataset, with certificates verified. The rows of a dataset without a file are written to one.
    Multiple choice is plain or circular, by VLMEvalKit's own rule of names; open answers are graded by
    a judge, not by the dataset's own metric.

    Args:
        name: The dataset's name in VLMEvalKit.
        data_dir: The folder to search first, and to download to.
        offline: Download nothing.
        family: The family to use in place of the one that follows from the dataset.
        answers: Treatment of right answers; to check them is to leave them as VLMEvalKit does.

    Returns:
        The benchmark.

    Raises:
        UnknownNameError: VLMEvalKit has no such dataset.
        MissingExtraError: VLMEvalKit is not installed.
        UsageError: The dataset is not about single images.
        DownloadError: The dataset is missing and `offline` is set, or VLMEvalKit cannot build it.
    """
    module = kit_module("vlmeval.dataset")
    if name not in module.SUPPORTED_DATASETS:
        raise UnknownNameError("dataset of VLMEvalKit", name, list(module.SUPPORTED_DATASETS))
    if module.DATASET_MODALITY(name) != "IMAGE":
        raise UsageError(f"The dataset {name!r} of VLMEvalKit is not about single images.")
    chosen = family or _family(name, module.DATASET_TYPE(name))
    path = find_file(f"{name}.tsv", data_dir) or find_file(f"{_FOLDER}/{name}.tsv", data_dir)
    if path is None:
        if offline:
            raise DownloadError(
                f"{name}.tsv is not on this machine.", hint="Leave out --offline or --dry-run once."
            )
        path = _fetched(module, name, data_dir)
    return read_bench(path, family=chosen, answers="as is" if answers == "check" else answers)


def _family(name: str, kind: str) -> str | None:
    try:
        return find_bench(name).family
    except UnknownNameError:
        pass
    if kind == "MCQ":
        return (CIRCULAR if any(word in name.lower() for word in _CIRCULAR_NAMES) else PLAIN).name
    return MMVET.name if kind in _JUDGED else None


def _fetched(module: Any, name: str, data_dir: str | Path | None) -> Path:
    with guarded(environment=True):
        if data_dir is not None:
            os.environ[LMU_DATA] = str(make_folder(Path(data_dir)))
        try:
            made = module.build_dataset(name)
        except Exception as error:  # noqa: BLE001 - foreign code, whose message may hold a key
            raise DownloadError(
                f"VLMEvalKit cannot build {name!r}: {type(error).__name__}: {hide_secrets(str(error))}."
            ) from None
        root = Path(os.environ.get(LMU_DATA, "") or Path.home() / LMU_DATA)
    path = find_file(f"{name}.tsv", data_dir)
    if path is not None:
        return path
    if made is None:
        raise DataError(f"VLMEvalKit has no rows for {name!r}.")
    target = make_folder(root / _FOLDER) / f"{name}.tsv"
    write_atomic(target, _as_tsv(made.data, name))
    return target


def _as_tsv(frame: Any, name: str) -> str:
    columns = [str(c) for c in frame.columns if c not in ("image", "image_path")]
    if "image" not in frame and "image_path" not in frame:
        raise DataError(f"The dataset {name!r} of VLMEvalKit has no column of images.")
    buffer = io.StringIO()
    table = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    table.writerow([*columns, "image"])
    for row in frame.to_dict("records"):
        table.writerow([*("" if _is_missing(row[c]) else str(row[c]) for c in columns), _image(row)])
    return buffer.getvalue()


def _is_missing(value: Any) -> bool:
    return bool(value is None or value != value)  # noqa: PLR0124 - NaN differs from itself


def _image(row: dict[str, Any]) -> str:
    held = row.get("image")
    if not _is_missing(held):
        return json.dumps(list(held)) if isinstance(held, list | tuple) else str(held)
    paths = row["image_path"] if isinstance(row["image_path"], list | tuple) else [row["image_path"]]
    read = [base64.b64encode(Path(path).read_bytes()).decode() for path in paths]
    return read[0] if len(read) == 1 else json.dumps(read)
