"""Checkpoints in the published layout, with all that a resumed training needs.

::

    0000600/
      ema.safetensors, model.safetensors   all tensors under their published keys, in the profile's dtype
      optimizer.00000-of-00008.pt          for each process: AdamW's state, and weights and average in float32
      scheduler.pt                         the schedule
      data_state.json                      for each process its place in the data
      training.json                        profile, step, digests of the data, version of the code

A folder appears when it is complete. Weights are trained in float32; the published files may be rounded,
so that a resumed training reads its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LRScheduler

from mmdbench.errors import DataError, UsageError
from mmdbench.system.files import cannot_write, make_folder, write_atomic
from mmdbench.system.json_text import parse_json
from mmdbench.training.clear.optimiser import MovingAverage

__all__ = ["RECORD_FILE", "TrainingState", "latest_checkpoint", "load_checkpoint", "save_checkpoint"]

RECORD_FILE = "training.json"
"""The record of a checkpoint: it is written last."""

_DATA, _SCHEDULE, _DIGITS = "data_state.json", "scheduler.pt", 7


@dataclass(frozen=True, slots=True)
class TrainingState:
    """All that changes in a training; `model` has the published keys, `tensors` are the trained ones."""

    model: nn.Module
    tensors: Mapping[str, nn.Parameter]
    average: MovingAverage | None
    optimiser: torch.optim.Optimizer
    schedule: LRScheduler


def save_checkpoint(
    folder: Path,
    state: TrainingState,
    place: Mapping[str, Any],
    record: Mapping[str, Any],
    accelerator: Accelerator,
) -> Path:
    """Write a checkpoint; every process calls this.

    Args:
        folder: The folder of the training.
        state: The state.
        place: The place of this process in the data.
        record: What is recorded; `step` names the folder, `saved_dtype` the dtype of the published files.
        accelerator: The processes.

    Returns:
        The checkpoint's folder.
    """
    name = f"{record['step']:0{_DIGITS}d}"
    part, whole = folder / f".{name}.unfinished", folder / name
    dtype = getattr(torch, record["saved_dtype"])
    try:
        if accelerator.is_main_process:
            shutil.rmtree(part, ignore_errors=True)
            make_folder(part)
        accelerator.wait_for_everyone()
        _save_weights(part, state, dtype, main=accelerator.is_main_process)
        torch.save(_own_part(state), part / _part_name(accelerator))
        places = gather_object([dict(place)])
        if accelerator.is_main_process:
            torch.save(state.schedule.state_dict(), part / _SCHEDULE)
            write_atomic(part / _DATA, json.dumps(places))
            write_atomic(part / RECORD_FILE, json.dumps(record, indent=1))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            shutil.rmtree(whole, ignore_errors=True)
            part.rename(whole)
        accelerator.wait_for_everyone()
    except OSError as error:
        raise cannot_write(part, error) from error
    return whole


def latest_checkpoint(folder: Path) -> Path | None:
    """The complete checkpoint with the most steps, None if there is none."""
    found = [p for p in folder.glob("[0-9]" * _DIGITS) if (p / RECORD_FILE).is_file()]
    return max(found, default=None)


def load_checkpoint(
    path: Path, state: TrainingState, record: Mapping[str, Any], accelerator: Accelerator
) -> tuple[int, dict[str, Any]]:
    """Continue from a checkpoint; every process calls this.

    Args:
        path: The checkpoint's folder.
        state: The state, which is overwritten.
        record: The record of this training, which must agree with the checkpoint's.
        accelerator: The processes, as many as wrote the checkpoint.

    Returns:
        The step, and the place of this process in the data.

    Raises:
        UsageError: The checkpoint is of another profile, other data or another number of processes.
        DataError: A file is missing or damaged.
    """
    try:
        found = parse_json((path / RECORD_FILE).read_text("utf-8"))
        places = parse_json((path / _DATA).read_text("utf-8"))
        own = torch.load(path / _part_name(accelerator), map_location="cpu", weights_only=True)
        schedule = torch.load(path / _SCHEDULE, weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, UnpicklingError) as error:
        raise DataError(
            f"The checkpoint {path} is damaged: {error}.", hint="Remove it, and resume from an earlier one."
        ) from error
    _check_record(path, found, record)
    with torch.no_grad():
        for key, tensor in state.tensors.items():
            tensor.copy_(_shared(own["weights"][key], tensor))
            if state.average is not None:
                state.average.values[key].copy_(_shared(own["average"][key], tensor))
    parameters = list(state.tensors.values())
    for index, values in own["optimizer"]["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.ndim:
                values[name] = _shared(value, parameters[index])
    state.optimiser.load_state_dict(own["optimizer"])
    state.schedule.load_state_dict(schedule)
    return int(path.name), dict(places[accelerator.process_index])


def _check_record(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    apart = {"step", "code_version"}
    other = sorted(k for k in {*found, *expected} - apart if found.get(k) != _plain(expected.get(k)))
    if other:
        raise UsageError(
            f"The checkpoint {path} is of another training: {', '.join(other)} "
            f"{'differs' if len(other) == 1 else 'differ'}.",
            hint="Resume with the same settings, data and processes, or name another folder.",
        )


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value))


def _save_weights(part: Path, state: TrainingState, dtype: torch.dtype, *, main: bool) -> None:
    averages = state.average.values if state.average else None
    for name, trained in (("model", state.tensors), ("ema", averages)):
        if trained is None:
            continue
        tensors: dict[str, Tensor] = {}
        for key, own in state.model.state_dict().items():
            value = _whole(trained.get(key, own).detach())
            if main:
                tensors[key] = value.to("cpu", dtype).contiguous()
        if main:
            save_file(tensors, part / f"{name}.safetensors", metadata={"format": "pt"})


def _own_part(state: TrainingState) -> dict[str, Any]:
    """The part of the state that this process holds."""
    optimiser = state.optimiser.state_dict()
    optimiser["state"] = {
        index: {name: _local(value) for name, value in values.items()}
        for index, values in optimiser["state"].items()
    }
    average = {} if state.average is None else state.average.values
    return {
        "optimizer": optimiser,
        "weights": {key: _local(tensor.detach()) for key, tensor in state.tensors.items()},
        "average": {key: _local(value) for key, value in average.items()},
    }


def _part_name(accelerator: Accelerator) -> str:
    return f"optimizer.{accelerator.process_index:05d}-of-{accelerator.num_processes:05d}.pt"


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _local(value: Any) -> Any:
    return value.to_local() if isinstance(value, DTensor) else value


def _shared(local: Tensor, like: Tensor) -> Tensor:
    """A process's part of a tensor, sharded as another one is."""
    if not isinstance(like, DTensor):
        return local
    # Without its shape, a tensor whose rows do not divide evenly would get another one.
    return DTensor.from_local(
        local.to(like.device), like.device_mesh, like.placements, shape=like.shape, stride=like.stride()
    )
