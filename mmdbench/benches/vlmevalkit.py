"""Datasets of VLMEvalKit as benchmarks of ours: `vlmeval:<its name there>`."""

from __future__ import annotations

import base64
import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmdbench.benches.bench import Bench, read_bench
from mmdbench.benches.catalog import find_bench
from mmdbench.benches.fetch import LMU_DATA, find_file
from mmdbench.benches.tsv_reader import ReadLimits
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
    limits: ReadLimits | None = None,
) -> Bench:
    """A dataset that VLMEvalKit knows, as a benchmark.

    Its TSV file is read as it is where one lies, in the usual places; else VLMEvalKit gets the
    dataset, with certificates verified. A dataset whose class makes its rows itself is written
    down once as a TSV file beside the others. Multiple choice becomes plain or circular, as
    VLMEvalKit decides it by name; datasets with open answers are graded by a judge, and not by
    their own metric there. Raises UnknownNameError, MissingExtraError, UsageError for a dataset
    without pictures, DownloadError.
    """
    module = kit_module("vlmeval.dataset")
    if name not in module.SUPPORTED_DATASETS:
        raise UnknownNameError("dataset of VLMEvalKit", name, list(module.SUPPORTED_DATASETS))
    if module.DATASET_MODALITY(name) != "IMAGE":
        raise UsageError(f"The dataset {name!r} of VLMEvalKit is not about single pictures.")
    chosen = family or _family(name, module.DATASET_TYPE(name))
    path = find_file(f"{name}.tsv", data_dir) or find_file(f"{_FOLDER}/{name}.tsv", data_dir)
    if path is None:
        if offline:
            raise DownloadError(f"{name}.tsv is not at hand.", hint="Run once without --offline.")
        path = _fetched(module, name, data_dir)
    return read_bench(path, family=chosen, limits=limits)


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
    write_atomic(target, "".join(_lines(made.data, name)))
    return target


def _lines(frame: Any, name: str) -> Iterator[str]:
    columns = [str(c) for c in frame.columns if c not in ("image", "image_path")]
    if "image" not in frame and "image_path" not in frame:
        raise DataError(f"The dataset {name!r} of VLMEvalKit has no column of pictures.")
    yield _line([*columns, "image"])
    for row in frame.to_dict("records"):
        yield _line([*(_cell(row[c]) for c in columns), _image(row)])


def _line(cells: list[str]) -> str:
    import io

    buffer = io.StringIO()
    csv.writer(buffer, delimiter="\t", lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    return "" if value is None or value != value else str(value)  # noqa: PLR0124 - NaN differs from itself


def _image(row: dict[str, Any]) -> str:
    held = row.get("image")
    if held is not None and held == held:  # noqa: PLR0124
        return json.dumps(list(held)) if isinstance(held, list | tuple) else str(held)
    paths = row["image_path"]
    read = [base64.b64encode(Path(p).read_bytes()).decode() for p in _several(paths)]
    return read[0] if len(read) == 1 else json.dumps(read)


def _several(paths: Any) -> list[str]:
    return [str(p) for p in paths] if isinstance(paths, list | tuple) else [str(paths)]
