"""Writes a checkpoint of random weights in CLEAR's published layout, of any size.

The weights follow from each tensor's key alone.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from .bagel import TABLE_KEYS, Bagel
from .checkpoint import AUTOENCODER, read_architecture
from .settings import Sizes
from .vae import Autoencoder
from .vision import sincos_table

__all__ = ["write_random_checkpoint"]

_SHARD_BYTES = 4 * 2**30


def write_random_checkpoint(folder: Path, sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Path:
    """Fill a base folder with random weights of the sizes in its JSON files.

    The weights are written in shards, so that a real-size checkpoint (14.6 B parameters, 29 GB in
    bfloat16) needs no more memory than a shard.

    Args:
        folder: The base folder, with its JSON files.
        sizes: The sizes that the JSON files leave out.
        dtype: The dtype of the weights.
        device: The device that they are drawn on.

    Returns:
        The index of the weights.
    """
    architecture = read_architecture(folder, sizes)
    with torch.device("meta"):
        main = Bagel(architecture, generation=True).state_dict()
        autoencoder = Autoencoder(sizes.vae).state_dict()
    save_file(
        {key: _random_tensor(key, value.shape, dtype, device) for key, value in autoencoder.items()},
        folder / AUTOENCODER,
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
    """Write a shard and record its keys; returns the next one, empty."""
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
