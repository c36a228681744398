"""Weights of 4 or 8 bits, which bitsandbytes makes while a checkpoint is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata, util
from typing import Any

import torch

from mmdbench.errors import MissingExtraError

__all__ = ["BYTES", "quantization_options", "quantization_record"]

BYTES: Mapping[str, float] = {"4bit": 0.5, "8bit": 1.0}
"""Kinds of quantisation, with the bytes of a weight."""


def quantization_options(kind: str, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """The arguments of `from_pretrained` for quantised weights.

    Args:
        kind: `4bit` (NF4) or `8bit` (LLM.int8); empty for none.
        dtype: The dtype that is computed in.
        device: The device, which quantised weights are loaded to directly.

    Returns:
        The arguments, none without a kind.

    Raises:
        MissingExtraError: bitsandbytes or accelerate is not installed.
    """
    if not kind:
        return {}
    if any(util.find_spec(name) is None for name in ("bitsandbytes", "accelerate")):
        raise MissingExtraError("bitsandbytes and accelerate", extra="quantized")
    from transformers import BitsAndBytesConfig

    four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
    config = BitsAndBytesConfig(**(four if kind == "4bit" else {"load_in_8bit": True}))
    return {"quantization_config": config, "device_map": {"": device}}


def quantization_record(kind: str) -> dict[str, str]:
    """The part of a fingerprint about quantised weights; empty without a kind."""
    if not kind:
        return {}
    return {
        "quantization": {"4bit": "nf4", "8bit": "int8"}[kind],
        "bitsandbytes": metadata.version("bitsandbytes"),
    }
