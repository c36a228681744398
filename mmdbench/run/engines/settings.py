"""Which engine a run is carried out by, and the workers that it opens."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.run.engines.local_pool import LocalCrew
from mmdbench.run.engines.ray_pool import RayCrew, connected
from mmdbench.run.engines.worker import Crew
from mmdbench.system.bounds import require_at_least

__all__ = ["ENGINES", "EngineSettings", "open_crew", "read_gpus", "read_runtime_env"]

ENGINES = ("local", "ray")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where a run's model works; nothing here changes a reply.

    `gpus` are the GPUs of this machine that get a process each, by number; `processes` is how many
    workers there are where no GPU is named (0: with `local` the model is in this process, with
    `ray` there is one). With `ray`, `gpus_each` GPUs are reserved for each worker, and `address` is
    the cluster's (empty: RAY_ADDRESS, or a cluster of this machine alone) and `runtime_env` what Ray
    prepares on its nodes.
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
                hint="Say how many workers, and GPUs for each: --processes 8 --gpus-each 1",
            )
        if self.engine == "local" and (self.gpus_each or self.address or self.runtime_env):
            raise UsageError("--gpus-each, --ray-address and --runtime-env go with --engine ray.")

    @property
    def apart(self) -> bool:
        """Whether the model is in other processes than this one."""
        return self.engine == "ray" or bool(self.gpus) or self.processes > 0


@contextmanager
def open_crew(card: ModelCard, settings: EngineSettings, folder: Path, threads: int = 0) -> Iterator[Crew]:
    """Workers, one of which holds the model already; they end with the block.

    `threads` make variants in each worker of this machine (0: the cores are shared out). Raises what
    opening the model raises, MissingExtraError without the extra `ray`, ModelError if workers
    cannot live.
    """
    count = len(settings.gpus) or max(1, settings.processes)
    with ExitStack() as stack:
        if settings.engine == "ray":
            ray = stack.enter_context(connected(settings.address, settings.runtime_env))
            crew: Crew = RayCrew(ray, card, count, settings.gpus_each, folder)
        else:
            each = threads or max(1, min(8, os.cpu_count() or 1) // count)
            crew = LocalCrew(card, settings.gpus or ("",) * count, each, folder)
        stack.callback(crew.close)
        yield crew


def read_gpus(text: str) -> tuple[str, ...]:
    """`0,1,2` → ("0", "1", "2"); names of GPUs and of MIG slices are taken as CUDA takes them."""
    names: Sequence[str] = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--gpus {text} names the GPU {name} more than once.")
    return tuple(names)


def read_runtime_env(path: Path | None) -> dict[str, Any]:
    """What a YAML file says that Ray prepares on its nodes. UsageError for a file that is no mapping."""
    if path is None:
        return {}
    import yaml

    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not valid YAML: {error}.") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} must hold a mapping.", hint="For example: env_vars: {HF_HOME: /shared/hf}")
    return found
