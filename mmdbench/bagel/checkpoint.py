"""Finds the published files and reads their headers and small JSON files, without torch.

A wrong path, an unfinished download or a file of another model is found before weights are loaded.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.errors import ModelError, UsageError
from mmdbench.system.files import cannot_write
from mmdbench.system.inner_paths import plain_name
from mmdbench.system.json_text import parse_json
from mmdbench.system.weights_header import Entry, read_header

from .settings import Architecture, LanguageSizes, Sizes, VisionSizes

__all__ = [
    "AUTOENCODER",
    "BASE_FILES",
    "PROMPT_FILE",
    "SIZES_FILE",
    "VARIANTS",
    "Weights",
    "check_base",
    "complete_folder",
    "file_digest",
    "find_weights",
    "read_architecture",
    "read_weights",
]

BASE_FILES = ("llm_config.json", "vit_config.json", "vocab.json", "merges.txt", "tokenizer_config.json")
AUTOENCODER = "ae.safetensors"
VARIANTS = ("ema", "model")
PROMPT_FILE, SIZES_FILE = "system_prompt.txt", "sizes.json"
"""Files of a trained model, beside those of the base: its system prompt, and sizes that are not CLEAR's."""
_GET = "Get them with: hf download ByteDance-Seed/BAGEL-7B-MoT --local-dir BAGEL-7B-MoT"


@dataclass(frozen=True, slots=True)
class Weights:
    """All tensors of one checkpoint, by key, over one file or several."""

    entries: Mapping[str, Entry]
    files: tuple[Path, ...]


def check_base(folder: Path, *, autoencoder: bool) -> None:
    """Refuse a base folder that lacks one of its files. Raises ModelError."""
    if not folder.is_dir():
        raise ModelError(f"The base folder {folder} does not exist.", hint=_GET)
    names = (*BASE_FILES, AUTOENCODER) if autoencoder else BASE_FILES
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"The base folder {folder} lacks {', '.join(missing)}.", hint=_GET)


def complete_folder(folder: Path, base: Path, more: Mapping[str, Path]) -> None:
    """Add to a folder of weights the files of its base, so that it is a model on its own.

    Args:
        folder: The folder.
        base: The base folder; large files are linked where the file system can.
        more: Further files by their names in the folder.

    Raises:
        StoreError: A file cannot be written.
    """
    files = {name: base / name for name in (*BASE_FILES, AUTOENCODER)} | dict(more)
    try:
        for name, source in files.items():
            if (folder / name).exists():
                continue
            try:
                os.link(source, folder / name)
            except OSError:
                shutil.copyfile(source, folder / name)
    except OSError as error:
        raise cannot_write(folder, error) from error


def find_weights(path: Path, variant: str | None) -> Path:
    """The weights file, or the index of a sharded checkpoint, that a path names.

    A file names itself; a folder must hold `ema.safetensors`, `model.safetensors` or an index of one
    of them; if it holds both, `variant` (`ema` or `model`) decides.
    """
    if variant is not None and variant not in VARIANTS:
        raise UsageError(f"The option variant is {variant!r}; it must be 'ema' or 'model'.")
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelError(
            f"The weights {path} do not exist.", hint="Set the option weights to a file or folder."
        )
    names = [f"{v}.safetensors{suffix}" for v in VARIANTS for suffix in ("", ".index.json")]
    found = {name.split(".")[0]: path / name for name in reversed(names) if (path / name).is_file()}
    if not found:
        near = sorted(str(p.relative_to(path)) for p in path.glob("*/*.safetensors*"))[:4]
        hint = f"Did you mean one of these below it: {', '.join(near)}?" if near else _GET
        raise ModelError(
            f"{path} holds neither ema.safetensors nor model.safetensors nor an index.", hint=hint
        )
    if len(found) > 1 and variant is None:
        raise UsageError(
            f"{path} holds both ema and model weights.", hint="Set the option variant to 'ema' or 'model'."
        )
    return found[variant] if variant in found else next(iter(found.values()))


def read_weights(path: Path) -> Weights:
    """The tensors of a safetensors file, or of all the files that an index names."""
    if path.suffix == ".json":
        return _read_index(path)
    if path.suffix != ".safetensors":
        raise ModelError(f"{path} is not a safetensors file.", hint="Other formats are not read.")
    return Weights(read_header(path), (path,))


def _read_index(path: Path) -> Weights:
    shards = _read_json(path).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"{path} has no weight_map.", hint="It must be the index of a sharded checkpoint.")
    names = {plain_name(path.parent, name, path, ModelError) for name in shards.values()}
    files = tuple(sorted(path.parent / name for name in names))
    headers = {file: read_header(file) for file in files}
    entries = {}
    for key, name in shards.items():
        file = path.parent / name
        if key not in headers[file]:
            raise ModelError(f"{path} says that {name} holds {key}; it does not.")
        entries[key] = headers[file][key]
    return Weights(entries, files)


def read_architecture(folder: Path, sizes: Sizes) -> Architecture:
    """The sizes in `llm_config.json` and `vit_config.json`; the last vision layer is never used."""
    llm, vit = _read_json(folder / "llm_config.json"), _read_json(folder / "vit_config.json")
    rope = llm.get("rope_parameters") or llm  # where transformers 5 writes it when it saves the file anew
    try:
        language = LanguageSizes(
            width=llm["hidden_size"],
            layers=llm["num_hidden_layers"],
            heads=llm["num_attention_heads"],
            kv_heads=llm["num_key_value_heads"],
            head_width=llm.get("head_dim") or llm["hidden_size"] // llm["num_attention_heads"],
            mlp_width=llm["intermediate_size"],
            vocabulary=llm["vocab_size"],
            rope_theta=float(rope.get("rope_theta", 1e6)),
            eps=float(llm.get("rms_norm_eps", 1e-6)),
        )
        vision = VisionSizes(
            width=vit["hidden_size"],
            layers=vit["num_hidden_layers"] - 1,
            heads=vit["num_attention_heads"],
            mlp_width=vit["intermediate_size"],
            patch=vit["patch_size"],
            channels=vit.get("num_channels", 3),
            eps=float(vit.get("layer_norm_eps", 1e-6)),
        )
    except KeyError as error:
        raise ModelError(
            f"llm_config.json or vit_config.json in {folder} has no {error}.", hint=_GET
        ) from error
    return Architecture(language, vision, sizes)


def file_digest(path: Path, samples: int = 64, block: int = 65536) -> dict[str, Any]:
    """The identity of a weights file, without reading 29 GB, for fingerprints.

    Args:
        path: The file; a small one is read whole.
        samples: Number of blocks, spread evenly over the file, first and last bytes included.
        block: Bytes of a block.

    Returns:
        Its name and size, and the SHA-256 of its header and of the blocks.
    """
    size, digest = path.stat().st_size, hashlib.sha256()
    with path.open("rb") as file:
        if size <= samples * block:
            digest.update(file.read())
        else:
            (length,) = struct.unpack("<Q", file.read(8))
            digest.update(file.read(length))
            for number in range(samples):
                file.seek((size - block) * number // (samples - 1))
                digest.update(file.read(block))
    return {"file": path.name, "bytes": size, "sha256_sampled": digest.hexdigest()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(path.read_text("utf-8"), lenient=True)
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.", hint=_GET) from error
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}.", hint="Download it again.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold a JSON object.")
    return value
