"""`baseline`: a demonstration that looks at pixels. It is NOT a vision-language model.

A detector for 80 kinds of things, a text reader and colour statistics, joined by rules for the
commonest forms of multiple-choice questions. It sees the question, the options and the image,
and says "I don't know." where its rules or its findings end. It exists so that
`mmdbench demo` can run anywhere, without a download, and show what a loss looks like;
its accuracy says nothing about any vision-language model.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from importlib import metadata, util
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mmdbench.errors import MissingExtraError
from mmdbench.records import ImageBytes, Outcome, Request
from mmdbench.system.digest import bytes_digest

from ._baseline.decide import decide
from ._baseline.detector import DETECTOR_SHA256, Detector
from ._baseline.questions import parse
from ._baseline.reader import Reader
from ._baseline.sight import Sight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mmdbench.models.registry import ModelCard

__all__ = ["ADAPTER_VERSION", "UNKNOWN", "BaselineModel", "load"]

ADAPTER_VERSION = "1"
UNKNOWN = "I don't know."
_REMEMBERED = 64


class BaselineModel:
    """The demonstration model; deterministic, and safe to ask from several threads."""

    def __init__(self) -> None:
        self._detector = Detector()
        self._reader = Reader()
        self._lock = threading.Lock()
        self._sights: OrderedDict[str, Sight] = OrderedDict()

    def fingerprint(self) -> dict[str, Any]:
        """JSON-able: adapter, version, weights and the versions of the packages that run them."""
        return {
            "adapter": "baseline",
            "version": ADAPTER_VERSION,
            "detector_sha256": DETECTOR_SHA256,
            "rapidocr": metadata.version("rapidocr"),
            "onnxruntime": metadata.version("onnxruntime"),
        }

    def generate(self, requests: Sequence[Request]) -> list[Outcome]:
        """Answer each request with an option's label or "I don't know."; what goes wrong is a status."""
        return [self._outcome(request) for request in requests]

    def answer(self, question: str, options: Mapping[str, str], image: NDArray[np.uint8]) -> str:
        """The label of an option, or "I don't know.", for an H×W×3 uint8 RGB picture."""
        return _reply(question, options, Sight(lambda: image, self._detector, self._reader))

    def _outcome(self, request: Request) -> Outcome:
        if not request.images:
            return Outcome(text="", status="error", reason="The request has no image.")
        try:
            sight = self._sight(request.images[0])
            sight.check()
            return Outcome(text=_reply(request.question, request.options, sight))
        except Exception as error:  # noqa: BLE001 - one unreadable image must not end a run of thousands
            return Outcome(text="", status="error", reason=f"{type(error).__name__}: {error}")

    def _sight(self, image: ImageBytes) -> Sight:
        key = bytes_digest(image.data)
        with self._lock:
            sight = self._sights.get(key)
            if sight is None:
                sight = self._sights[key] = Sight(lambda: _decode(image.data), self._detector, self._reader)
            self._sights.move_to_end(key)
            while len(self._sights) > _REMEMBERED:
                self._sights.popitem(last=False)
            return sight


def load(card: ModelCard) -> BaselineModel:
    """Open the demonstration model; MissingExtraError without onnxruntime and rapidocr."""
    del card  # it has no settings
    if util.find_spec("onnxruntime") is None or util.find_spec("rapidocr") is None:
        raise MissingExtraError("onnxruntime and rapidocr", extra="demo")
    return BaselineModel()


def _reply(question: str, options: Mapping[str, str], sight: Sight) -> str:
    offered = {label: text for label, text in options.items() if text.strip()}
    if len(offered) < 2:
        return UNKNOWN
    return decide(parse(question, offered), offered, sight) or UNKNOWN


def _decode(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), np.uint8)
