"""Settings of an engine, and the pool that they open."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.run.engines.local_pool import LocalPool
from mmdbench.run.engines.pool import WorkerPool
from mmdbench.run.engines.ray_pool import RayPool, connected
from mmdbench.system.bounds import require_at_least

__all__ = ["ENGINES", "EngineSettings", "open_pool", "read_gpus", "read_runtime_env"]

ENGINES = ("local", "ray")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The processes that hold the model; no setting changes a reply.

    `gpus` are the GPUs of this machine that get a process each, by number; `processes` is the number
    of workers if no GPU is named (0: with `local` the model is in this process, with `ray` there is
    one worker). With `ray`, `gpus_each` GPUs are reserved for each worker, `address` is the cluster's
    (empty: RAY_ADDRESS, or a new cluster on this machine) and `runtime_env` is Ray's runtime environment.
    """

    engine: str = "local"
    gpus: tuple[str, ...] = ()
    processes: int = 0
    gpus_each: float = 0.0
    address: str = ""
    runtime_env: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UnknownNameError("engine", self.engine, ENGINES)
        require_at_least("--processes", self.processes, 0)
        require_at_least("--gpus-each", self.gpus_each, 0)
        if self.gpus and self.processes and len(self.gpus) != self.processes:
            raise UsageError(
                f"--gpus names {len(self.gpus)} GPUs and --processes asks for {self.processes} processes.",
                hint="Each GPU gets one process: leave --processes out.",
            )
        if self.engine == "ray" and self.gpus:
            raise UsageError(
                "--gpus chooses GPUs of this machine; Ray chooses those of a cluster itself.",
                hint="Set the number of workers and the GPUs of each: --processes 8 --gpus-each 1",
            )
        if self.engine == "local" and (self.gpus_each or self.address or self.runtime_env):
            raise UsageError("--gpus-each, --ray-address and --runtime-env need --engine ray.")

    @property
    def apart(self) -> bool:
        """True if the model is in other processes than this one."""
        return self.engine == "ray" or bool(self.gpus) or self.processes > 0


@contextmanager
def open_pool(
    card: ModelCard, settings: EngineSettings, folder: Path, threads: int = 0
) -> Iterator[WorkerPool]:
    """Open a pool; its workers stop with the block.

    Args:
        card: The model card, opened in each worker.
        settings: The engine and the number of its workers.
        folder: The run's folder, for the workers' logs.
        threads: Threads that make variants in each worker of this machine; 0 divides the cores among them.

    Yields:
        The pool, with one worker at least that holds the model.

    Raises:
        MissingExtraError: The extra `ray` is not installed.
        ModelError: The model cannot be opened, or workers exit before they have opened it.
    """
    count = len(settings.gpus) or max(1, settings.processes)
    with ExitStack() as stack:
        if settings.engine == "ray":
            ray = stack.enter_context(connected(settings.address, settings.runtime_env))
            pool: WorkerPool = RayPool(ray, card, count, settings.gpus_each, folder)
        else:
            each = threads or max(1, min(8, os.cpu_count() or 1) // count)
            pool = LocalPool(card, settings.gpus or ("",) * count, each, folder)
        stack.callback(pool.close)
        yield pool


def read_gpus(text: str) -> tuple[str, ...]:
    """`0,1,2` → ("0", "1", "2"); names of GPUs and of MIG slices are passed to CUDA as they are."""
    names: Sequence[str] = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--gpus {text} names the GPU {name} more than once.")
    return tuple(names)


def read_runtime_env(path: Path | None) -> dict[str, Any]:
    """Ray's runtime environment from a YAML file. Raises UsageError for a file that is not a mapping."""
    if path is None:
        return {}
    from mmdbench.system.yaml_text import parse_yaml

    try:
        found = parse_yaml(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} cannot be read as YAML: {error}.") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} must hold a mapping.", hint="For example: env_vars: {HF_HOME: /shared/hf}")
    return found
