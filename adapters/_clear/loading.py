"""From files to modules: every key is checked before a single tensor is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from mmdbench.errors import ModelError

from .bagel import GENERATION_KEYS, TABLE_KEYS, Bagel
from .checkpoint import AUTOENCODER, Entry, Weights, check_base, entry_bytes, read_architecture, read_weights
from .chunks import Engine, Watch
from .settings import FAST, Architecture, Sizes, Speed
from .tokenizer import Tokenizer
from .vae import Autoencoder
from .vision import sincos_table

__all__ = ["Checkpoint", "check_memory", "load_engine", "open_checkpoint", "pick_device", "pick_dtype"]

_GIB = 2**30
_HEADROOM = {True: 3 * _GIB, False: 2 * _GIB}
"""Bytes beside the weights: contexts and activations, with and without restorations."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Files that fit together, checked and not yet read."""

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
        return sum(entry_bytes(entry, dtype.itemsize) for entry in entries)


def open_checkpoint(base: Path, weights: Path, sizes: Sizes, *, generation: bool) -> Checkpoint:
    """Check the files of a model: `base` is the folder of the base model, `weights` a file or an index."""
    check_base(base, autoencoder=generation)
    architecture = read_architecture(base, sizes)
    main = read_weights(weights)
    _check_keys(main.entries, _shapes(Bagel, architecture), weights, generation=generation)
    autoencoder = None
    if generation:
        autoencoder = read_weights(base / AUTOENCODER)
        with torch.device("meta"):
            expected = {k: tuple(v.shape) for k, v in Autoencoder(sizes.vae).state_dict().items()}
        _check_keys(autoencoder.entries, expected, base / AUTOENCODER, generation=True)
    return Checkpoint(base, main, autoencoder, architecture, generation)


def _shapes(kind: type[Bagel], architecture: Architecture) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = kind(architecture, generation=True)
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def _generates(key: str) -> bool:
    return any(mark in key for mark in GENERATION_KEYS)


def _check_keys(
    found: Mapping[str, Entry], expected: Mapping[str, tuple[int, ...]], where: Path, *, generation: bool
) -> None:
    """Refuse a file whose keys or shapes are not those of this model.

    Keys that only restorations need may be absent where none will be made; the fixed tables always.
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
        return "It looks like the autoencoder; weights must name ema.safetensors or model.safetensors."
    if any(_generates(key) for key in missing) and "language_model.lm_head.weight" in found:
        return "The generation expert is not whole: use another file, or the mode text."
    return "Files and base folder must belong to the same model."


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(
            f"The device {name!r} is not one that torch knows.", hint="Try auto, cpu or cuda:0."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError("There is no GPU that this torch can use.", hint="Set the option device to cpu.")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a GPU and float32 elsewhere."""
    known = {"bfloat16": torch.bfloat16, "float32": torch.float32}
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    if name not in known:
        raise ModelError(f"The dtype {name!r} is not offered.", hint="Use auto, bfloat16 or float32.")
    return known[name]


def check_memory(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a device with too little free memory, before anything is loaded."""
    need = checkpoint.needed_bytes(dtype)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        # A share, so that a small model does not ask for the headroom of a large one.
        need += min(_HEADROOM[checkpoint.generation], need)
        what = f"{torch.cuda.get_device_name(device)} has {free / _GIB:.1f} GiB free"
    else:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else need
        what = f"this machine has {free / _GIB:.1f} GiB of memory"
    if free < need:
        ways = ["a larger GPU"] + (["dtype bfloat16"] if dtype.itemsize > 2 else [])
        wish = "; a mode without restorations (text, think) needs half" if checkpoint.generation else ""
        name = str(dtype).removeprefix("torch.")
        raise ModelError(
            f"The model needs {need / _GIB:.1f} GiB in {name}; {what}.",
            hint=f"Use {' or '.join(ways)}{wish}.",
        )


def load_engine(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    speed: Speed = FAST,
    watch: Watch | None = None,
) -> Engine:
    """Read the tensors, each straight to its device, and build the model around them."""
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
