"""Loads a checkpoint: cheap checks first, weights last."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

import torch
from mmdbench.adapters._local import devices

from mmdbench.errors import MissingExtraError, ModelError, UsageError, install_command

from .checkpoint import HfCheckpoint, file_digest, open_checkpoint
from .families import ModelFamily
from .lora import apply_lora, find_lora
from .quantization import BYTES, quantization_options
from .settings import HfSettings
from .vision_tower import fill_tower, find_tower

__all__ = [
    "LoadedModel",
    "check_memory",
    "check_torchvision",
    "load_checkpoint",
    "pixel_limits",
]

_TRANSFORMERS = (5, 20)
_HEADROOM = 2 * 2**30  # bytes


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory with its processor.

    `ends` are the ids that end an answer; `tower` and `lora` are digests, empty where there is none.
    """

    checkpoint: HfCheckpoint
    model: Any
    processor: Any
    device: torch.device
    dtype: torch.dtype
    ends: frozenset[int]
    tower: str
    lora: str = ""


def load_checkpoint(settings: HfSettings) -> LoadedModel:
    """Load a checkpoint; every check that needs no weights comes first. Raises ModelError."""
    _check_transformers()
    checkpoint = open_checkpoint(settings)
    check_torchvision(needed_by=settings.repo if _needs_torchvision(checkpoint) else "")
    device = devices.pick_device(settings.device)
    dtype = devices.pick_dtype(settings.dtype, device)
    weight = BYTES.get(settings.quantization, dtype.itemsize)
    quantised = quantization_options(settings.quantization, dtype, device)
    lora = find_lora(settings.lora) if settings.lora else None
    check_memory(int(checkpoint.parameters * weight), device, dtype)
    tower = find_tower(settings.vision_tower) if settings.vision_tower else None
    processor = _load_processor(checkpoint, settings)
    model = _load_model(checkpoint, settings, dtype, quantised)
    if tower is not None:
        fill_tower(model, tower)
    ends = _quieten(model, processor.tokenizer)
    if lora is not None:
        model = apply_lora(model, lora)
    if not quantised:
        model.to(device)
    model.eval().requires_grad_(False)
    digests = ("" if tower is None else file_digest(tower), "" if lora is None else lora.digest)
    return LoadedModel(checkpoint, model, processor, device, dtype, ends, *digests)


def _check_transformers() -> None:
    from transformers import __version__ as version

    if tuple(int(part) for part in version.split(".")[:2]) < _TRANSFORMERS:
        raise ModelError(
            f"transformers {version} is too old for this adapter.",
            hint=f"Run: {install_command('hf')}",
        )


def _needs_torchvision(checkpoint: HfCheckpoint) -> bool:
    """True if the family says so, or if its processor prepares videos, which torchvision does."""
    from transformers.models.auto.video_processing_auto import (  # type: ignore[attr-defined]
        VIDEO_PROCESSOR_MAPPING_NAMES,
    )

    return checkpoint.family.needs_torchvision or checkpoint.model_type in VIDEO_PROCESSOR_MAPPING_NAMES


def check_torchvision(*, needed_by: str) -> None:
    """Refuse a torchvision that does not load, or its absence if a family needs it."""
    try:
        import torchvision  # noqa: F401
    except ImportError as error:
        if needed_by:
            raise MissingExtraError(
                f"torchvision, which the processor of {needed_by} needs,", "hf"
            ) from error
    except RuntimeError as error:
        raise ModelError(
            f"The installed torchvision does not load beside torch {torch.__version__}: {error}.",
            hint="Install the two together, from one index, as https://pytorch.org/get-started shows.",
        ) from error


def check_memory(weights: int, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a device that cannot hold `weights` bytes and the activations. Raises ModelError.

    Args:
        weights: Bytes of all weights.
        device: The device.
        dtype: The dtype of the weights.
    """
    # A share, so that a small model does not ask for the headroom of a large one.
    need = weights + min(_HEADROOM, weights)
    smaller = "dtype bfloat16, " if dtype.itemsize > 2 else ""
    hint = f"Use {smaller}a smaller model or a larger GPU, or free memory on this one."
    devices.check_memory(need, device, dtype, hint)


def _load_processor(checkpoint: HfCheckpoint, settings: HfSettings) -> Any:
    from transformers import AutoImageProcessor, AutoProcessor

    family, revision = checkpoint.family, settings.revision or None
    try:
        processor = AutoProcessor.from_pretrained(checkpoint.repo, revision=revision)
        if hasattr(processor, "image_processor"):
            # By itself it takes whichever backend is installed, and the two resize differently.
            backend = settings.image_backend or family.image_backend
            limits = pixel_limits(family, settings)
            processor.image_processor = AutoImageProcessor.from_pretrained(
                checkpoint.repo, revision=revision, backend=backend, **limits
            )
    except (OSError, ValueError, TypeError, ImportError, KeyError, AttributeError) as error:
        raise ModelError(
            f"Cannot load the processor of {settings.repo}: {error}",
            hint="Its tokenizer and processor files must be beside the weights.",
        ) from error
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise ModelError(
            f"The processor of {settings.repo} ({type(processor).__name__}) takes no images and text."
        )
    if not family.template and not processor.chat_template:
        raise ModelError(
            f"{settings.repo} has no chat template, and neither has its family {family.name!r}.",
            hint="Use the instruction-tuned checkpoint, or name its family in the model card.",
        )
    if pixel_limits(family, settings) and not _takes_limits(processor.image_processor):
        raise UsageError(
            f"{type(processor.image_processor).__name__} has no bounds of pixels: it scales by another rule.",
            hint="Leave min_pixels and max_pixels out of the model card.",
        )
    _check_backend(settings, processor.image_processor)
    _check_variables(settings, family, processor)
    for name, value in family.switches.items():
        setattr(processor, name, value)
    processor.tokenizer.padding_side = "left"
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


def _check_backend(settings: HfSettings, images: Any) -> None:
    """Refuse a backend that was asked for and replaced, as a family with one of them does."""
    from transformers.image_processing_backends import PilBackend, TorchvisionBackend

    others = {"pil": TorchvisionBackend, "torchvision": PilBackend}
    if settings.image_backend and isinstance(images, others[settings.image_backend]):
        raise UsageError(
            f"{settings.repo} has no image processor for image_backend = {settings.image_backend!r}, "
            f"only {type(images).__name__}.",
            hint="Leave image_backend out of the model card.",
        )


def _check_variables(settings: HfSettings, family: ModelFamily, processor: Any) -> None:
    """Refuse a variable that the chat template does not read: it would change nothing."""
    template = "" if family.template else str(processor.chat_template)
    for name in settings.chat_template:
        if not re.search(rf"\b{re.escape(name)}\b", template):
            raise UsageError(
                f"The prompt of {settings.repo} does not depend on {name!r}, so chat_template.{name} "
                "would change nothing.",
                hint="Leave it out, or take the name from the checkpoint's chat_template.jinja.",
            )


def pixel_limits(family: ModelFamily, settings: HfSettings) -> dict[str, int]:
    """The fewest and most pixels that a picture is scaled to, if the family or the card sets them."""
    own = {"min_pixels": settings.min_pixels, "max_pixels": settings.max_pixels}
    return {**family.image_options, **{key: value for key, value in own.items() if value}}


def _takes_limits(images: Any) -> bool:
    size = dict(images.size or {})  # None where a number of tokens decides, as in Gemma 4
    return hasattr(images, "min_pixels") or bool(size.get("shortest_edge") and size.get("longest_edge"))


def _load_model(
    checkpoint: HfCheckpoint, settings: HfSettings, dtype: torch.dtype, quantised: dict[str, Any]
) -> Any:
    from transformers import AutoModelForImageTextToText

    attention = {"attn_implementation": settings.attn} if settings.attn else {}
    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            checkpoint.repo,
            revision=settings.revision or None,
            dtype=dtype,
            output_loading_info=True,
            **attention,
            **quantised,
        )
    except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        raise ModelError(f"Cannot load the weights of {settings.repo}: {error}") from error
    model, report = loaded
    # transformers fills gaps with random numbers: such a model must never be measured.
    gaps = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if gaps:
        raise ModelError(
            f"{settings.repo} does not hold this model: {len(gaps)} tensors are missing or ill-shaped, the "
            f"first of them {gaps[0]}.",
            hint="Its weights and its config.json must belong to the same release.",
        )
    return model


def _no_chatter(record: logging.LogRecord) -> bool:
    # Logged at every batch of a family whose own generate() sets a length of its own.
    return "`max_new_tokens` will take precedence" not in record.getMessage()


def _quieten(model: Any, tokenizer: Any) -> frozenset[int]:
    """Drop the release's generation defaults except its special ids; returns those that end a text."""
    from transformers import GenerationConfig

    logging.getLogger("transformers.generation.utils").addFilter(_no_chatter)
    found = model.generation_config.eos_token_id
    ids = found if isinstance(found, (list, tuple)) else [found]
    ends = sorted({int(i) for i in (*ids, tokenizer.eos_token_id) if i is not None})
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    return frozenset(ends)
