"""Runs a model of VLMEvalKit behind mmdbench's interface: pictures as files, messages, `generate`."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.benches.vlmevalkit_guard import guarded, kit_module, kit_version
from mmdbench.errors import MmdbenchError, ModelError, UnknownNameError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.records import ImageBytes, Outcome, Question, Request
from mmdbench.scoring import OPENS_THOUGHT, begins_thought
from mmdbench.scoring.inference import FAIL_MARKER
from mmdbench.system.digest import bytes_digest
from mmdbench.system.environment import portable
from mmdbench.system.secrets import hide_secrets, names_secret

from .rendered import rendered_prompts

__all__ = ["KitModel", "open_kit_model"]

_NEUTRAL = "mmdbench"  # its classes inspect the benchmark's name, and many fail without one
_WEIGHTS = ("*.safetensors", "*.bin", "*.json", "*.pt", "*.pth", "*.model", "*.jinja")
_ENDS = 1 << 20
_PICTURES_KEPT = 64


@dataclass(frozen=True)
class KitModel:
    """A model made by VLMEvalKit; it gets one request at a time, as in VLMEvalKit."""

    name: str
    inner: Any
    dataset: str
    own_prompts: bool
    identity: Mapping[str, Any]
    folder: Path = field(repr=False)

    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able: adapter, VLMEvalKit's version, the model's name, class and arguments."""
        return self.identity

    def prompt(self, question: Question, default: str) -> str:
        """The benchmark's prompt, or with `own_prompts` that of the model's class for multiple choice."""
        if not self.own_prompts or not question.options:
            return default
        with guarded():
            try:
                if not self.inner.use_custom_prompt(self.dataset):
                    return default
                self.inner.set_dump_image(lambda _line: ["picture"])
                made = self.inner.build_prompt(_line_of(question), dataset=self.dataset)
            except Exception as error:  # noqa: BLE001 - foreign code, whose message may hold a key
                raise ModelError(
                    f"{self.name!r} of VLMEvalKit has no prompt for question {question.index!r} of "
                    f"{self.dataset}: {type(error).__name__}: {hide_secrets(str(error))}.",
                    hint="Leave out --set own_prompts=true to use the benchmark's own prompt.",
                ) from None
        parts = [part["value"] for part in made if part["type"] == "text"] if isinstance(made, list) else []
        return "\n".join(parts) or default

    def generate(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Answer the requests one after the other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Outcome:
        import torch

        self._make_room()
        message = [{"type": "image", "value": self._picture(image)} for image in request.images]
        message.append({"type": "text", "value": _plain_text(request.prompt)})
        # VLMEvalKit switches gradients off once, when it is imported, and the guard puts them back.
        with guarded(), torch.no_grad(), rendered_prompts(self.inner) as rendered:
            _seed(request.seed)
            try:
                made = self.inner.generate(message=message, dataset=self.dataset)
            except Exception as error:  # noqa: BLE001 - foreign code, whose message may hold a key
                raise RuntimeError(f"{type(error).__name__}: {hide_secrets(str(error))}") from None
        details: dict[str, Any] = {}
        if rendered and begins_thought(rendered[-1]):
            details[OPENS_THOUGHT] = True
        if isinstance(made, Mapping):  # a text with its reasoning beside it
            details["vlmeval"] = portable({k: str(v) for k, v in made.items() if k != "prediction"})
            made = made.get("prediction", "")
        text = made if isinstance(made, str) else str(made)
        if FAIL_MARKER in text:
            return Outcome("", "error", f"VLMEvalKit: {hide_secrets(text)[:200]}")
        return Outcome(text, "ok" if text.strip() else "empty", details=details)

    def _picture(self, image: ImageBytes) -> str:
        # The variant's exact bytes, named by their digest, so that no two pictures are mixed up.
        ending = "jpg" if image.mime == "image/jpeg" else image.mime.partition("/")[2]
        path = self.folder / f"{bytes_digest(image.data)}.{ending}"
        if not path.exists():
            path.write_bytes(image.data)
        return str(path)

    def _make_room(self) -> None:
        # Before a request's first picture is written, so that none of its own is deleted.
        for old in sorted(self.folder.iterdir(), key=lambda p: p.stat().st_mtime)[:-_PICTURES_KEPT]:
            old.unlink()


def open_kit_model(card: ModelCard, adapter_version: str) -> KitModel:
    """Make the card's model by VLMEvalKit's own registry."""
    options = dict(card.options)
    dataset = options.pop("dataset", _NEUTRAL)
    own_prompts = options.pop("own_prompts", False)
    if not isinstance(dataset, str) or not isinstance(own_prompts, bool):
        raise UsageError(
            f"{card.name!r}: dataset must be a benchmark's name, and own_prompts true or false.",
            hint="--set dataset=MMStar --set own_prompts=true",
        )
    if own_prompts and dataset == _NEUTRAL:
        raise UsageError(
            f"{card.name!r}: own_prompts needs the benchmark's name.", hint="--set dataset=MMStar"
        )
    known = kit_module("vlmeval.config").supported_VLM
    if card.model not in known:
        raise UnknownNameError("model of VLMEvalKit", card.model, list(known))
    given = {**options, **card.generation}
    with guarded():
        try:
            inner = known[card.model](**given)
        except MmdbenchError:
            raise
        except Exception as error:  # noqa: BLE001 - foreign code, whose message may hold a key
            raise ModelError(
                f"VLMEvalKit cannot make {card.model!r}: {type(error).__name__}: {hide_secrets(str(error))}.",
                hint="Most of its local models need a CUDA device, and some a package of their own.",
            ) from None
    identity = _identity(card, inner, known[card.model], given, adapter_version)
    identity |= {"dataset": dataset, "own_prompts": own_prompts}
    folder = Path(tempfile.mkdtemp(prefix="mmdbench-vlmeval-"))
    model = KitModel(card.model, inner, dataset, own_prompts, identity, folder)
    weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
    return model


def _identity(
    card: ModelCard, inner: Any, maker: Any, given: Mapping[str, Any], adapter_version: str
) -> dict[str, Any]:
    arguments = {**getattr(maker, "keywords", {}), **given}
    return {
        "adapter": "vlmeval",
        "version": adapter_version,
        "vlmevalkit": kit_version(),
        "name": card.model,
        "class": type(inner).__name__,
        "arguments": portable(_jsonable(dict(sorted(arguments.items())))),
        "checkpoint": _folder_digest(arguments.get("model_path")),
    }


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner) for key, inner in value.items() if not names_secret(str(key))}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, str):
        return hide_secrets(value)
    if value is None or isinstance(value, int | float | bool):
        return value
    return getattr(value, "__name__", type(value).__name__)


def _folder_digest(place: Any) -> str:
    """A digest of a checkpoint's folder: names, sizes, both ends of each file; empty for a repository."""
    folder = Path(str(place)) if place else None
    if folder is None or not folder.is_dir():
        return ""
    parts = []
    for path in sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)}):
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_ENDS)
            file.seek(max(0, size - _ENDS))
            parts.append(f"{path.name} {size} {bytes_digest(head)} {bytes_digest(file.read())}")
    return bytes_digest("\n".join(parts).encode())


def _line_of(question: Question) -> Any:
    import pandas as pd

    index = question.index
    return pd.Series({"index": index, **question.fields, "image": "picture"}, dtype=object)


def _plain_text(prompt: str) -> str:
    # VLMEvalKit treats a text that looks like a path or an address as a picture.
    return f"{prompt}\n" if prompt and not any(c.isspace() for c in prompt) else prompt


def _seed(seed: int) -> None:
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % (1 << 32))  # noqa: NPY002 - what foreign code draws from
    torch.manual_seed(seed)
