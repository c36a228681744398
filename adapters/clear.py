"""`clear`: BAGEL and CLEAR from their published files, by our own inference.

docs/clear.md lists the options of a card. Files on the Hub are downloaded by `fetch_files`, before a
model is opened. Files, settings, memory and prompt are checked when it is opened; the weights are loaded
at the first request.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib import util
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdbench.adapters._local.hub import fetch_hub_files, missing_hub_files

from mmdbench.bagel.answers import answer_of, has_answer
from mmdbench.bagel.checkpoint import BASE_FILES, check_base, file_digest, find_weights, read_weights
from mmdbench.bagel.settings import DialogueSettings, Speed
from mmdbench.benches.download import FetchSettings
from mmdbench.errors import MissingExtraError, ModelError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.models.published_text import FoundText, PublishedText, find_published_text
from mmdbench.models.registry import MissingFile
from mmdbench.records import Outcome, Request
from mmdbench.system.digest import bytes_digest, derive_seed
from mmdbench.system.files import make_folder, write_atomic

from ._clear.options import ClearOptions, read_options, with_generation
from ._clear.prompts import INTERLEAVE, THINK
from ._clear.published import hub_files, located

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmdbench.bagel.chunks import Engine
    from mmdbench.bagel.dialogue import DialogueInput, DialogueResult
    from mmdbench.bagel.loading import BagelCheckpoint

__all__ = ["ADAPTER_VERSION", "Clear", "check_card", "fetch_files", "load", "missing_files"]

ADAPTER_VERSION = "1"


class Clear:
    """A BAGEL or CLEAR model. Several threads may call it; it answers one call at a time."""

    def __init__(self, options: ClearOptions, prompt: FoundText | None, checkpoint: BagelCheckpoint) -> None:
        """Prepare a model; its weights are loaded at the first request.

        Args:
            options: The options of the card, with device and dtype resolved.
            prompt: The system prompt, None for none.
            checkpoint: The checked files.
        """
        self.batch_size = options.batch_size
        self._options, self._prompt, self._checkpoint = options, prompt, checkpoint
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._fingerprint = _fingerprint(options, prompt, checkpoint)

    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able: files, settings and prompt; weights by size, header and sampled bytes."""
        return self._fingerprint

    def generate(self, requests: Sequence[Request]) -> list[Outcome]:
        """One outcome for each request, in their order; its details hold all texts and counts."""
        outcomes: list[Outcome] = []
        with self._lock:
            for generation, group in groupby(requests, key=lambda request: dict(request.generation)):
                settings = with_generation(self._options.dialogue, generation)
                outcomes += self._answer(list(group), settings)
        return outcomes

    def _answer(self, requests: list[Request], settings: DialogueSettings) -> list[Outcome]:
        inputs: dict[int, DialogueInput] = {}
        outcomes: dict[int, Outcome] = {}
        for index, request in enumerate(requests):
            try:
                inputs[index] = self._dialogue_input(request)
            except (OSError, ValueError, SyntaxError) as error:
                outcomes[index] = Outcome("", status="error", reason=f"the image cannot be read: {error}")
        waiting = list(inputs)
        while waiting:
            batch = waiting[: self.batch_size]
            results = self._run_dialogues([inputs[i] for i in batch], settings)
            if results is None:
                continue
            waiting = waiting[len(batch) :]
            for index, result in zip(batch, results, strict=True):
                outcomes[index] = self._outcome(requests[index], result)
        return [outcomes[index] for index in range(len(requests))]

    def _run_dialogues(
        self, inputs: list[DialogueInput], settings: DialogueSettings
    ) -> list[DialogueResult] | None:
        """The results; None if memory ran out, and `batch_size` was halved."""
        import torch

        from mmdbench.bagel.dialogue import run_dialogues

        text = None if self._prompt is None else self._prompt.text
        try:
            # TensorFloat-32 would make float32 pictures depend on the kind of GPU.
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                return run_dialogues(self._loaded(), inputs, settings, text)
        except torch.OutOfMemoryError as error:
            if len(inputs) == 1:
                message = "The GPU has too little memory for one request."
                raise ModelError(message, hint="Use a larger one.") from error
            self.batch_size = len(inputs) // 2
        torch.cuda.empty_cache()
        return None

    def _loaded(self) -> Engine:
        if self._engine is None:
            from mmdbench.bagel.loading import load_engine

            from ._local.devices import pick_device, pick_dtype

            device = pick_device(self._options.device)
            dtype = pick_dtype(self._options.dtype, device)
            compiler = "inductor" if self._options.compile else ""
            speed = Speed(skip_pictures=not self._options.keep_images, compiler=compiler)
            self._engine = load_engine(self._checkpoint, device, dtype, speed)
        return self._engine

    def _dialogue_input(self, request: Request) -> DialogueInput:
        from mmdbench.bagel.dialogue import DialogueInput
        from mmdbench.bagel.images import open_picture

        white = self._options.white_background
        pictures = [open_picture(image.data, on_white=white) for image in request.images]
        seed = derive_seed("clear", self._options.seed, request.seed)
        return DialogueInput((*pictures, request.prompt), seed)

    def _outcome(self, request: Request, result: DialogueResult) -> Outcome:
        last = result.texts[-1]
        text = answer_of(last)
        details: dict[str, Any] = {
            "texts": list(result.texts),
            "restorations": result.restorations,
            "stop": result.stop,
            "tokens": list(result.tokens),
            "usage": {"completion": sum(result.tokens)},
            "seconds": {phase: round(value, 4) for phase, value in result.seconds.items()},
            "seed": result.seed,
        }
        if self._options.keep_images and result.pictures:
            details["images"] = self._kept(request.key, result.pictures)
        if result.stop == "token limit" and not has_answer(last):
            limit = f"{result.tokens[-1]} tokens were written without an end"
            return Outcome(text, status="truncated", reason=limit, details=details)
        if not text:
            return Outcome("", status="empty", reason="the last text holds no answer", details=details)
        return Outcome(text, details=details)

    def _kept(self, key: str, pictures: Sequence[Image]) -> list[str]:
        """The pictures as base64 PNG, or the names of the files they were written to."""
        from mmdbench.bagel.images import png_bytes

        encoded = [png_bytes(picture) for picture in pictures]
        if self._options.keep_images == "details":
            return [base64.b64encode(data).decode("ascii") for data in encoded]
        folder = make_folder(Path(self._options.keep_images).expanduser())
        names = [f"{key or bytes_digest(encoded[0])}-{number}.png" for number in range(1, len(encoded) + 1)]
        for name, data in zip(names, encoded, strict=True):
            write_atomic(folder / name, data)
        return names


def load(card: ModelCard) -> Clear:
    """The model of a card: all files are checked now, the weights are loaded at the first request."""
    options = read_options(card)
    _require_packages()
    options = located(options)
    assert isinstance(options.base_dir, Path)
    assert isinstance(options.weights, Path)
    generation = options.dialogue.mode == "interleave"
    check_base(options.base_dir, autoencoder=generation)
    weights = find_weights(options.weights, options.variant)
    read_weights(weights)
    prompt = _prompt(options)

    from mmdbench.bagel.loading import open_checkpoint

    from ._clear.memory import check_memory
    from ._local.devices import pick_device, pick_dtype

    checkpoint = open_checkpoint(options.base_dir, weights, options.sizes, generation=generation)
    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    check_memory(checkpoint, device, dtype)
    resolved = replace(options, device=str(device), dtype=str(dtype).removeprefix("torch."))
    return Clear(resolved, prompt, checkpoint)


def check_card(card: ModelCard) -> None:
    """Raise UsageError for options that do not fit, MissingExtraError without torch and transformers."""
    read_options(card)
    _require_packages()


def missing_files(card: ModelCard) -> tuple[MissingFile, ...]:
    """The files that the card's model needs from the Hub and that are not in its cache, and the prompt.

    Lists the repositories if they are not known to be complete here. Raises UsageError, with the list, if a
    repository holds no weights for the card or several.
    """
    options = read_options(card)
    _require_packages()
    found = [missing for files in hub_files(options).values() for missing in missing_hub_files(files)]
    known = _known_prompt(options)
    if known is not None:
        try:
            _prompt(replace(options, offline=True))
        except ModelError:
            found.append(MissingFile(f"the prompt {known.name}", known.repository, None))
    return tuple(found)


def fetch_files(card: ModelCard, settings: FetchSettings) -> None:
    """Download what `missing_files` names."""
    options = read_options(card)
    _prompt(options)  # the small one first: without it, the others are of no use
    for files in hub_files(options).values():
        fetch_hub_files(files, settings)


def _require_packages() -> None:
    if any(util.find_spec(name) is None for name in ("torch", "transformers", "safetensors")):
        raise MissingExtraError("torch and transformers", "clear")


def _known_prompt(options: ClearOptions) -> PublishedText | None:
    return {"interleave": INTERLEAVE, "think": THINK}.get(options.dialogue.mode)


def _prompt(options: ClearOptions) -> FoundText | None:
    known = _known_prompt(options)
    file, repository = options.system_prompt_file, options.prompt_repository
    if known is not None:
        return find_published_text(known, file=file, repository=repository, offline=options.offline)
    if file is None:
        return None
    if file.is_dir():
        raise UsageError(f"system_prompt_file is the folder {file}; in the mode text it must be a text file.")
    return find_published_text(THINK, file=file)


def _fingerprint(
    options: ClearOptions, prompt: FoundText | None, checkpoint: BagelCheckpoint
) -> dict[str, Any]:
    """Everything that could change a reply; speed, device and folders only change rounding."""
    small = {name: bytes_digest((checkpoint.base / name).read_bytes()) for name in BASE_FILES}
    autoencoder = () if checkpoint.autoencoder is None else checkpoint.autoencoder.files
    dialogue: dict[str, Any] = asdict(options.dialogue)
    if options.dialogue.mode != "interleave":
        for name in ("denoising", "feedback", "latent_source", "max_turns", "consider_think"):
            del dialogue[name]
    return {
        "adapter": "clear",
        "version": ADAPTER_VERSION,
        "weights": [file_digest(file) for file in (*checkpoint.weights.files, *autoencoder)],
        "base_files": small,
        "dialogue": dialogue,
        "sizes": asdict(options.sizes),
        "dtype": options.dtype,
        "seed": options.seed,
        "white_background": options.white_background,
        "system_prompt": None if prompt is None else {"sha256": prompt.sha256, "exact": prompt.exact},
    }
