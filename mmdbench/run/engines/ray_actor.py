"""Code for the nodes of a Ray cluster: the actor that holds the model, and the task that makes variants.

Nothing here needs Ray, so that it can be tested without; `ray_pool` turns it into actors and tasks. Our
own errors are returned, not raised: Ray would wrap them in its own classes.
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
from mmdbench.run.engines.pool import ModelFacts
from mmdbench.run.engines.worker import Made, OpenedModel, make
from mmdbench.run.plan import Planned
from mmdbench.run.prefetch import CleanImageCache
from mmdbench.system.environment import versions
from mmdbench.system.opencv import single_threaded_opencv
from mmdbench.system.secrets import error_text

__all__ = ["AskResult", "OpenResult", "RayActor", "checked_versions", "make_part"]

_PRINTED_CHARACTERS = 1 << 16


@dataclass(frozen=True, slots=True)
class OpenResult:
    """Result of opening the model: its facts or an error, the actor's place, and the id of its node."""

    facts: ModelFacts | None
    error: MmdbenchError | None
    place: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class AskResult:
    """Replies to a part, the error that ends the run if there is one, and the text that was printed."""

    replies: Sequence[Reply]
    error: MmdbenchError | None
    printed: str


def checked_versions() -> dict[str, str]:
    """The versions that must be equal on all nodes, because pictures are made and decoded there."""
    found = versions()
    return {name: found[name] for name in ("mmdbench", "pillow", "libjpeg")}


def make_part(part: Sequence[Planned], wanted: Mapping[str, str]) -> list[Made]:
    """The variants of some requests, made by a task on any node; `wanted` are the versions to have."""
    other = _differing(wanted)
    if other is not None:
        return [(planned, other) for planned in part]
    images = CleanImageCache()
    with single_threaded_opencv():
        return [make(planned, images) for planned in part]


class RayActor:
    """The model in a process of the cluster.

    It is opened by a call of its own, so that an error of opening can be returned.
    """

    def __init__(self, card: ModelCard, wanted: Mapping[str, str]) -> None:
        self._card = card
        self._wanted = wanted
        self._model: OpenedModel | None = None
        self._printed = _Printed()

    def open(self) -> OpenResult:
        """Open the model, unless it is open already."""
        place = f"process {os.getpid()} on {socket.gethostname()}"
        facts: ModelFacts | None = None
        error: MmdbenchError | None = _differing(self._wanted)
        if error is None:
            try:
                with self._printed.kept():
                    self._model = self._model or OpenedModel(self._card)
                    facts = self._model.facts()
            except Exception as raised:  # noqa: BLE001 - an adapter is foreign code, and may raise anything
                error = self._ours(raised)
        return OpenResult(facts, error, place, _node())

    def prompt(self, question: Question, default: str) -> str:
        """The prompt as the model words it."""
        assert self._model is not None
        return self._model.prompt(question, default)

    def ask(self, part: Sequence[Made]) -> AskResult:
        """The replies to some requests."""
        assert self._model is not None
        error: MmdbenchError | None
        try:
            with self._printed.kept():
                replies, error = self._model.ask(part)
        except Exception as raised:  # noqa: BLE001 - an adapter is foreign code, and may raise anything
            replies, error = [], self._ours(raised)
        return AskResult(replies, error, self._printed.take())

    def _ours(self, raised: Exception) -> MmdbenchError:
        if isinstance(raised, MmdbenchError):
            return raised
        return ModelError(f"The model {self._card.name!r} failed: {error_text(raised)}.")


class _Printed:
    """The output of Python code, kept for the worker's log in addition to Ray's own logs."""

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
        return text[-_PRINTED_CHARACTERS:]


class _Tee:
    """A text file that writes to another one and keeps the text."""

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
    here = checked_versions()
    for name, version in wanted.items():
        if here[name] != version:
            return ModelError(
                f"{socket.gethostname()} has {name} {here[name]}; where the run was started it is {version}.",
                hint="Install the same packages on every node, or name them in Ray's runtime_env.",
            )
    return None
