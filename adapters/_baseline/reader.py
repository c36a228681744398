"""The text reader of the demonstration model: rapidocr, with the models in its own wheel."""

from __future__ import annotations

import difflib
import threading
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdbench.errors import ModelError

from .vocabulary import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Line", "Reader", "text_similarity"]

_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, with its centre and height as shares 0..1 of the picture."""

    text: str
    centre: tuple[float, float]
    height: float


class Reader:
    """Reads the text in a picture; threads that call it at the same time wait for each other."""

    def __init__(self) -> None:
        rapidocr: Any = import_module("rapidocr")
        folder = Path(rapidocr.__file__).parent / "models"
        missing = [name for name in _MODELS.values() if not (folder / name).is_file()]
        if missing:
            raise ModelError(
                f"rapidocr {metadata.version('rapidocr')} lacks {', '.join(missing)}.",
                hint="Run: pip install rapidocr==3.10.0",
            )
        # With a path for every model rapidocr has nothing to look up or to download.
        params: dict[str, Any] = {f"{part}.model_path": str(folder / name) for part, name in _MODELS.items()}
        params |= {
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        self._engine = rapidocr.RapidOCR(params=params)
        self._lock = threading.Lock()

    def __call__(self, image: NDArray[np.uint8]) -> tuple[Line, ...]:
        """The lines of text in an H×W×3 uint8 RGB picture, from top to bottom."""
        height, width = image.shape[:2]
        if min(height, width) < 8:
            return ()
        with self._lock:
            found = self._engine(np.ascontiguousarray(image[:, :, ::-1]))
        if found.txts is None or found.boxes is None:
            return ()
        lines = []
        for text, corners in zip(found.txts, found.boxes, strict=True):
            box = np.asarray(corners, np.float64) / (width, height)
            x, y = box.mean(axis=0)
            lines.append(Line(str(text), (float(x), float(y)), float(np.ptp(box[:, 1]))))
        return tuple(lines)


def text_similarity(wanted: str, lines: Sequence[Line]) -> float:
    """The part of a wanted text that is in the lines, 0..1; 1 if every word was read exactly."""
    tokens = words(wanted).replace("-", " ").split()
    read = [token for line in lines for token in words(line.text).replace("-", " ").split()]
    if not tokens or not read:
        return 0.0
    together = "".join(read)
    weights = [len(token) for token in tokens]
    parts = [_token_similarity(token, read, together) for token in tokens]
    return sum(w * p for w, p in zip(weights, parts, strict=True)) / sum(weights)


def _token_similarity(token: str, read: Sequence[str], together: str) -> float:
    # Readers drop spaces between words, so a long token may be inside a longer one.
    if token in read or (len(token) >= 4 and token in together):
        return 1.0
    if len(token) < 3:
        return 0.0
    return max(difflib.SequenceMatcher(None, token, other, autojunk=False).ratio() for other in read)
