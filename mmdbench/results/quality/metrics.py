"""BRISQUE, NIQE and MUSIQ by pyiqa, with files of weights on this machine; nothing is downloaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdbench.errors import DataError, MissingExtraError, ModelError, UnknownNameError
from mmdbench.results.quality.measure import QualityMetric

__all__ = ["LICENCE_NOTICE", "METRICS", "find_weights", "open_metrics"]

LICENCE_NOTICE = (
    "Measured by pyiqa, which is licensed for noncommercial use only (PolyForm Noncommercial 1.0.0). "
    "mmdbench itself is not bound by that licence; your use of these figures is."
)

_WEIGHTS_URL = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights"


METRICS = {
    "brisque": "brisque_svm_weights.pth",
    "niqe": "niqe_modelparameters.mat",
    "musiq": "musiq_koniq_ckpt-e95806b9.pth",
}
"""The name of each metric's file of weights."""


def open_metrics(
    names: Sequence[str], *, weights_dir: Path | None = None, device: str = "auto"
) -> list[QualityMetric]:
    """Load metrics with their weights.

    Args:
        names: Names from `METRICS`; a repeated one is loaded once.
        weights_dir: The folder with the files of weights; by default pyiqa's folder in the torch hub.
        device: A torch device, or `auto`: the GPU if there is one, otherwise the CPU.

    Returns:
        The metrics in the order of `names`.

    Raises:
        UnknownNameError: There is no such metric.
        MissingExtraError: pyiqa is not installed.
        DataError: A file of weights is missing.
        ModelError: pyiqa, torch or a metric cannot be loaded.
    """
    for name in names:
        if name not in METRICS:
            raise UnknownNameError("metric", name, METRICS)
    files = {name: find_weights(name, weights_dir) for name in names}
    pyiqa, torch = _load_pyiqa()
    chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return [_open(name, files[name], pyiqa, torch, chosen) for name in dict.fromkeys(names)]


def find_weights(name: str, weights_dir: Path | None = None) -> Path:
    """The file of a metric's weights: in `weights_dir`, or in pyiqa's folder of the torch hub.

    Raises DataError if the file is missing; the message has the address to fetch it from.
    """
    file = METRICS[name]
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    home = Path(os.environ.get("TORCH_HOME", cache / "torch"))
    folder = (home / "hub" / "pyiqa").expanduser() if weights_dir is None else weights_dir
    if (folder / file).is_file():
        return folder / file
    raise DataError(
        f"The weights of {name} are missing: there is no {file} in {folder}.",
        hint=f"Fetch {file} from {_WEIGHTS_URL} into a folder and name it with --weights-dir, "
        f"or leave {name} out with --metric.",
    )


def _load_pyiqa() -> tuple[Any, Any]:
    for package in ("pyiqa", "torch"):
        if util.find_spec(package) is None:
            raise MissingExtraError(package, "iqa")
    try:
        return import_module("pyiqa"), import_module("torch")
    except (ImportError, RuntimeError) as error:
        # Most often torch and torchvision come from different indices, one of them with CUDA.
        hint = "torch and torchvision must be of one build: reinstall both from the same index."
        if isinstance(error, ModuleNotFoundError):
            hint = f"Run: pip install {error.name}"
        reason = (str(error).splitlines() or [""])[0]
        raise ModelError(f"Cannot load pyiqa: {type(error).__name__}: {reason}.", hint=hint) from error


def _open(name: str, weights: Path, pyiqa: Any, torch: Any, device: str) -> QualityMetric:
    try:
        model = pyiqa.create_metric(name, device=torch.device(device), pretrained_model_path=str(weights))
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise ModelError(
            f"Cannot load {name} with {weights.name} on {device}: {type(error).__name__}: {error}.",
            hint=f"Compare the file with the published one: {_WEIGHTS_URL}",
        ) from error

    def score_images(pixels: NDArray[np.uint8]) -> Sequence[float]:
        batch = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).to(torch.float32) / 255
        with torch.inference_mode():
            return [float(value) for value in model(batch).reshape(-1).tolist()]

    implementation = {
        "package": "pyiqa",
        "version": metadata.version("pyiqa"),
        "torch": str(torch.__version__),
        "device": device.partition(":")[0],
        "weights": weights.name,
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    return QualityMetric(name, implementation, score_images)
