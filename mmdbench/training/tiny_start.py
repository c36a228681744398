"""The model and the training set that the preset `tiny` brings: nothing is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from mmdbench.system.files import cannot_write
from mmdbench.system.locks import folder_lock
from mmdbench.training.config import TINY, TrainingConfig
from mmdbench.training.tiny_set import write_tiny_set

__all__ = ["bring_tiny", "threads_for"]

_WAIT_S = 120.0


def bring_tiny(config: TrainingConfig, task: str, folder: Path) -> TrainingConfig:
    """A configuration with a model and a training set in a folder, where it names none.

    Args:
        config: The configuration; one of another preset than `tiny` is not changed.
        task: The name of the training.
        folder: The folder for both; what is there already is used again.

    Returns:
        The configuration.

    Raises:
        StoreError: The folder cannot be written.
    """
    if config.preset != TINY or (config.model and config.data):
        return config
    clear = task.startswith("clear-")
    model, data = folder / "model", folder / "set"
    with folder_lock(
        folder, "writing the tiny model", wait_s=_WAIT_S
    ):  # processes of one training take turns
        if not config.model:
            _write_once(model, _model_writer(clear=clear))
        if not config.data:
            _write_once(data, partial(write_tiny_set, chains=not clear))
    return replace(config, model=config.model or str(model), data=config.data or str(data))


@contextmanager
def threads_for(preset: str) -> Iterator[None]:
    """One thread for each operation of `tiny`, whose tensors are too small to share."""
    import torch

    before = torch.get_num_threads()
    try:
        if preset == TINY:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def _model_writer(*, clear: bool) -> Callable[[Path], object]:
    if clear:
        from mmdbench.training.clear.tiny_model import write_tiny_model as write_clear

        return write_clear
    from mmdbench.training.robust.tiny_model import write_tiny_model as write_robust

    return write_robust


def _write_once(folder: Path, write: Callable[[Path], object]) -> None:
    """Write a folder that appears when it is complete."""
    if folder.is_dir():
        return
    part = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(part, ignore_errors=True)
        write(part)
        part.rename(folder)
    except OSError as error:
        raise cannot_write(part, error) from error
