"""Selects the samples to keep: the two modes in balance, each spread over corruptions and levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mmdbench.system.bounds import require_above
from mmdbench.system.digest import derive_seed
from mmdbench.training.samples import Mode, TrainingSample

__all__ = ["Selection", "select_samples"]

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


def select_samples(
    samples: Sequence[TrainingSample], *, balance: float | None = 1.0, seed: int = 0
) -> Selection:
    """Keep as many samples as the balance of the two modes allows.

    Surplus samples are drawn evenly over corruptions and levels: each (corruption, level) keeps its
    share of its mode. The result does not depend on the order of the samples.

    Args:
        samples: All samples of a run.
        balance: Samples of the mode `generate` for each `direct` one; None keeps every fit sample.
        seed: The seed of the draw.

    Returns:
        The selection, in the order of `samples`.

    Raises:
        UsageError: The balance is not above 0.
    """
    if balance is None:
        return Selection(tuple(samples))
    require_above("--balance", balance, 0)
    fit: dict[Mode, list[TrainingSample]] = {"direct": [], "generate": []}
    for sample in samples:
        if not sample.left_out:
            fit[sample.mode].append(sample)
    direct = min(len(fit["direct"]), int(len(fit["generate"]) / balance + 1e-9))
    wanted: dict[Mode, int] = {
        "direct": direct,
        "generate": min(len(fit["generate"]), round(direct * balance)),
    }
    taken = {s.cell for mode in fit for s in _spread(fit[mode], seed)[: wanted[mode]]}
    return Selection(
        tuple(s if s.left_out or s.cell in taken else replace(s, left_out=SURPLUS) for s in samples)
    )


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
