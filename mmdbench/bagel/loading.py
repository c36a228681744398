"""Loads the model from its files: every key is checked before a tensor is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from mmdbench.errors import ModelError
from mmdbench.system.weights_header import Entry

from .bagel import GENERATION_KEYS, TABLE_KEYS, Bagel
from .checkpoint import AUTOENCODER, Weights, check_base, read_architecture, read_weights
from .chunks import Engine, Watch
from .settings import FAST, Architecture, Sizes, Speed
from .tokenizer import Tokenizer
from .vae import Autoencoder
from .vision import sincos_table

__all__ = ["BagelCheckpoint", "load_engine", "open_checkpoint"]


@dataclass(frozen=True, slots=True)
class BagelCheckpoint:
    """The files of a model, checked against each other, and not loaded yet."""

    base: Path
    weights: Weights
    autoencoder: Weights | None
    architecture: Architecture
    generation: bool

    def needed_bytes(self, dtype: torch.dtype) -> int:
        """Bytes of all weights that will be loaded, in that dtype."""
        keys = [key for key in self.weights.entries if self.generation or not _generates(key)]
        entries = [self.weights.entries[key] for key in keys]
        if self.autoencoder is not None:
            entries += self.autoencoder.entries.values()
        return sum(entry.count * dtype.itemsize for entry in entries)


def open_checkpoint(base: Path, weights: Path, sizes: Sizes, *, generation: bool) -> BagelCheckpoint:
    """Check the files of a model, without loading them.

    Args:
        base: The folder of the base model.
        weights: The weights file, or the index of several.
        sizes: The sizes that the JSON files leave out.
        generation: True if the model will restore pictures.

    Returns:
        The checked files.

    Raises:
        ModelError: A file is missing, damaged or of another model.
    """
    check_base(base, autoencoder=generation)
    architecture = read_architecture(base, sizes)
    main = read_weights(weights)
    with torch.device("meta"):
        model, vae = Bagel(architecture, generation=True), Autoencoder(sizes.vae)
    _check_keys(main.entries, _shapes(model), weights, generation=generation)
    autoencoder = None
    if generation:
        autoencoder = read_weights(base / AUTOENCODER)
        _check_keys(autoencoder.entries, _shapes(vae), base / AUTOENCODER, generation=True)
    return BagelCheckpoint(base, main, autoencoder, architecture, generation)


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def _generates(key: str) -> bool:
    return any(mark in key for mark in GENERATION_KEYS)


def _check_keys(
    found: Mapping[str, Entry], expected: Mapping[str, tuple[int, ...]], where: Path, *, generation: bool
) -> None:
    """Refuse a file with other keys or shapes than this model has.

    The fixed tables may be absent; so may the keys for restorations, unless `generation` is set.
    """
    optional = {k for k in expected if k in TABLE_KEYS or not (generation or not _generates(k))}
    missing = sorted(expected.keys() - found.keys() - optional)
    unexpected = sorted(found.keys() - expected.keys())
    shared = sorted(expected.keys() & found.keys())
    misshaped = [
        f"{key} is {list(found[key].shape)}, not {list(expected[key])}"
        for key in shared
        if found[key].shape != expected[key]
    ]
    problems = [
        f"{len(keys)} {what} ({_some(keys)})"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("ill-shaped", misshaped))
        if keys
    ]
    if problems:
        raise ModelError(
            f"{where} does not hold this model: keys {'; '.join(problems)}.", hint=_guess(found, missing)
        )


def _some(keys: Iterable[str]) -> str:
    keys = list(keys)
    return ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")


def _guess(found: Mapping[str, Entry], missing: Iterable[str]) -> str:
    if "encoder.conv_in.weight" in found and "language_model.lm_head.weight" not in found:
        return "It looks like the autoencoder; set weights to ema.safetensors or model.safetensors."
    if any(_generates(key) for key in missing) and "language_model.lm_head.weight" in found:
        return "The generation expert is incomplete: use another file, or the mode text."
    return "Files and base folder must belong to the same model."


def load_engine(
    checkpoint: BagelCheckpoint,
    device: torch.device,
    dtype: torch.dtype,
    speed: Speed = FAST,
    watch: Watch | None = None,
) -> Engine:
    """Build the model and load its tensors, each directly to its device.

    Args:
        checkpoint: The checked files.
        device: The device.
        dtype: The dtype of the weights.
        speed: The shortcuts to take.
        watch: Called with each event of the model, for tests.

    Returns:
        The loaded model.
    """
    architecture = checkpoint.architecture
    with torch.device("meta"):
        model = Bagel(architecture, generation=checkpoint.generation)
        vae = Autoencoder(architecture.sizes.vae) if checkpoint.generation else None
    _fill(model, checkpoint.weights, device, dtype, _tables(architecture))
    if vae is not None and checkpoint.autoencoder is not None:
        _fill(vae, checkpoint.autoencoder, device, dtype, {})
    tokenizer = Tokenizer(checkpoint.base, architecture.sizes, architecture.language.vocabulary)
    return Engine(model, vae, tokenizer, architecture.sizes, architecture.vision.patch, speed, watch)


def _tables(architecture: Architecture) -> dict[str, tuple[int, int]]:
    sides = (architecture.sizes.vit_side, architecture.sizes.latent_side)
    return {key: (side, architecture.language.width) for key, side in zip(TABLE_KEYS, sides, strict=True)}


def _fill(
    module: nn.Module,
    weights: Weights,
    device: torch.device,
    dtype: torch.dtype,
    tables: Mapping[str, tuple[int, int]],
) -> None:
    wanted, state = set(module.state_dict()), dict[str, Tensor]()
    for file in weights.files:
        with safe_open(file, framework="pt", device=str(device)) as tensors:
            for key in wanted.intersection(tensors.keys()):
                if weights.entries[key].file == file:
                    state[key] = tensors.get_tensor(key).to(dtype)
    for key in wanted.intersection(tables) - state.keys():
        state[key] = sincos_table(*tables[key]).to(device, dtype)
    module.load_state_dict(state, strict=True, assign=True)
    module.requires_grad_(requires_grad=False).eval()
