"""Replaces the weights of a CLIP vision tower, for towers trained against attacks or noise.

Two layouts are read: transformers' (`vision_model.…`) and that of CLIP's first release, which
open_clip keeps (`visual.…` or the same without a prefix). Text towers in the file are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmdbench.errors import ModelError

__all__ = ["fill_tower", "find_tower", "read_tower"]

_NAMES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
_RENAMED = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre": "pre_layrnorm",
    "ln_post": "post_layernorm",
    "transformer.resblocks": "encoder.layers",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_FUSED = re.compile(r"attn\.in_proj_(weight|bias)$")
_PREFIX = re.compile(r"^(?:module\.|model\.|clip_model\.|vision_tower\.|visual\.|vision_model\.)+")
_BESIDE = (
    "proj",
    "logit_scale",
    "visual_projection.",
    "text_projection",
    "text_model.",
    "token_embedding",
    "ln_final",
)


def find_tower(place: str) -> Path:
    """The weights file of `place`: a file, one in a folder, or one of a Hub repository."""
    path = Path(place).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        found = [path / name for name in _NAMES if (path / name).is_file()]
        if found:
            return found[0]
        raise ModelError(
            f"There are no weights of a vision tower in {path}.", hint=f"Known names: {', '.join(_NAMES)}."
        )
    if place[0] in "./~\\" or place.count("/") != 1:
        raise ModelError(
            f"There is no vision tower {place}.", hint="Name a file, a folder or owner/name on the Hub."
        )
    return _download(place)


def _download(repo: str) -> Path:
    from transformers.utils.hub import cached_file

    for name in _NAMES:
        try:
            found = cached_file(repo, name, _raise_exceptions_for_missing_entries=False)
        except OSError as error:
            raise ModelError(f"Cannot read the vision tower {repo}: {error}") from error
        if found is not None:
            return Path(found)
    raise ModelError(f"{repo} holds no weights under a known name: {', '.join(_NAMES)}.")


def read_tower(path: Path) -> dict[str, Tensor]:
    """The tensors of a vision tower, under the names of transformers' CLIPVisionTransformer."""
    state = _read(path)
    original = any(key.endswith("attn.in_proj_weight") for key in state)
    seen = any(key.startswith(("visual.", "model.visual.", "module.visual.")) for key in state)
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if original and seen and "visual." not in key:
            continue  # the text tower of the same file has keys of the same shape
        name = _PREFIX.sub("", key)
        if name.startswith(_BESIDE) or name.endswith("position_ids"):
            continue
        found |= _renamed(name, tensor) if original else {name: tensor}
    return found


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickles fail in many ways
        raise ModelError(f"Cannot read weights from {path}: {error}") from error
    for inner in ("state_dict", "vision_encoder_state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(inner), Mapping):
            state = state[inner]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{path} holds no table of tensors.")
    return dict(state)


def _renamed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    fused = _FUSED.search(name)
    if fused is None:
        return {name: tensor}
    stem = name[: fused.start()]
    parts = zip("qkv", tensor.chunk(3), strict=True)
    return {f"{stem}self_attn.{letter}_proj.{fused[1]}": part for letter, part in parts}


def fill_tower(model: Any, path: Path) -> None:
    """Load a file's weights into the model's CLIP tower. Raises ModelError if a key or shape differs."""
    tower = next((m for m in model.modules() if type(m).__name__ == "CLIPVisionModel"), None)
    if tower is None:
        raise ModelError(
            f"{type(model).__name__} has no CLIP vision tower to replace.",
            hint="Leave out the option vision_tower, or use a LLaVA checkpoint.",
        )
    inner = getattr(tower, "vision_model", tower)
    expected = {
        key: tensor.shape for key, tensor in inner.state_dict().items() if not key.endswith("position_ids")
    }
    found = read_tower(path)
    wrong = sorted(expected.keys() ^ found.keys())
    wrong += sorted(k for k in expected.keys() & found.keys() if expected[k] != found[k].shape)
    if wrong:
        raise ModelError(
            f"{path} does not fit the model's vision tower: {len(wrong)} keys differ, such as {wrong[0]!r}.",
            hint="It must have the size and resolution of the model's tower: ViT-L/14 at 336 for LLaVA-1.5.",
        )
    inner.load_state_dict(found, strict=False)
