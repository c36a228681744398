"""What runs on the nodes of a Ray cluster: the actor that holds the model, and the making of variants.

Nothing here needs Ray, so the classes can be tested without it; `mmdbench.run.engines.ray_pool` makes actors
and tasks of them. Errors of ours are returned, not raised: Ray would wrap them beyond recognition.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TextIO

from mmdbench.errors import MmdbenchError, ModelError
from mmdbench.models.cards import ModelCard
from mmdbench.records import Question, Reply
from mmdbench.run.engines.worker import Facts, Made, Worker, make
from mmdbench.run.plan import Planned
from mmdbench.run.prefetch import CleanImageCache
from mmdbench.system.environment import versions
from mmdbench.system.opencv import single_threaded_opencv

__all__ = ["Answered", "Opened", "RayWorker", "make_part", "versions_that_count"]

_PRINTED_KEPT = 1 << 16


@dataclass(frozen=True, slots=True)
class Opened:
    """A worker that holds the model, where it is, or why it does not."""

    facts: Facts | None
    error: MmdbenchError | None
    place: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """Replies, the error after which going on is senseless if there is one, and what was printed."""

    replies: Sequence[Reply]
    error: MmdbenchError | None
    printed: str


def versions_that_count() -> dict[str, str]:
    """The versions that must be the same on every node, because pictures are made and decoded there."""
    found = versions()
    return {name: found[name] for name in ("mmdbench", "pillow", "libjpeg")}


def make_part(part: Sequence[Planned], wanted: Mapping[str, str]) -> list[Made]:
    """The variants of some requests; runs as a task, on any node."""
    other = _differing(wanted)
    if other is not None:
        return [(planned, other) for planned in part]
    images = CleanImageCache()
    with single_threaded_opencv():
        return [make(planned, images) for planned in part]


class RayWorker:
    """The model in a process of the cluster; opened by a call of its own, so that failing can be told."""

    def __init__(self, card: ModelCard, wanted: Mapping[str, str]) -> None:
        self._card = card
        self._wanted = wanted
        self._worker: Worker | None = None
        self._printed = _Printed()

    def open(self) -> Opened:
        """Open the model, unless it is open."""
        place = f"process {os.getpid()} on {socket.gethostname()}"
        facts: Facts | None = None
        error: MmdbenchError | None = _differing(self._wanted)
        if error is None:
            try:
                with self._printed.kept():
                    self._worker = self._worker or Worker(self._card)
                    facts = self._worker.facts()
            except Exception as raised:  # noqa: BLE001 - an adapter is foreign code, and may raise anything
                error = self._ours(raised)
        return Opened(facts, error, place, _node())

    def prompt(self, question: Question, default: str) -> str:
        """The prompt as the model words it."""
        assert self._worker is not None
        return self._worker.prompt(question, default)

    def ask(self, part: Sequence[Made]) -> Answered:
        """The replies to some requests."""
        assert self._worker is not None
        error: MmdbenchError | None
        try:
            with self._printed.kept():
                replies, error = self._worker.ask(part)
        except Exception as raised:  # noqa: BLE001 - an adapter is foreign code, and may raise anything
            replies, error = [], self._ours(raised)
        return Answered(replies, error, self._printed.take())

    def _ours(self, raised: Exception) -> MmdbenchError:
        if isinstance(raised, MmdbenchError):
            return raised
        return ModelError(f"The model {self._card.name!r} failed: {type(raised).__name__}: {raised}.")


class _Printed:
    """What Python code prints, kept for the driver's log as well as given to Ray's."""

    def __init__(self) -> None:
        self._text: list[str] = []

    @contextmanager
    def kept(self) -> Iterator[None]:
        out, err = _Tee(sys.stdout, self._text), _Tee(sys.stderr, self._text)
        with redirect_stdout(out), redirect_stderr(err):
            yield

    def take(self) -> str:
        text = "".join(self._text)
        self._text.clear()
        return text[-_PRINTED_KEPT:]


class _Tee:
    """A text file that keeps what is written to another."""

    def __init__(self, file: TextIO, text: list[str]) -> None:
        self._file, self._text = file, text

    def write(self, text: str) -> int:
        self._text.append(text)
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _node() -> str:
    try:
        return str(import_module("ray").get_runtime_context().get_node_id())
    except ImportError:
        return ""


def _differing(wanted: Mapping[str, str]) -> ModelError | None:
    here = versions_that_count()
    for name, version in wanted.items():
        if here[name] != version:
            return ModelError(
                f"{socket.gethostname()} has {name} {here[name]}; where the run was started it is {version}.",
                hint="Install the same packages on every node, or name them in Ray's runtime_env.",
            )
    return None
