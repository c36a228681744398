"""Checkpoints of random weights in the published layout: for tests, benchmarks and trial runs.

The weights follow from a seed and each tensor's key alone, so any subset can be made anywhere.
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

from .bagel import TABLE_KEYS, Bagel
from .checkpoint import read_architecture
from .settings import Sizes
from .vae import Autoencoder
from .vision import sincos_table

__all__ = ["formula_state", "formula_tensor", "write_formula_checkpoint", "write_random_checkpoint"]

_SHARD_BYTES = 4 * 2**30


def formula_tensor(seed: str, key: str, record: Mapping[str, Any]) -> Tensor:
    """One tensor, float32: `record` has shape and kind, and for kind `normal` also scale and offset."""
    shape = tuple(record["shape"])
    if record["kind"] == "sincos":
        return sincos_table(round(shape[0] ** 0.5), shape[1])
    random = np.random.RandomState(zlib.crc32(f"{seed}/{key}".encode()))
    plain = random.standard_normal(int(np.prod(shape))).astype(np.float32)
    values = plain * np.float32(record["scale"]) + np.float32(record["offset"])
    return torch.from_numpy(values.reshape(shape))


def formula_state(folder: Path, part: str) -> dict[str, Tensor]:
    """All tensors of one file (`main` or `ae`) of a set in the layout of the golden ones."""
    seed = json.loads((folder / "settings.json").read_text("utf-8"))["weights_seed"]
    records = json.loads((folder / "state_dict.json").read_text("utf-8"))[part]
    return {key: formula_tensor(seed, key, record) for key, record in records.items()}


def write_formula_checkpoint(source: Path, target: Path, name: str = "ema.safetensors") -> Path:
    """Write the checkpoint that a golden set describes; gives `target`, both base folder and weights."""
    target.mkdir(parents=True, exist_ok=True)
    for file in (source / "config").iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    save_file(formula_state(source, "main"), target / name)
    save_file(formula_state(source, "ae"), target / "ae.safetensors")
    return target


def write_random_checkpoint(folder: Path, sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Path:
    """Fill a base folder with random weights of the sizes that its JSON files say; gives the index.

    The weights are drawn on `device` and written in shards, so that a real-size checkpoint
    (14.6 B parameters, 29 GB in bfloat16) needs no more memory than a shard.
    """
    architecture = read_architecture(folder, sizes)
    with torch.device("meta"):
        main = Bagel(architecture, generation=True).state_dict()
        autoencoder = Autoencoder(sizes.vae).state_dict()
    save_file(
        {key: _random_tensor(key, value.shape, dtype, device) for key, value in autoencoder.items()},
        folder / "ae.safetensors",
    )
    names: dict[str, str] = {}
    shard: dict[str, Tensor] = {}
    for key, value in main.items():
        if key in TABLE_KEYS:
            shard[key] = sincos_table(round(value.shape[0] ** 0.5), value.shape[1]).to(dtype)
        else:
            shard[key] = _random_tensor(key, value.shape, dtype, device)
        if sum(tensor.nbytes for tensor in shard.values()) >= _SHARD_BYTES:
            shard = _write_shard(folder, shard, names)
    _write_shard(folder, shard, names)
    index = folder / "ema.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": names}), "utf-8")
    return index


def _write_shard(folder: Path, shard: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """Write a shard and note its keys; gives the next one, empty."""
    if shard:
        name = f"ema-{len(set(names.values())) + 1:05d}.safetensors"
        save_file(shard, folder / name)
        names.update(dict.fromkeys(shard, name))
    return {}


def _random_tensor(key: str, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Norms near 1, biases near 0, and matrices that keep activations near 1."""
    generator = torch.Generator(device).manual_seed(zlib.crc32(key.encode()))
    values = torch.randn(shape, generator=generator, device=device, dtype=dtype)
    if len(shape) > 1:
        wide = "embed" in key and "patch" not in key
        values *= 1.0 if wide else float(np.prod(shape[1:])) ** -0.5
    else:
        values *= 0.1
        if key.endswith("weight"):
            values += 1
    return values.cpu()
