"""Records of a training set as prompts of reinforcement learning, and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from mmdbench.bagel.images import open_picture
from mmdbench.errors import DataError
from mmdbench.system.inner_paths import plain_name
from mmdbench.training.clear.layout import CLEAN
from mmdbench.training.clear.packing import StreamPlace, seeded
from mmdbench.training.clear.samples import SftSource
from mmdbench.training.rewards import judged_text
from mmdbench.training.training_format import TrainingRecord, read_records

__all__ = ["DEGRADED", "GrpoPrompt", "PromptStream", "read_prompts"]

DEGRADED = "degraded"
"""The picture of a prompt."""


@dataclass(frozen=True, slots=True)
class GrpoPrompt:
    """A question about a degraded picture, and its right answer.

    `rows` are those of the whole prompt, and `latent_rows` those of a restored picture.
    `files` are the files of the pictures by name: `degraded`, and `clean` where there is one.
    """

    id: str
    question: str
    truth: str
    files: Mapping[str, Path]
    rows: int
    latent_rows: int

    def picture(self, name: str) -> Image.Image:
        """One of the original pictures, RGB."""
        return open_picture(self.files[name].read_bytes())


def read_prompts(source: SftSource) -> tuple[GrpoPrompt, ...]:
    """The prompts of a training set. Raises DataError if it has none, or for the first that is not whole."""
    found = tuple(_prompt(source, record) for record in read_records(source.file))
    if not found:
        raise DataError(f"{source.file} has no records.", hint="mmdbench assign writes rl.jsonl.")
    return found


def _prompt(source: SftSource, record: TrainingRecord) -> GrpoPrompt:
    where, folder = f"{source.file}, record {record.id!r}", source.file.parent
    truth = judged_text(record.conversation.solution)
    if not truth:
        raise DataError(f"{where}: there is no right answer.", hint="mmdbench assign writes rl.jsonl.")
    named = {DEGRADED: record.image, CLEAN: record.clean_image}
    files = {k: folder / plain_name(folder, name, where, DataError) for k, name in named.items() if name}
    size = source.size(files[DEGRADED], where)
    question = record.conversation.question
    texts = sum(len(source.ids(text)) + 2 for text in (source.system, question))
    grids = (source.layout.vae_grid(*size), source.layout.vit_grid(*size))
    rows = texts + sum(grid[0] * grid[1] + 2 for grid in grids)
    return GrpoPrompt(record.id, question, truth, files, rows, grids[0][0] * grids[0][1] + 2)


class PromptStream:
    """Prompts without end for one process: a new order in each pass, dealt out to the processes in turn."""

    def __init__(self, prompts: Sequence[GrpoPrompt], place: StreamPlace) -> None:
        self.prompts, self.place, self._taken = tuple(prompts), place, 0

    def next_prompt(self) -> tuple[int, GrpoPrompt]:
        """The number of the draw among those of all processes, and the prompt."""
        number = self._taken * self.place.processes + self.place.process
        self._taken += 1
        epoch, at = divmod(number, len(self.prompts))
        chance = seeded("prompts", self.place.seed, epoch)
        return number, self.prompts[int(torch.randperm(len(self.prompts), generator=chance)[at])]

    def state(self) -> dict[str, Any]:
        """The place in the data, as plain numbers."""
        return {"taken": self._taken}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a place that `state` gave."""
        self._taken = int(state["taken"])
