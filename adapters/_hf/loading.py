"""From a card's settings to a model that can be asked: cheap checks first, weights last."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmdbench.errors import MissingExtraError, ModelError, UsageError

from .checkpoint import Checkpoint, file_digest, open_checkpoint
from .families import ModelFamily
from .settings import Settings
from .towers import fill_tower, find_tower

__all__ = [
    "Loaded",
    "check_memory",
    "check_torchvision",
    "load_checkpoint",
    "pick_device",
    "pick_dtype",
    "pixel_limits",
]

_TRANSFORMERS = (5, 20)
_GIB = 2**30
_HEADROOM = 2 * _GIB
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory with its processor; `ends` are the ids that end an answer."""

    checkpoint: Checkpoint
    model: Any
    processor: Any
    device: torch.device
    dtype: torch.dtype
    ends: frozenset[int]
    tower: str


def load_checkpoint(settings: Settings) -> Loaded:
    """Load a checkpoint; all that can be told beforehand is checked before its weights are touched."""
    _check_transformers()
    checkpoint = open_checkpoint(settings)
    check_torchvision(needed_by=settings.repo if checkpoint.family.needs_torchvision else "")
    device = pick_device(settings.device)
    dtype = pick_dtype(settings.dtype, device)
    check_memory(checkpoint.parameters * dtype.itemsize, device, dtype)
    tower = find_tower(settings.vision_tower) if settings.vision_tower else None
    processor = _load_processor(checkpoint, settings)
    model = _load_model(checkpoint, settings, dtype)
    if tower is not None:
        fill_tower(model, tower)
    ends = _quieten(model, processor.tokenizer)
    model.to(device).eval().requires_grad_(False)
    return Loaded(checkpoint, model, processor, device, dtype, ends, _tower_version(tower))


def _tower_version(tower: Path | None) -> str:
    return "" if tower is None else file_digest(tower)


def _check_transformers() -> None:
    from transformers import __version__ as version

    if tuple(int(part) for part in version.split(".")[:2]) < _TRANSFORMERS:
        raise ModelError(
            f"transformers {version} is too old for this adapter.",
            hint="Run: pip install --upgrade 'mmdbench[hf]'",
        )


def check_torchvision(*, needed_by: str) -> None:
    """Refuse a torchvision that does not load, and its absence where a family needs it."""
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


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(
            f"torch knows no device {name!r}.", hint="Set device to auto, cpu, cuda or cuda:1."
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"There is no GPU {name!r} that this torch can use.", hint="Set device to cpu or auto."
        )
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a GPU and float32 elsewhere."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    return _DTYPES[name]


def check_memory(weights: int, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a device that cannot hold `weights` bytes and what asking takes beside them."""
    # A share, so that a small model does not ask for the headroom of a large one.
    need = weights + min(_HEADROOM, weights)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        what = f"{torch.cuda.get_device_name(device)} has {free / _GIB:.1f} GiB free"
    elif device.type == "cpu" and hasattr(os, "sysconf"):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        what = f"this machine has {free / _GIB:.1f} GiB of memory"
    else:
        return
    if free < need:
        smaller = "dtype bfloat16, " if dtype.itemsize > 2 else ""
        raise ModelError(
            f"The model needs about {need / _GIB:.1f} GiB in {str(dtype).removeprefix('torch.')}; {what}.",
            hint=f"Use {smaller}a smaller model, a larger GPU, or end what holds its memory.",
        )


def _load_processor(checkpoint: Checkpoint, settings: Settings) -> Any:
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
            hint="Its tokenizer and processor files must lie beside the weights.",
        ) from error
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise ModelError(
            f"The processor of {settings.repo} ({type(processor).__name__}) takes no images and text."
        )
    if not family.template and not processor.chat_template:
        raise ModelError(
            f"{settings.repo} carries no chat template, and its family {family.name!r} has none of its own.",
            hint="Use the instruction-tuned checkpoint, or name its family in the model card.",
        )
    if pixel_limits(family, settings) and not _takes_limits(processor.image_processor):
        raise UsageError(
            f"{type(processor.image_processor).__name__} brings every picture to a fixed size.",
            hint="Leave min_pixels and max_pixels out of the model card.",
        )
    for name, value in family.switches.items():
        setattr(processor, name, value)
    processor.tokenizer.padding_side = "left"
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


def pixel_limits(family: ModelFamily, settings: Settings) -> dict[str, int]:
    """The fewest and most pixels that a picture is scaled to, where the family or the card says so."""
    own = {"min_pixels": settings.min_pixels, "max_pixels": settings.max_pixels}
    return {**family.image_options, **{key: value for key, value in own.items() if value}}


def _takes_limits(images: Any) -> bool:
    size = dict(images.size)
    return hasattr(images, "min_pixels") or bool(size.get("shortest_edge") and size.get("longest_edge"))


def _load_model(checkpoint: Checkpoint, settings: Settings, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForImageTextToText

    attention = {"attn_implementation": settings.attn} if settings.attn else {}
    try:
        model, report = AutoModelForImageTextToText.from_pretrained(
            checkpoint.repo,
            revision=settings.revision or None,
            dtype=dtype,
            output_loading_info=True,
            **attention,
        )
    except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        raise ModelError(f"Cannot load the weights of {settings.repo}: {error}") from error
    # transformers fills gaps with random numbers and goes on: such a model must never be measured.
    gaps = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if gaps:
        raise ModelError(
            f"{settings.repo} does not hold this model: {len(gaps)} tensors are missing or ill-shaped, "
            f"{gaps[0]} first.",
            hint="Its weights and its config.json must belong to the same release.",
        )
    return model


def _no_chatter(record: logging.LogRecord) -> bool:
    # Said at every batch of a family whose own generate() fills in a length before it hands on.
    return "`max_new_tokens` will take precedence" not in record.getMessage()


def _quieten(model: Any, tokenizer: Any) -> frozenset[int]:
    """Drop the release's generation defaults but its special ids, which are returned if they end a text."""
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
