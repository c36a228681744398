"""The same work on a Ray cluster: actors hold the model, tasks make the variants.

Ray places both, where and when there is room, and makes lost variants anew. What is ours
is in `ray_shift`: which request goes next, a bound on what is under way, each reply stored once.
Requests carry their encoded images, so nodes need no benchmark's file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

from mmdbench.errors import MissingExtraError, MmdbenchError, ModelError
from mmdbench.models.cards import ModelCard
from mmdbench.records import Question, Reply
from mmdbench.run.budget import Spending
from mmdbench.run.engines.ray_worker import Opened, RayWorker, make_part, versions_that_count
from mmdbench.run.engines.worker import CrewReport, Facts
from mmdbench.run.folder import LOGS
from mmdbench.run.plan import Planned
from mmdbench.system.files import make_folder

__all__ = ["RayCrew", "RayHand", "connected"]

_FRUITLESS_LIVES = 5
_MAKERS_LIVES = 16
_TICK = 0.5


@dataclass
class RayHand:
    """An actor, what it was given and has not answered (oldest first), and its log in the run's folder."""

    number: int
    log: Path
    actor: Any = None
    node: str = ""
    ready: bool = False
    given: dict[Any, list[Planned]] = field(default_factory=dict)
    replies: int = 0
    fruitless: int = 0

    def note(self, text: str) -> None:
        """Write a line into its log."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{now} {text.rstrip()}\n")


@contextmanager
def connected(address: str, runtime_env: Mapping[str, Any]) -> Iterator[Any]:
    """The package ray, connected to the cluster at `address`, else at RAY_ADDRESS, else to one made here.

    A connection that is there already is used, and left. Raises MissingExtraError without the extra
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
        ray.init(address=where or None, **settings)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        what = f"reach the Ray cluster at {where}" if where else "start Ray on this machine"
        raise ModelError(f"Cannot {what}: {error}.") from error
    try:
        yield ray
    finally:
        ray.shutdown()


class RayCrew:
    """Actors of a Ray cluster; a Crew."""

    def __init__(self, ray: Any, card: ModelCard, count: int, gpus_each: float, folder: Path) -> None:
        self.ray = ray
        self._card = card
        self.wanted = versions_that_count()
        errors = self.ray.exceptions
        # Of an actor that Ray's memory monitor killed, its calls raise what is no RayActorError.
        self.deaths: tuple[type[Exception], ...] = (errors.RayActorError, errors.OutOfMemoryError)
        # Not without end: there are pictures whose making takes the process down every time.
        self.make = self.ray.remote(make_part).options(max_retries=_MAKERS_LIVES, num_cpus=1)
        self.opening: dict[Any, RayHand] = {}
        self.restarts = 0
        self._facts: Facts | None = None
        self.hands: list[RayHand] = []
        try:
            self._check_room(gpus_each)
            logs = make_folder(folder / LOGS)
            self._kind = self.ray.remote(RayWorker).options(
                num_cpus=0,  # reserved CPUs would be missing where variants are made
                num_gpus=gpus_each,
                scheduling_strategy="SPREAD",
            )
            for number in range(1, count + 1):
                hand = RayHand(number, logs / f"worker-{number}.log")
                self.hands.append(hand)
                self.open(hand)
            while self._facts is None:
                self.take_opened(self.wait(list(self.opening)))
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
        while True:
            hand = next((hand for hand in self.hands if hand.ready), None)
            if hand is None:
                self.take_opened(self.wait(list(self.opening)))
                continue
            try:
                return str(self.ray.get(hand.actor.prompt.remote(question, default)))
            except self.ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, MmdbenchError):
                    raise error.cause from error
                what = f"{type(error.cause).__name__}: {error.cause}"
                raise ModelError(f"The model {self._card.name!r} failed to word a prompt: {what}.") from error
            except self.deaths as error:
                self.lost(hand, error)

    def carry_out(
        self,
        todo: Sequence[Planned],
        spending: Spending,
        keep: Callable[[Reply], None],
        tell: Callable[[str], None],
    ) -> None:
        """Ask all of it. Raises ModelError if the model fails, or workers die before they answer anything."""
        from mmdbench.run.engines.ray_dispatcher import RayShift

        RayShift(self, todo, spending, keep, tell).work()

    def report(self) -> CrewReport:
        """How many replies each worker gave, and how many were started again."""
        return CrewReport("ray", {str(hand.number): hand.replies for hand in self.hands}, self.restarts)

    def close(self) -> None:
        """End the actors."""
        for hand in self.hands:
            if hand.actor is not None:
                self.ray.kill(hand.actor, no_restart=True)
        self.hands, self.opening = [], {}

    def wait(self, refs: Sequence[Any]) -> list[Any]:
        """Those of the references that are there, after a moment if none is yet; nothing is fetched."""
        done, rest = self.ray.wait(refs, num_returns=1, timeout=_TICK, fetch_local=False)
        if done and rest:
            done += self.ray.wait(rest, num_returns=len(rest), timeout=0, fetch_local=False)[0]
        return list(done)

    def open(self, hand: RayHand) -> None:
        """Start an actor, as soon as there is room for it, and have it open the model."""
        # Not by max_restarts and max_task_retries: a request would wait until there is room for the same
        # actor again, and nobody could tell an actor that is being started from one that keeps dying.
        hand.node, hand.ready = "", False
        hand.note("waits for a place on the cluster")
        hand.actor = self._kind.remote(self._card, self.wanted)
        self.opening[hand.actor.open.remote()] = hand

    def take_opened(self, done: Sequence[Any]) -> None:
        """Take in which workers hold the model now. Raises what opening it raised."""
        for ref in done:
            hand = self.opening.pop(ref, None)
            if hand is None:
                continue
            try:
                opened: Opened = self.ray.get(ref)
            except self.deaths as error:
                self.lost(hand, error)
                continue
            except self.ray.exceptions.RayError as error:
                raise ModelError(f"Worker {hand.number} cannot be started: {_short(error)}") from error
            self._welcome(hand, opened)

    def lost(self, hand: RayHand, error: Exception) -> bool:
        """Note that a worker died and wait for its next life; says whether its node went with it.

        Raises ModelError if it died too often before it answered anything.
        """
        hand.note(f"died: {_short(error)}")
        hand.ready = False
        alive = {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}
        node_gone = bool(hand.node and hand.node not in alive) or bool(getattr(error, "preempted", False))
        hand.fruitless += not node_gone
        self.restarts += 1
        if hand.fruitless >= _FRUITLESS_LIVES:
            raise ModelError(
                f"Worker {hand.number} died {hand.fruitless} times before it answered anything: "
                f"{_short(error)}",
                hint=f"Its log is {hand.log}; Ray's own logs say what it printed last.",
            ) from error
        self.open(hand)
        return node_gone

    def _welcome(self, hand: RayHand, opened: Opened) -> None:
        if opened.error is not None:
            raise opened.error
        facts = opened.facts
        assert facts is not None
        if self._facts is None:
            self._facts = facts
        if facts.fingerprint != self._facts.fingerprint:
            raise ModelError(
                f"Worker {hand.number} ({opened.place}) opened another model than the others: "
                "their fingerprints differ.",
                hint="Are weights and packages the same on every node?",
            )
        hand.node, hand.ready = opened.node, True
        hand.note(f"holds the model: {opened.place}")

    def _check_room(self, gpus_each: float) -> None:
        there = float(self.ray.cluster_resources().get("GPU", 0))
        if gpus_each > there:
            raise ModelError(
                f"A worker needs {gpus_each:g} GPUs, and the Ray cluster has {there:g}.",
                hint="Lower --gpus-each, or add nodes with GPUs.",
            )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
