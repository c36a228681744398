"""A tiny CLEAR with random weights, in the published layout: 300,000 parameters, the same each time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmdbench.bagel.checkpoint import PROMPT_FILE, SIZES_FILE
from mmdbench.bagel.random_weights import write_random_checkpoint
from mmdbench.bagel.settings import Sizes
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.training.tiny_words import MARKS, SYSTEM_PROMPT, tiny_tokens

__all__ = ["write_tiny_model"]

_LANGUAGE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e4,
}
_VISION = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "patch_size": 14,
}
_SIZES = {
    "vae_transform": {"max_size": 64, "min_size": 32, "stride": 16},
    "vit_transform": {"max_size": 56, "min_size": 28, "stride": 14},
    "vit_max_num_patch_per_side": 4,
    "max_latent_size": 4,
    "vae": {"ch": 32, "ch_mult": [1, 1, 1, 1], "num_res_blocks": 1, "z_channels": 4},
}


def write_tiny_model(folder: Path) -> None:
    """Write the model into a folder: weights, settings, tokenizer, sizes and system prompt."""
    tokens, merges = tiny_tokens()
    marks = {str(len(tokens) + n): {"content": name, "special": True} for n, name in enumerate(MARKS)}
    files: Mapping[str, Any] = {
        "llm_config.json": _LANGUAGE | {"vocab_size": len(tokens) + len(marks)},
        "vit_config.json": _VISION,
        "vocab.json": tokens,
        "tokenizer_config.json": {"added_tokens_decoder": marks},
        SIZES_FILE: _SIZES,
    }
    make_folder(folder)
    for name, value in files.items():
        write_atomic(folder / name, json.dumps(value, indent=1))
    write_atomic(folder / "merges.txt", "\n".join(" ".join(pair) for pair in merges))
    write_atomic(folder / PROMPT_FILE, SYSTEM_PROMPT)
    write_random_checkpoint(folder, Sizes.from_mapping(_SIZES), torch.float32, torch.device("cpu"))
