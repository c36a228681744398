"""Pool of worker processes on this machine: one for each GPU, or as many as are asked for."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from mmdbench.models.cards import ModelCard
from mmdbench.records import Question
from mmdbench.run.engines.pool import ModelFacts, PoolWorker, WorkerPool
from mmdbench.run.folder import LOGS
from mmdbench.run.plan import Planned
from mmdbench.system.files import make_folder
from mmdbench.system.processes import MessageWriter, child_command, child_environment, read_message

__all__ = ["LocalPool", "LocalWorker"]

_EXIT_SECONDS = 10.0
_POLL_SECONDS = 0.5


@dataclass
class LocalWorker(PoolWorker):
    """A worker process and the requests that it holds.

    `assigned` are the requests sent to it, by key, and `in_flight` the keys of those that it has
    started; `recalling` is True until it has answered a recall. `generation` counts its processes:
    messages of an earlier one are ignored. `facts` is None until its model is open.
    """

    gpu: str = ""
    process: subprocess.Popen[bytes] | None = None
    sender: MessageWriter | None = None
    generation: int = 0
    facts: ModelFacts | None = None
    assigned: dict[str, Planned] = field(default_factory=dict)
    in_flight: set[str] = field(default_factory=set)
    recalling: bool = False

    @property
    def queued(self) -> int:
        """The number of requests that it holds and has not started."""
        return len(self.assigned) - len(self.in_flight)

    def clear(self) -> None:
        """Forget the process's requests and its model."""
        self.assigned, self.in_flight, self.facts, self.recalling = {}, set(), None, False

    def send(self, *message: Any) -> None:
        """Send a message to the process; one that has exited is reported by its reader thread."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: its pipe is closed already
            if self.sender is not None:
                self.sender.send(*message)


class LocalPool(WorkerPool):
    """Worker processes of this machine. A worker that exits is restarted."""

    engine = "local"
    workers: list[LocalWorker]

    def __init__(self, card: ModelCard, gpus: Sequence[str], threads: int, folder: Path) -> None:
        """Start the workers and wait until one has opened the model.

        Args:
            card: The model card, opened in each worker.
            gpus: The GPU of each worker; an empty name chooses none.
            threads: Threads that make variants in each worker.
            folder: The run's folder, for the workers' logs.
        """
        super().__init__()
        self._card = card
        self._threads = max(1, threads)
        self._messages: queue.Queue[tuple[int, int, tuple[Any, ...] | None]] = queue.Queue()
        logs = make_folder(folder / LOGS)
        self.workers = [LocalWorker(n, logs / f"worker-{n}.log", gpu=gpu) for n, gpu in enumerate(gpus, 1)]
        try:
            for worker in self.workers:
                self._start(worker)
            self._wait_until(lambda: self._facts is not None)
        except BaseException:
            self.close()
            raise

    def prompt(self, question: Question, default: str) -> str:
        """The prompt as the model words it; `default` if it has none of its own."""
        if not self.facts.rewords:
            return default
        found: list[str] = []
        self._on_prompt = found.append
        while not found:
            self._wait_until(lambda: any(worker.facts is not None for worker in self.workers))
            worker = next(worker for worker in self.workers if worker.facts is not None)
            generation = worker.generation
            worker.send("prompt", question, default)
            self._wait_until(lambda: bool(found) or worker.generation != generation)  # noqa: B023 - called before the next turn
        return found[0]

    def close(self) -> None:
        """Stop all workers; those that do not exit in time are killed."""
        for worker in self.workers:
            worker.send("end")
        for worker in self.workers:
            if worker.process is None:
                continue
            try:
                worker.process.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            _close_input(worker.process)

    def next_message(self) -> tuple[LocalWorker | None, tuple[Any, ...] | None]:
        """The next message and its worker; (worker, None) if it exited, (None, None) after a pause."""
        try:
            number, generation, message = self._messages.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return None, None
        worker = self.workers[number - 1]
        if generation != worker.generation:
            return None, None
        if message is not None and message[0] == "ready":
            hint = "Are its GPU and its packages like the others'?"
            self._check_facts(message[1], f"Worker {worker.number}", hint)
            worker.facts = message[1]
        return worker, message

    def restart(self, worker: LocalWorker) -> str:
        """Restart a worker that exited; returns its signal or exit code.

        Raises ModelError if it exited too often without a reply.
        """
        assert worker.process is not None
        code = worker.process.wait()
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        _close_input(worker.process)
        worker.exits_without_reply += 1
        self._check_exits(worker, f" ({reason}).", f"Its last output is in {worker.log}.")
        self._restarts += 1
        self._start(worker)
        return reason

    def _start(self, worker: LocalWorker) -> None:
        environment = child_environment()
        if worker.gpu:
            environment["CUDA_VISIBLE_DEVICES"] = worker.gpu
        with worker.log.open("ab") as log:
            worker.process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own code
                child_command("mmdbench.run.engines.local_worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                bufsize=0,  # closing a pipe without a reader must not try to write the rest
            )
        worker.generation += 1
        worker.clear()
        worker.sender = MessageWriter(cast("IO[bytes]", worker.process.stdin))
        out = cast("IO[bytes]", worker.process.stdout)
        arguments = (worker.number, worker.generation, out)
        threading.Thread(target=self._read_messages, args=arguments, daemon=True).start()
        worker.send("open", self._card, self._threads)

    def _read_messages(self, number: int, generation: int, file: IO[bytes]) -> None:
        with file:
            while (message := read_message(file)) is not None:
                self._messages.put((number, generation, message))
        self._messages.put((number, generation, None))

    def _wait_until(self, reached: Callable[[], bool]) -> None:
        """Handle messages until a condition holds. Raises the error of a worker."""
        while not reached():
            worker, message = self.next_message()
            if worker is None:
                continue
            if message is None:
                self.restart(worker)
            elif message[0] == "error":
                raise message[1]
            elif message[0] == "prompt":
                self._on_prompt(message[1])


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
