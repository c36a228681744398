"""Several processes of this machine, each with the model: one for each GPU, or as many as are asked for.

There is no barrier: whoever is free takes the next requests, and what is not begun is taken back
from a slow worker when another has nothing left. A worker that dies is started again; its requests
go back, and those that it was asking are then asked alone, so that one that takes workers down is
found and does not take others with it.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from mmdbench.errors import ModelError
from mmdbench.models.cards import ModelCard
from mmdbench.records import Question, Reply
from mmdbench.run.budget import Spending
from mmdbench.run.engines.local_dispatcher import Shift
from mmdbench.run.engines.worker import CrewReport, Facts
from mmdbench.run.folder import LOGS
from mmdbench.run.plan import Planned
from mmdbench.system.files import make_folder
from mmdbench.system.processes import MessageWriter, child_command, child_environment, read_message

__all__ = ["Hand", "LocalCrew"]

_FRUITLESS_LIVES = 5
_PATIENCE = 10.0
_TICK = 0.5


@dataclass
class Hand:
    """A worker's process and what it holds; `life` counts its processes, so that old news is told apart."""

    number: int
    gpu: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    sender: MessageWriter | None = None
    life: int = 0
    facts: Facts | None = None
    held: dict[str, Planned] = field(default_factory=dict)
    asking: set[str] = field(default_factory=set)
    asked_back: bool = False
    replies: int = 0
    fruitless: int = 0

    @property
    def waiting(self) -> int:
        """How many requests it holds and has not begun."""
        return len(self.held) - len(self.asking)

    def send(self, *message: Any) -> None:
        """Tell the process something; if it is gone, the news of that is under way."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: its pipe is closed already
            if self.sender is not None:
                self.sender.send(*message)


class LocalCrew:
    """Worker processes; a Crew. `gpus` names the GPU of each (empty names: no GPU is chosen)."""

    def __init__(self, card: ModelCard, gpus: Sequence[str], threads: int, folder: Path) -> None:
        self._card = card
        self._threads = max(1, threads)
        self._events: queue.Queue[tuple[int, int, tuple[Any, ...] | None]] = queue.Queue()
        logs = make_folder(folder / LOGS)
        self.hands = [Hand(n, gpu, logs / f"worker-{n}.log") for n, gpu in enumerate(gpus, 1)]
        self._facts: Facts | None = None
        self._restarts = 0
        try:
            for hand in self.hands:
                self._start(hand)
            self._until(lambda: self._facts is not None)
        except BaseException:
            self.close()
            raise

    @property
    def batch_size(self) -> int:
        """How many requests a worker's model likes at once."""
        return self._known.batch_size

    @property
    def _known(self) -> Facts:
        assert self._facts is not None
        return self._facts

    def fingerprint(self) -> dict[str, Any]:
        """The fingerprint of the model; every worker's is the same."""
        return dict(self._known.fingerprint)

    def prompt(self, question: Question, default: str) -> str:
        """The prompt as the model words it."""
        if not self._known.rewords:
            return default
        found: list[str] = []
        self._on_prompt = found.append
        while not found:
            self._until(lambda: any(hand.facts is not None for hand in self.hands))
            hand = next(hand for hand in self.hands if hand.facts is not None)
            life = hand.life
            hand.send("prompt", question, default)
            self._until(lambda: bool(found) or hand.life != life)  # noqa: B023 - called before the next turn
        return found[0]

    def carry_out(
        self,
        todo: Sequence[Planned],
        spending: Spending,
        keep: Callable[[Reply], None],
        tell: Callable[[str], None],
    ) -> None:
        """Ask all of it. Raises ModelError if the model fails, or workers die before they answer anything."""
        Shift(self, todo, spending, keep, tell).work()

    def report(self) -> CrewReport:
        """How many replies each worker gave, and how many were started again."""
        return CrewReport("local", {str(hand.number): hand.replies for hand in self.hands}, self._restarts)

    def close(self) -> None:
        """End all workers; those that do not end by themselves are killed."""
        for hand in self.hands:
            hand.send("end")
        for hand in self.hands:
            if hand.process is None:
                continue
            try:
                hand.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                hand.process.kill()
                hand.process.wait()
            _close(hand.process)

    def _start(self, hand: Hand) -> None:
        environment = child_environment()
        if hand.gpu:
            environment["CUDA_VISIBLE_DEVICES"] = hand.gpu
        with hand.log.open("ab") as log:
            hand.process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own code
                child_command("mmdbench.run.engines.local_worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                bufsize=0,  # closing a pipe that nobody reads must not try to write what is left
            )
        hand.life += 1
        hand.facts, hand.asked_back = None, False
        hand.held, hand.asking = {}, set()
        hand.sender = MessageWriter(cast("IO[bytes]", hand.process.stdin))
        out = cast("IO[bytes]", hand.process.stdout)
        threading.Thread(target=self._listen, args=(hand.number, hand.life, out), daemon=True).start()
        hand.send("open", self._card, self._threads)

    def _listen(self, number: int, life: int, file: IO[bytes]) -> None:
        with file:
            while (message := read_message(file)) is not None:
                self._events.put((number, life, message))
        self._events.put((number, life, None))

    def _until(self, reached: Callable[[], bool]) -> None:
        """Take in news until something is so; what a worker fails with is raised."""
        while not reached():
            hand, message = self.next()
            if hand is None:
                continue
            if message is None:
                self.bury(hand)
            elif message[0] == "error":
                raise message[1]
            elif message[0] == "prompt":
                self._on_prompt(message[1])

    def next(self) -> tuple[Hand | None, tuple[Any, ...] | None]:
        """The next news and whose it is; nobody's if there was none for a while."""
        try:
            number, life, message = self._events.get(timeout=_TICK)
        except queue.Empty:
            return None, None
        hand = self.hands[number - 1]
        if life != hand.life:
            return None, None
        if message is not None and message[0] == "ready":
            self._welcome(hand, message[1])
        return hand, message

    def _welcome(self, hand: Hand, facts: Facts) -> None:
        if self._facts is None:
            self._facts = facts
        if facts.fingerprint != self._facts.fingerprint:
            raise ModelError(
                f"Worker {hand.number} opened another model than the others: their fingerprints differ.",
                hint="Are its GPU and its packages like the others'?",
            )
        hand.facts = facts

    def bury(self, hand: Hand) -> str:
        """Start a dead worker again; says how it died. Raises ModelError if it never gets anywhere."""
        assert hand.process is not None
        code = hand.process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        _close(hand.process)
        hand.fruitless += 1
        if hand.fruitless >= _FRUITLESS_LIVES:
            raise ModelError(
                f"Worker {hand.number} died {hand.fruitless} times before it answered anything ({how}).",
                hint=f"What it printed last is in {hand.log}.",
            )
        self._restarts += 1
        self._start(hand)
        return how


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
