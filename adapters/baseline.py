"""`baseline`: a demonstration that looks at pixels. It is NOT a vision-language model.

A detector of 80 kinds of objects, a text reader and colour statistics, with rules for the most
common forms of multiple-choice questions. It gets the question, the options and the image, and
answers "I don't know." if no rule applies. It lets `mmdbench demo` run anywhere, without a
download, and show a drop; its accuracy says nothing about any vision-language model.
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

from ._baseline.answer import choose_option
from ._baseline.detector import DETECTOR_SHA256, Detector
from ._baseline.findings import Findings
from ._baseline.questions import parse
from ._baseline.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mmdbench.models.cards import ModelCard

__all__ = ["ADAPTER_VERSION", "UNKNOWN", "BaselineModel", "check_card", "load"]

ADAPTER_VERSION = "1"
UNKNOWN = "I don't know."
_REMEMBERED = 64


class BaselineModel:
    """The demonstration model; deterministic. Several threads may call it at once."""

    def __init__(self) -> None:
        self._detector = Detector()
        self._reader = Reader()
        self._lock = threading.Lock()
        self._findings: OrderedDict[str, Findings] = OrderedDict()

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
        """Answer each request with an option's label or "I don't know."; an error becomes a status."""
        return [self._outcome(request) for request in requests]

    def _outcome(self, request: Request) -> Outcome:
        if not request.images:
            return Outcome(text="", status="error", reason="The request has no image.")
        try:
            findings = self._findings_of(request.images[0])
            findings.check()
            return Outcome(text=_reply(request.question, request.options, findings))
        except Exception as error:  # noqa: BLE001 - one unreadable image must not end a whole run
            return Outcome(text="", status="error", reason=f"{type(error).__name__}: {error}")

    def _findings_of(self, image: ImageBytes) -> Findings:
        key = bytes_digest(image.data)
        with self._lock:
            findings = self._findings.get(key)
            if findings is None:
                findings = self._findings[key] = Findings(
                    lambda: _decode(image.data), self._detector, self._reader
                )
            self._findings.move_to_end(key)
            while len(self._findings) > _REMEMBERED:
                self._findings.popitem(last=False)
            return findings


def load(card: ModelCard) -> BaselineModel:
    """Open the demonstration model; MissingExtraError without onnxruntime and rapidocr."""
    del card  # it has no settings
    if util.find_spec("onnxruntime") is None or util.find_spec("rapidocr") is None:
        raise MissingExtraError("onnxruntime and rapidocr", extra="demo")
    return BaselineModel()


def check_card(card: ModelCard) -> None:
    """Raise MissingExtraError without onnxruntime and rapidocr."""
    load(card)


def _reply(question: str, options: Mapping[str, str], findings: Findings) -> str:
    offered = {label: text for label, text in options.items() if text.strip()}
    if len(offered) < 2:
        return UNKNOWN
    return choose_option(parse(question, offered), offered, findings) or UNKNOWN


def _decode(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), np.uint8)
