"""Samples as packs: which of them are read together in one sequence.

The order of a group, the choice of groups and what is dropped follow from a seed and from counts, so a
place in the data is a few numbers (`state`), and a resumed training takes the same packs.

Source: CLEAR's published code, whose sizes are the defaults of `PackingSettings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mmdbench.errors import DataError
from mmdbench.system.digest import derive_seed
from mmdbench.training.clear.profiles import DropSettings, PackingSettings
from mmdbench.training.clear.samples import SftSample
from mmdbench.training.clear.segments import SequenceSegment, draw_drops

__all__ = ["DrawnSample", "PackStream", "StreamPlace", "seeded"]


def seeded(*parts: str | int) -> torch.Generator:
    """A source of chance that follows from a name and numbers."""
    return torch.Generator().manual_seed(derive_seed(*parts))


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """The process that reads a stream: its number among `processes`, and the seed of the training."""

    seed: int = 0
    process: int = 0
    processes: int = 1


@dataclass(frozen=True, slots=True)
class DrawnSample:
    """A sample as it was drawn: `number` counts the draws of its process; segments may be dropped."""

    number: int
    group: str
    row: int
    segments: tuple[SequenceSegment, ...]

    @property
    def rows(self) -> int:
        """Rows in a sequence."""
        return sum(segment.rows for segment in self.segments)


class PackStream:
    """Packs without end for one process, drawn from groups of samples.

    Each pack begins with one sample of every group; the others are drawn by the groups' weights. A group
    is read in a new order in each pass, and dealt out to the processes in turn. A sample that is longer
    than any pack is left out and counted in `left_out`.

    Args:
        samples: The samples by group.
        settings: Sizes of packs, and the groups' weights.
        drops: Probabilities to drop segments.
        place: The process that reads the stream.

    Raises:
        DataError: A group with a weight has no sample that fits.
    """

    def __init__(
        self,
        samples: Mapping[str, Sequence[SftSample]],
        settings: PackingSettings,
        drops: DropSettings,
        place: StreamPlace,
    ) -> None:
        missing = sorted(set(settings.weights) - {group for group, own in samples.items() if own})
        if missing:
            raise DataError(
                f"No sample is of the group {' or '.join(missing)}, which has a weight.",
                hint="Give weights to the groups that the training set has.",
            )
        fitting = {g: [s for s in samples[g] if s.rows <= settings.max_rows] for g in settings.weights}
        self.left_out = sum(len(samples[g]) - len(fitting[g]) for g in fitting)
        for group, own in fitting.items():
            if not own:
                raise DataError(
                    f"Every sample of the group {group} has more than {settings.max_rows} rows.",
                    hint="Raise max_rows.",
                )
        self.samples, self.settings, self.drops, self.place = fitting, settings, drops, place
        self._drawn = 0
        self._taken = dict.fromkeys(fitting, 0)
        self._waiting: list[DrawnSample] = []
        self._orders: dict[tuple[str, int], list[int]] = {}

    def next_pack(self) -> tuple[DrawnSample, ...]:
        """The next pack, at least one sample."""
        pack: list[DrawnSample] = []
        rows, own = 0, self.settings
        first = list(own.weights)
        while rows < own.expected_rows:
            sample = self._first(first.pop(0), rows) if first else self._next(rows)
            if sample is None:
                continue
            if rows + sample.rows <= own.max_rows:
                pack.append(sample)
                rows += sample.rows
                continue
            self._waiting.append(sample)
            if len(self._waiting) > own.waiting:
                break
        return tuple(pack)

    def state(self) -> dict[str, Any]:
        """The place in the data, as plain numbers."""
        waiting = [[w.number, w.group, w.row] for w in self._waiting]
        return {"drawn": self._drawn, "taken": dict(self._taken), "waiting": waiting}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a place that `state` gave."""
        self._drawn, self._taken = state["drawn"], dict(state["taken"])
        self._waiting = [self._dropped(*entry) for entry in state["waiting"]]

    def _first(self, group: str, rows: int) -> DrawnSample | None:
        """A waiting sample of a group, None if those do not fit, or a new one if none waits."""
        waiting = [sample for sample in self._waiting if sample.group == group]
        return self._take(waiting, rows) if waiting else self._draw(group)

    def _next(self, rows: int) -> DrawnSample:
        waiting = self._waiting if rows < self.settings.prefer_waiting_below else []
        return self._take(waiting, rows) or self._draw(self._group())

    def _take(self, waiting: Sequence[DrawnSample], rows: int) -> DrawnSample | None:
        fitting = (sample for sample in waiting if rows + sample.rows <= self.settings.max_rows)
        if (found := next(fitting, None)) is not None:
            self._waiting.remove(found)
        return found

    def _group(self) -> str:
        names = list(self.settings.weights)
        weights = torch.tensor([self.settings.weights[name] for name in names], dtype=torch.float64)
        chance = seeded("group", self.place.seed, self.place.process, self._drawn)
        return names[int(torch.multinomial(weights, 1, generator=chance))]

    def _draw(self, group: str) -> DrawnSample:
        count, place = len(self.samples[group]), self.place
        epoch, at = divmod(self._taken[group] * place.processes + place.process, count)
        self._taken[group] += 1
        self._drawn += 1
        return self._dropped(self._drawn - 1, group, self._order(group, epoch)[at])

    def _order(self, group: str, epoch: int) -> list[int]:
        if (group, epoch) not in self._orders:
            chance = seeded("order", self.place.seed, group, epoch)
            order = torch.randperm(len(self.samples[group]), generator=chance).tolist()
            self._orders = {k: v for k, v in self._orders.items() if k[0] != group} | {(group, epoch): order}
        return self._orders[group, epoch]

    def _dropped(self, number: int, group: str, row: int) -> DrawnSample:
        chance = seeded("drops", self.place.seed, self.place.process, number)
        segments = draw_drops(self.samples[group][row].segments, self.drops, chance)
        return DrawnSample(number, group, row, segments)
