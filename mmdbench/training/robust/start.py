"""The model of a Robust-R1 training before it is loaded: its digests, and what the training needs."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

from mmdbench.bagel.checkpoint import file_digest
from mmdbench.errors import ModelError
from mmdbench.system.images import picture_size
from mmdbench.system.weights_header import Entry, read_header
from mmdbench.training.config import HardwareSettings
from mmdbench.training.footprint import Footprint, Work, count_parameters
from mmdbench.training.robust.profiles import VISION, ChainGrpoProfile, ChainSftProfile
from mmdbench.training.training_format import TrainingRecord, read_records

__all__ = ["forecast_training", "model_digests"]

_TOKEN_PIXELS = 28 * 28
_CHARACTERS_PER_TOKEN = 4
_INSTRUCTION_TOKENS = 120


def model_digests(folder: Path) -> list[dict[str, Any]]:
    """The digests of the weights in a folder. Raises ModelError if it holds none."""
    return [file_digest(file) for file in _weights(folder)]


def forecast_training(
    folder: Path, data: Path, profile: ChainSftProfile | ChainGrpoProfile, hardware: HardwareSettings
) -> Footprint:
    """The memory and the time of a training; tokens are estimated from characters and pixels.

    Args:
        folder: The folder of the model.
        data: The file with the records.
        profile: All settings.
        hardware: The machine.

    Returns:
        The forecast. It takes every completion to be as long as it may be, and counts operations alone:
        writing texts token by token takes longer than that.
    """
    entries: dict[str, Entry] = {}
    for file in _weights(folder):
        entries |= read_header(file)
    records = list(read_records(data))
    tokens = [_tokens(record, data) for record in records]
    own = profile.optimiser
    group = profile.group if isinstance(profile, ChainGrpoProfile) else 1
    samples = own.batch * own.accumulation * hardware.gpus
    steps = own.steps or max(1, ceil(own.epochs * len(records) * group / samples))
    mean = sum(tokens) / max(1, len(tokens))
    passes: float = 3 + profile.layer_checkpointing
    reference = isinstance(profile, ChainGrpoProfile) and profile.beta > 0
    if isinstance(profile, ChainGrpoProfile):
        mean += profile.max_completion
        passes += 1 + reference
    counted = count_parameters(entries, (VISION,))
    return Footprint(counted, Work(steps, round(samples * mean), passes), hardware, reference=reference)


def _tokens(record: TrainingRecord, data: Path) -> int:
    path = data.parent / record.image
    width, height = picture_size(path.read_bytes(), str(path)) if path.is_file() else (0, 0)
    texts = len(record.conversation.question) + len(record.conversation.solution)
    return _INSTRUCTION_TOKENS + texts // _CHARACTERS_PER_TOKEN + width * height // _TOKEN_PIXELS


def _weights(folder: Path) -> list[Path]:
    found = sorted(folder.expanduser().glob("*.safetensors"))
    if not found:
        raise ModelError(
            f"The folder {folder} holds no safetensors files.",
            hint="Download the model first: hf download Qwen/Qwen2.5-VL-3B-Instruct --local-dir FOLDER",
        )
    return found
