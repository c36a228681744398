"""Everything that a run needs, opened: its plan, benchmarks, model, folder and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mmdbench.benches import Bench
from mmdbench.errors import UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.models.registry import Fingerprinted
from mmdbench.records import RunPlan
from mmdbench.run.budget import Budget
from mmdbench.system.images import MAX_PIXELS, check_bad_image
from mmdbench.variants.released import ReleasedCopies
from mmdbench.variants.restoration import Restorer

__all__ = ["BatchSettings", "PictureSources", "RunInputs", "RunSettings"]


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Limits of the files of a batch endpoint, and the pauses in seconds between looks at a batch.

    The limits are those of OpenAI's API: 50,000 requests and 200 MB for a file
    (https://developers.openai.com/api/reference/resources/batches). The pause grows from look to look.
    """

    most_requests: int = 50_000
    most_bytes: int = 200_000_000
    first_pause: float = 10.0
    longest_pause: float = 300.0


_LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Settings that change neither the requests of a plan nor their replies.

    `workers` threads make variants (0: one for each core, 8 at most); `shard` is (i, n), the i-th
    of n parts, from 1; `canary` turns on the check of a model behind a server before it is asked.
    Rows whose picture cannot be read, or has more than `max_pixels` pixels, are failed replies where
    `on_bad_image` is `count`, and stop the run before it asks anything where it is `error`.
    `fresh` asks for everything again, `max_age` for what is older. With `allow_model_change` a run continues
    where the server begins to answer as another model. With `batch` requests go through the server's
    batch endpoint. `label` heads the run in tables; empty for the label that it has, or the model's name.
    """

    budget: Budget = field(default_factory=Budget)
    retry_errors: bool = True
    canary: bool = True
    workers: int = 0
    shard: tuple[int, int] = (1, 1)
    on_bad_image: str = "count"
    max_pixels: int = MAX_PIXELS
    fresh: bool = False
    max_age: timedelta | None = None
    allow_model_change: bool = False
    batch: BatchSettings | None = None
    label: str = ""

    def __post_init__(self) -> None:
        number, count = self.shard
        if not 1 <= number <= count:
            raise UsageError(f"--shard must be between 1/{count} and {count}/{count}, got {number}/{count}.")
        check_bad_image(self.on_bad_image, self.max_pixels)
        if self.fresh and self.max_age is not None:
            raise UsageError("--fresh asks everything again.", hint="Leave out --max-age, or --fresh.")
        if (
            not self.label.isprintable()
            or len(self.label) > _LONGEST_LABEL
            or self.label != self.label.strip()
        ):
            raise UsageError(
                f"--label must be one line of at most {_LONGEST_LABEL} characters, got {self.label!r}."
            )


@dataclass(frozen=True, slots=True)
class PictureSources:
    """The restorer and the released files that a plan names, opened; empty for a plan that names none."""

    restorer: Restorer | None = None
    released: ReleasedCopies = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunInputs:
    """A plan and everything opened that carries it out.

    `benches` are those of the plan, in its order; `model` is a model or a pool of workers that hold
    it, and `card` describes it; `pictures` holds the restorer and the released files that the plan names.
    """

    plan: RunPlan
    benches: Sequence[Bench]
    model: Fingerprinted
    card: ModelCard
    folder: Path
    settings: RunSettings = field(default_factory=RunSettings)
    pictures: PictureSources = field(default_factory=PictureSources)
