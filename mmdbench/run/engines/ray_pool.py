"""Pool of Ray actors: actors hold the model, tasks make the variants.

Ray places both, where and when there is room, and makes lost variants again. The order of the requests,
a bound on those in flight and the storing of each reply once are in `ray_dispatcher`. Requests hold their
encoded images, so nodes need no benchmark file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

from mmdbench.errors import MissingExtraError, MmdbenchError, ModelError
from mmdbench.models.cards import ModelCard
from mmdbench.records import Question
from mmdbench.run.engines.pool import PoolWorker, WorkerPool
from mmdbench.run.engines.ray_actor import OpenResult, RayActor, checked_versions, make_part
from mmdbench.run.folder import LOGS
from mmdbench.run.plan import Planned
from mmdbench.system.files import make_folder
from mmdbench.system.stop_signals import kept_handlers

__all__ = ["RayPool", "RayWorker", "connected"]

_TASK_RETRIES = 16
_POLL_SECONDS = 0.5


@dataclass
class RayWorker(PoolWorker):
    """An actor and the parts that it was given and has not answered, oldest first.

    `ready` is True once it holds the model, on the node `node`.
    """

    actor: Any = None
    node: str = ""
    ready: bool = False
    assigned: dict[Any, list[Planned]] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Write a line into the worker's log."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{now} {text.rstrip()}\n")


@contextmanager
def connected(address: str, runtime_env: Mapping[str, Any]) -> Iterator[Any]:
    """The package ray, connected to the cluster at `address`, else at RAY_ADDRESS, else to a new one.

    A connection that exists already is used and left open. Raises MissingExtraError without the extra
    `ray`, ModelError if the cluster cannot be reached.
    """
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise MissingExtraError("ray", extra="ray") from error
    if ray.is_initialized():
        yield ray
        return
    where = address or os.environ.get("RAY_ADDRESS", "")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if runtime_env:
        settings["runtime_env"] = dict(runtime_env)
    if not where:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        settings["include_dashboard"] = False
    try:
        with kept_handlers():  # Ray's handler of SIGTERM exits at once
            ray.init(address=where or None, **settings)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        what = f"reach the Ray cluster at {where}" if where else "start Ray on this machine"
        raise ModelError(f"Cannot {what}: {error}.") from error
    try:
        yield ray
    finally:
        ray.shutdown()


class RayPool(WorkerPool):
    """Actors of a Ray cluster. An actor that exits is replaced by a new one."""

    engine = "ray"
    workers: list[RayWorker]

    def __init__(self, ray: Any, card: ModelCard, count: int, gpus_each: float, folder: Path) -> None:
        """Start the actors and wait until one has opened the model.

        Args:
            ray: The package, connected to a cluster.
            card: The model card, opened in each actor.
            count: Number of actors.
            gpus_each: GPUs that are reserved for each actor.
            folder: The run's folder, for the workers' logs.
        """
        super().__init__()
        self.ray = ray
        self._card = card
        self.wanted = checked_versions()
        errors = self.ray.exceptions
        # Calls of an actor that Ray's memory monitor killed raise an error that is no RayActorError.
        self.exit_errors: tuple[type[Exception], ...] = (errors.RayActorError, errors.OutOfMemoryError)
        # Bounded, because some pictures make the process exit every time.
        self.make = self.ray.remote(make_part).options(max_retries=_TASK_RETRIES, num_cpus=1)
        self.opening: dict[Any, RayWorker] = {}
        self.workers = []
        try:
            self._check_room(gpus_each)
            logs = make_folder(folder / LOGS)
            self._actor = self.ray.remote(RayActor).options(
                num_cpus=0,  # reserved CPUs would be missing for the tasks that make variants
                num_gpus=gpus_each,
                scheduling_strategy="SPREAD",
            )
            for number in range(1, count + 1):
                worker = RayWorker(number, logs / f"worker-{number}.log")
                self.workers.append(worker)
                self._start(worker)
            while self._facts is None:
                self.on_opened(self.wait(list(self.opening)))
        except BaseException:
            self.close()
            raise

    def prompt(self, question: Question, default: str) -> str:
        """The prompt as the model words it; `default` if it has none of its own."""
        if not self.facts.rewords:
            return default
        while True:
            worker = next((worker for worker in self.workers if worker.ready), None)
            if worker is None:
                self.on_opened(self.wait(list(self.opening)))
                continue
            try:
                return str(self.ray.get(worker.actor.prompt.remote(question, default)))
            except self.ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, MmdbenchError):
                    raise error.cause from error
                what = f"{type(error.cause).__name__}: {error.cause}"
                raise ModelError(f"The model {self._card.name!r} failed to word a prompt: {what}.") from error
            except self.exit_errors as error:
                self.restart(worker, error)

    def close(self) -> None:
        """Stop the actors."""
        for worker in self.workers:
            if worker.actor is not None:
                self.ray.kill(worker.actor, no_restart=True)
        self.workers, self.opening = [], {}

    def wait(self, refs: Sequence[Any]) -> list[Any]:
        """The references whose results exist, after a pause if there is none yet; nothing is fetched."""
        done, rest = self.ray.wait(refs, num_returns=1, timeout=_POLL_SECONDS, fetch_local=False)
        if done and rest:
            done += self.ray.wait(rest, num_returns=len(rest), timeout=0, fetch_local=False)[0]
        return list(done)

    def on_opened(self, done: Sequence[Any]) -> None:
        """Record which actors hold the model now. Raises the errors of opening it."""
        for ref in done:
            worker = self.opening.pop(ref, None)
            if worker is None:
                continue
            try:
                result: OpenResult = self.ray.get(ref)
            except self.exit_errors as error:
                self.restart(worker, error)
                continue
            except self.ray.exceptions.RayError as error:
                raise ModelError(f"Worker {worker.number} cannot be started: {_short(error)}") from error
            self._on_ready(worker, result)

    def restart(self, worker: RayWorker, error: Exception) -> bool:
        """Replace an actor that exited; True if its node is gone, too.

        Raises ModelError if it exited too often without a reply.
        """
        worker.note(f"exited: {_short(error)}")
        worker.ready = False
        alive = {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}
        node_gone = bool(worker.node and worker.node not in alive) or bool(getattr(error, "preempted", False))
        worker.exits_without_reply += not node_gone
        self._restarts += 1
        hint = f"Its log is {worker.log}; its last output is in Ray's own logs."
        self._check_exits(worker, f": {_short(error)}", hint)
        self._start(worker)
        return node_gone

    def _start(self, worker: RayWorker) -> None:
        """Start an actor, as soon as there is room for it, and have it open the model."""
        # Without max_restarts and max_task_retries: a request would wait until there is room for the same
        # actor again, and an actor that is starting could not be told from one that exits every time.
        worker.node, worker.ready = "", False
        worker.note("waits for a place on the cluster")
        worker.actor = self._actor.remote(self._card, self.wanted)
        self.opening[worker.actor.open.remote()] = worker

    def _on_ready(self, worker: RayWorker, result: OpenResult) -> None:
        if result.error is not None:
            raise result.error
        assert result.facts is not None
        self._check_facts(
            result.facts,
            f"Worker {worker.number} ({result.place})",
            hint="Are weights and packages the same on every node?",
        )
        worker.node, worker.ready = result.node, True
        worker.note(f"holds the model: {result.place}")

    def _check_room(self, gpus_each: float) -> None:
        available = float(self.ray.cluster_resources().get("GPU", 0))
        if gpus_each > available:
            raise ModelError(
                f"A worker needs {gpus_each:g} GPUs, and the Ray cluster has {available:g}.",
                hint="Lower --gpus-each, or add nodes with GPUs.",
            )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
