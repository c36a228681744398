"""Checkpoints in CLEAR's published layout whose weights follow from a seed and each tensor's key.

So any subset of the tensors can be made anywhere.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from mmdbench.bagel.vision import sincos_table


def formula_tensor(seed: str, key: str, record: Mapping[str, Any]) -> Tensor:
    """One float32 tensor: `record` has shape and kind, and for the kind `normal` also scale and offset."""
    shape = tuple(record["shape"])
    if record["kind"] == "sincos":
        return sincos_table(round(shape[0] ** 0.5), shape[1])
    random = np.random.RandomState(zlib.crc32(f"{seed}/{key}".encode()))
    plain = random.standard_normal(int(np.prod(shape))).astype(np.float32)
    values = plain * np.float32(record["scale"]) + np.float32(record["offset"])
    return torch.from_numpy(values.reshape(shape))


def formula_state(folder: Path, part: str) -> dict[str, Tensor]:
    """All tensors of one file (`main` or `ae`) of a set in the layout of the golden ones."""
    settings = json.loads((folder / "settings.json").read_text("utf-8"))
    records = json.loads((folder / settings.get("state_dict", "state_dict.json")).read_text("utf-8"))[part]
    return {key: formula_tensor(settings["weights_seed"], key, record) for key, record in records.items()}


def write_formula_checkpoint(source: Path, target: Path, name: str = "ema.safetensors") -> Path:
    """Write the checkpoint that a golden set describes; returns `target`, both base folder and weights."""
    target.mkdir(parents=True, exist_ok=True)
    settings = json.loads((source / "settings.json").read_text("utf-8"))
    for file in (source / settings.get("config", "config")).iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    save_file(formula_state(source, "main"), target / name)
    save_file(formula_state(source, "ae"), target / "ae.safetensors")
    return target
