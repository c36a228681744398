"""The detector of the demonstration model: PicoDet, trained on the 80 classes of COCO."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, resources
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mmdbench.errors import ModelError
from mmdbench.system.digest import bytes_digest

from .vocabulary import COCO

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DETECTOR_SHA256", "DetectedObject", "Detector"]

DETECTOR_SHA256 = "f8788b8b02cf8e34671c8d6a3f3496337fdb8505a1ecda64f6309ea37a0d78bb"
_SIDE = 416
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_FAINTEST = 0.2


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """A detected object: COCO class 0..79, score 0..1, and its box as shares 0..1 of width and height."""

    number: int
    score: float
    box: tuple[float, float, float, float]

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) as shares of the picture's width and height."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2

    @property
    def area(self) -> float:
        """The share 0..1 of the picture that the box covers."""
        x0, y0, x1, y1 = self.box
        return max(x1 - x0, 0.0) * max(y1 - y0, 0.0)


class Detector:
    """Detects objects of the 80 COCO classes in a picture; several threads may call it at once."""

    def __init__(self) -> None:
        onnxruntime: Any = import_module("onnxruntime")
        weights = resources.files("mmdbench.adapters").joinpath("data/picodet.onnx").read_bytes()
        found = bytes_digest(weights)
        if found != DETECTOR_SHA256:
            raise ModelError(
                f"mmdbench/adapters/data/picodet.onnx has SHA-256 {found}, not {DETECTOR_SHA256}.",
                hint="Install mmdbench again.",
            )
        options = onnxruntime.SessionOptions()
        # One thread: requests run in parallel already, and sums keep their order.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(weights, options, providers=providers)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[DetectedObject, ...]:
        """The objects in an H×W×3 uint8 RGB picture with a score of at least 0.2, highest first."""
        height, width = image.shape[:2]
        pixels = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
        batch = np.ascontiguousarray(((pixels - _MEAN) / _STD).transpose(2, 0, 1)[None], np.float32)
        scale = np.array([[_SIDE / height, _SIDE / width]], np.float32)
        rows = self._session.run(None, {"image": batch, "scale_factor": scale})[0]
        size = np.array([width, height, width, height], np.float32)
        things = [
            DetectedObject(int(row[0]), float(row[1]), _corners(row[2:6] / size))
            for row in rows
            if row[1] >= _FAINTEST and 0 <= row[0] < len(COCO)
        ]
        return tuple(sorted(things, key=lambda t: (-t.score, t.number, t.box)))


def _corners(shares: NDArray[np.float32]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(v) for v in np.clip(shares, 0, 1))
    return x0, y0, x1, y1
