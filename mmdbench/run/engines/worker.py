"""What a worker does wherever it runs, and what a run asks of all workers together.

A worker opens the model of a card, makes the variants of what it is given and asks. What is given
holds the encoded clean images, so that a worker on another machine needs no benchmark's file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeGuard, cast

from mmdbench.errors import MmdbenchError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.models.registry import Model, is_async, open_model
from mmdbench.records import Outcome, Question, Reply, Variant
from mmdbench.run.batch_driver import BatchDriver
from mmdbench.run.budget import Spending
from mmdbench.run.plan import Planned
from mmdbench.run.prefetch import CleanImageCache, make_variants
from mmdbench.run.replies import image_error_reply, make_reply

__all__ = [
    "DEATHS_OF_A_REQUEST",
    "BytesImage",
    "Crew",
    "CrewReport",
    "Facts",
    "Made",
    "Worker",
    "died",
    "is_crew",
    "make",
    "packed",
]

DEATHS_OF_A_REQUEST = 3
"""How often a request may be in a worker's hands when it dies; then the request is an error."""

Made = tuple[Planned, "list[Variant] | MmdbenchError"]
"""A planned cell and its variants, or why they could not be made."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a worker's model says of itself; `rewords` says that it words prompts in its own way."""

    fingerprint: Mapping[str, Any]
    batch_size: int
    rewords: bool


@dataclass(frozen=True, slots=True)
class CrewReport:
    """What became of the workers: replies of each by its name, and how many had to be started again."""

    engine: str
    replies: Mapping[str, int]
    restarts: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As a run's manifest keeps it."""
        return {"engine": self.engine, "replies": dict(self.replies), "restarts": self.restarts}

    def __str__(self) -> str:
        counts = ", ".join(f"{name}: {count}" for name, count in self.replies.items())
        again = f"; started again: {self.restarts}" if self.restarts else ""
        return f"replies by worker {counts}{again}"


class Crew(Protocol):
    """Workers that each hold the model; stands in for the model where a run is planned."""

    @property
    def batch_size(self) -> int:
        """How many requests a worker's model likes at once."""
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """The fingerprint of the model; every worker's is the same."""
        ...

    def prompt(self, question: Question, default: str) -> str:
        """The prompt as the model words it; `default` where it leaves that to the benchmark."""
        ...

    def carry_out(
        self,
        todo: Sequence[Planned],
        spending: Spending,
        keep: Callable[[Reply], None],
        tell: Callable[[str], None],
    ) -> None:
        """Ask all of it; `keep` is called in this process, once for each reply, `tell` with news.

        Raises ModelError if the model fails everywhere. Returns early, with what was under way
        finished, when the budget is spent.
        """
        ...

    def report(self) -> CrewReport:
        """What became of the workers so far."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


def is_crew(model: object) -> TypeGuard[Crew]:
    """Whether a model is really workers that hold it."""
    return callable(getattr(model, "carry_out", None))


@dataclass(frozen=True, slots=True)
class BytesImage:
    """An encoded image that travels with its request."""

    where: str
    data: bytes

    def read(self) -> bytes:
        """The encoded image."""
        return self.data


def packed(chunk: Sequence[Planned]) -> list[Planned]:
    """The same requests with their images in them, each only once; raises what reading them raises."""
    known: dict[int, BytesImage] = {}

    def pack(source: Any) -> BytesImage:
        if id(source) not in known:
            known[id(source)] = BytesImage(source.where, source.read())
        return known[id(source)]

    return [replace(planned, images=tuple(map(pack, planned.images))) for planned in chunk]


def make(planned: Planned, images: CleanImageCache) -> Made:
    """A planned cell with its variants."""
    try:
        return planned, make_variants(planned, images)
    except MmdbenchError as error:
        return planned, error


@dataclass
class Worker:
    """One model, opened from its card, and the replies that it gives."""

    card: ModelCard
    model: Model = field(init=False)

    def __post_init__(self) -> None:
        model = open_model(self.card)
        if is_async(model):
            raise UsageError(
                f"{self.card.name} is behind a server, which many requests reach at once from one process.",
                hint="Leave --engine, --gpus and --processes out; --concurrency says how many at once.",
            )
        check = getattr(model, "check", None)
        if check is not None:
            check()
        self.model = cast("Model", model)
        self._replies: list[Reply] = []
        self._driver = BatchDriver(self.model, self.card.name, self.card.generation, self._replies.append)

    def facts(self) -> Facts:
        """What planning needs to know of the model."""
        rewords = getattr(self.model, "prompt", None) is not None
        return Facts(dict(self.model.fingerprint()), self.batch_size, rewords)

    @property
    def batch_size(self) -> int:
        """How many requests the model likes at once."""
        return max(1, int(getattr(self.model, "batch_size", 1)))

    def prompt(self, question: Question, default: str) -> str:
        """The prompt as the model words it."""
        override = getattr(self.model, "prompt", None)
        return default if override is None else str(override(question, default))

    def ask(self, batch: Sequence[Made]) -> tuple[list[Reply], MmdbenchError | None]:
        """The replies, and the error that makes going on senseless if there is one."""
        self._replies.clear()
        whole = []
        for planned, variants in batch:
            if isinstance(variants, MmdbenchError):
                self._replies.append(image_error_reply(planned, variants))
            else:
                whole.append((planned, variants))
        try:
            while whole:
                size = self.batch_size  # a model may learn that it likes fewer
                self._driver.ask(whole[:size])
                whole = whole[size:]
        except MmdbenchError as error:
            return list(self._replies), error
        return list(self._replies), None


def died(planned: Planned, how: str) -> Reply:
    """What is stored for a request that took its worker down every time."""
    reason = f"the worker that asked it died {DEATHS_OF_A_REQUEST} times ({how})"
    return make_reply(planned, [], Outcome("", "error", reason), attempts=DEATHS_OF_A_REQUEST)
