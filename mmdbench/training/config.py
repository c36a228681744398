"""The file of a training: its preset, the places of model and data, and settings that differ.

::

    preset: paper
    model: checkpoints/BAGEL-7B-MoT     # the folder to start from
    data: sets/clear                    # a folder of mmdbench assign, or its file
    system_prompt_file: prompt.txt      # CLEAR alone, as sizes_file and weights
    judge: gpt-4.1                      # clear-grpo alone: the model card that grades answers
    save_every: 200
    settings:
      optimiser: {learning_rate: 1.0e-5, steps: 1000}

Relative paths start in the working folder. The preset `tiny` brings a model and data of its own, so that
its name alone stands for a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mmdbench.bagel.checkpoint import PROMPT_FILE, SIZES_FILE
from mmdbench.errors import DataError, UnknownNameError, UsageError
from mmdbench.system.bounds import require_at_least
from mmdbench.system.shapes import read_as
from mmdbench.system.yaml_text import parse_yaml
from mmdbench.training.dataset import RL, SFT

__all__ = ["TINY", "HardwareSettings", "TrainingConfig", "read_config", "with_files_of_model"]

TINY = "tiny"
"""The preset that needs neither model nor data."""

_TINY_SAMPLES = 40
_CLEAR_ALONE = ("weights", "sizes_file", "system_prompt_file", "sample_every")
_GRPO_ALONE = ("judge", "judge_max_usd")


@dataclass(frozen=True, slots=True)
class HardwareSettings:
    """The machine of a forecast; `tflops` are those of one GPU in bfloat16 (an A100: 312)."""

    gpus: int = 8
    tflops: float = 312.0
    utilisation: float = 0.35


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The content of the file of a training; without model or data, `tiny` brings its own."""

    preset: str
    model: str = ""
    data: str = ""
    weights: str | None = None
    sizes_file: str | None = None
    system_prompt_file: str | None = None
    save_every: int = 0
    sample_every: int = 0
    judge: str = ""
    judge_max_usd: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)

    def data_file(self, task: str) -> Path:
        """The file with the records of a training."""
        path = Path(self.data).expanduser()
        return path / (SFT if task.endswith("-sft") else RL) if path.is_dir() else path


def read_config(path: Path, task: str) -> TrainingConfig:
    """The file of a training.

    Args:
        path: A YAML file, or `tiny` where there is no such file.
        task: The name of the training.

    Returns:
        What it says.

    Raises:
        DataError: It is no YAML, lacks a key, or has a value of another type.
        UnknownNameError: It has a key that there is not.
        UsageError: A key belongs to another training.
    """
    if str(path) == TINY and not path.exists():
        return TrainingConfig(TINY, sample_every=_TINY_SAMPLES if task.startswith("clear-") else 0)
    try:
        record = parse_yaml(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"Cannot read the configuration {path}: {reason}.") from error
    if not isinstance(record, Mapping):
        raise DataError(f"{path} must be a table with the keys preset, model and data.")
    known = [own.name for own in fields(TrainingConfig)]
    for key in record:
        if key not in known:
            raise UnknownNameError(f"key in {path}:", key, known)
        if key in _CLEAR_ALONE and not task.startswith("clear-"):
            raise UsageError(f"{path}: {key} belongs to CLEAR's trainings, not to {task}.")
        if key in _GRPO_ALONE and task != "clear-grpo":
            raise UsageError(f"{path}: {key} belongs to clear-grpo, not to {task}.")
    found = read_as(TrainingConfig, record, str(path))
    for key in ("save_every", "sample_every"):
        require_at_least(f"{path}: {key}", getattr(found, key), 0)
    for key in ("model", "data"):
        if not getattr(found, key) and found.preset != TINY:
            raise DataError(f"{path} has no {key!r}.", hint=f"Only the preset {TINY} brings its own.")
    return found


def with_files_of_model(config: TrainingConfig, task: str) -> TrainingConfig:
    """A configuration with the system prompt and the sizes in the model's folder, where it names none.

    Args:
        config: The configuration, with its model.
        task: The name of the training; Robust-R1's need neither file.

    Returns:
        The configuration.

    Raises:
        UsageError: There is no system prompt for CLEAR.
    """
    if not task.startswith("clear-"):
        return config
    folder = Path(config.model).expanduser()
    own = {"system_prompt_file": PROMPT_FILE, "sizes_file": SIZES_FILE}
    found: dict[str, Any] = {
        key: str(folder / name)
        for key, name in own.items()
        if not getattr(config, key) and (folder / name).is_file()
    }
    if not (config.system_prompt_file or "system_prompt_file" in found):
        raise UsageError(
            f"The configuration names no system_prompt_file, and {folder} has no {PROMPT_FILE}.",
            hint="CLEAR is trained and asked with a system prompt.",
        )
    return replace(config, **found)
