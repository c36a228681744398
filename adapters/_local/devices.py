"""The device and dtype that a model runs in, and a check of its memory before weights are loaded."""

from __future__ import annotations

import os

import torch

from mmdbench.errors import ModelError

__all__ = ["DTYPES", "check_memory", "pick_device", "pick_dtype"]

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_GIB = 2**30


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is the GPU if there is one. Raises ModelError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(
            f"torch knows no device {name!r}.", hint="Set device to auto, cpu, cuda or cuda:1."
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"There is no GPU {name!r} that this torch can use.", hint="Set device to cpu or auto."
        )
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of that name; `auto` is bfloat16 on a GPU and float32 elsewhere."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    return DTYPES[name]


def check_memory(need: int, device: torch.device, dtype: torch.dtype, hint: str) -> None:
    """Refuse a device with too little free memory; devices other than CUDA and CPU are not checked.

    Args:
        need: Bytes that the model and its use take.
        device: The device.
        dtype: The dtype of the weights, for the message.
        hint: The remedies, for the message.

    Raises:
        ModelError: The device has fewer bytes free; for a CPU, the machine has fewer in all.
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        what = f"{torch.cuda.get_device_name(device)} has {free / _GIB:.1f} GiB free"
    elif device.type == "cpu" and hasattr(os, "sysconf"):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        what = f"this machine has {free / _GIB:.1f} GiB of memory"
    else:
        return
    if free < need:
        name = str(dtype).removeprefix("torch.")
        raise ModelError(f"The model needs about {need / _GIB:.1f} GiB in {name}; {what}.", hint=hint)
