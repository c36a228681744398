"""Refuses a device on which a checkpoint and its use have too little memory."""

from __future__ import annotations

import torch
from mmdbench.adapters._local import devices

from mmdbench.bagel.loading import BagelCheckpoint

__all__ = ["check_memory"]

_GIB = 2**30
_HEADROOM = {True: 3 * _GIB, False: 2 * _GIB}
"""Bytes for contexts and activations, with restorations and without."""


def check_memory(checkpoint: BagelCheckpoint, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a device with too little free memory, before anything is loaded.

    Args:
        checkpoint: The checkpoint.
        device: The device to load it to.
        dtype: The dtype to load it in.

    Raises:
        ModelError: The device has too little memory.
    """
    need = checkpoint.needed_bytes(dtype)
    if device.type == "cuda":
        # A share, so that a small model does not ask for the headroom of a large one.
        need += min(_HEADROOM[checkpoint.generation], need)
    ways = ["a larger GPU"] + (["dtype bfloat16"] if dtype.itemsize > 2 else [])
    wish = "; a mode without restorations (text, think) needs half" if checkpoint.generation else ""
    devices.check_memory(need, device, dtype, f"Use {' or '.join(ways)}{wish}.")
