"""Selects the samples to keep, as many of each mode, and splits pictures into disjoint sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mmdbench.system.digest import derive_seed
from mmdbench.training.samples import Mode, TrainingSample

__all__ = ["Selection", "first_part", "select_samples"]

SURPLUS = "surplus"
"""The reason to leave out a fit sample: its mode has enough of them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """All samples in the order of the run, each kept or with a reason to leave it out."""

    samples: tuple[TrainingSample, ...]

    @property
    def kept(self) -> tuple[TrainingSample, ...]:
        """The samples of the data set."""
        return tuple(sample for sample in self.samples if not sample.left_out)

    @property
    def left_out(self) -> Mapping[str, int]:
        """The number of samples that are left out, by reason."""
        return dict(Counter(sample.left_out for sample in self.samples if sample.left_out))


def select_samples(samples: Sequence[TrainingSample], *, seed: int = 0) -> Selection:
    """Keep as many `direct` samples as `generate` ones: the larger mode is subsampled.

    Surplus samples are drawn evenly over corruptions and levels: each (corruption, level) keeps its
    share of its mode. The result does not depend on the order of the samples.

    Args:
        samples: All samples of a run.
        seed: The seed of the draw.

    Returns:
        The selection, in the order of `samples`.
    """
    fit: dict[Mode, list[TrainingSample]] = {"direct": [], "generate": []}
    for sample in samples:
        if not sample.left_out:
            fit[sample.mode].append(sample)
    count = min(map(len, fit.values()))
    taken = {s.cell for rows in fit.values() for s in _spread(rows, seed)[:count]}
    return Selection(
        tuple(s if s.left_out or s.cell in taken else replace(s, left_out=SURPLUS) for s in samples)
    )


def first_part(pictures: Iterable[str], share: float, seed: int = 0) -> frozenset[str]:
    """The pictures of the first part of a seeded permutation; the others are the second part.

    Args:
        pictures: Digests of pictures; each counts once, however many samples show it.
        share: The share of the first part, 0..1.
        seed: The seed of the permutation.

    Returns:
        Their digests.
    """
    shuffled = sorted(set(pictures), key=lambda digest: (derive_seed("part", digest, seed), digest))
    return frozenset(shuffled[: int(len(shuffled) * share + 0.5)])


def _spread(samples: Sequence[TrainingSample], seed: int) -> list[TrainingSample]:
    # The j-th of m samples of a stratum ranks at (j + ½)/m, so every prefix holds each stratum's share.
    strata: dict[tuple[str | None, str], list[TrainingSample]] = {}
    for sample in samples:
        strata.setdefault((sample.cell.corruption, sample.cell.level), []).append(sample)
    ranked: list[tuple[float, int, TrainingSample]] = []
    for rows in strata.values():
        rows.sort(key=lambda s: derive_seed("assign", s.cell.bench, s.cell.index, seed))
        for j, sample in enumerate(rows):
            tie = derive_seed("assign tie", sample.cell.bench, sample.cell.index, seed)
            ranked.append(((j + 0.5) / len(rows), tie, sample))
    ranked.sort(key=lambda row: row[:2])
    return [sample for _, _, sample in ranked]
