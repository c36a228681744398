"""Means over strata and over a balanced design, as values whose plain mean is the estimate.

Both functions return one value and one residual for each question: the mean of the values is
the estimate, and the residuals (the part that strata or corruptions do not explain) give its
variance. `proportion` and `paired_difference` take them as they are. This is the linearisation of
survey sampling: Särndal, Swensson and Wretman, Model Assisted Survey Sampling (1992), ch. 5.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdbench.stats.means import Floats

__all__ = ["Stratified", "group_balanced", "stratify"]


@dataclass(frozen=True, slots=True)
class Stratified:
    """Values (n) whose mean is the estimate, residuals (n) of mean 0, and the share that was asked."""

    values: NDArray[np.float64]
    residuals: NDArray[np.float64]
    fraction: float = 0.0


def stratify(
    hits: Floats, strata: Sequence[Hashable], populations: Mapping[Hashable, int] | int
) -> Stratified:
    """Values of a stratified sample, whose mean estimates that of the whole benchmark.

    The variance is that within strata, with n/(n − 1) in each (Cochran, Sampling Techniques, 3rd ed.,
    1977, equations 5.6 to 5.8); strata with one question are joined, which can only widen the
    interval. With a population for each stratum, each has its own finite population correction: one
    of which every question was asked adds nothing. Strata of which no question was asked are left
    out of the estimate.

    Args:
        hits: One hit for each question asked, in 0..1.
        strata: The stratum of each of these questions.
        populations: The number of questions that each stratum has in the benchmark; or the size of
            the benchmark, if the sample holds each stratum's share and every question weighs the same.

    Returns:
        One value and one residual for each question asked, and the share that was asked.

    >>> s = stratify([1, 1, 0, 0], ["a", "a", "b", "b"], {"a": 30, "b": 10})
    >>> float(s.values.mean()), s.fraction
    (0.75, 0.1)
    """
    values = np.asarray(hits, np.float64)
    members: dict[Hashable, list[int]] = {}
    for row, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(row)
    n = len(values)
    weights, left = np.ones(n), np.ones(n)
    if isinstance(populations, int):
        total = populations
    else:
        total = sum(populations[name] for name in members)
        for name, rows in members.items():
            weights[rows] = populations[name] / total * n / len(rows)
            if total > n:  # the whole sample's correction is applied with the fraction
                left[rows] = (1 - len(rows) / populations[name]) / (1 - n / total)
    single = [rows[0] for rows in members.values() if len(rows) == 1]
    groups = [rows for rows in members.values() if len(rows) > 1] + ([single] if single else [])
    residuals = np.zeros(n)
    for rows in groups:
        inner = values[rows] - values[rows].mean()
        residuals[rows] = inner * np.sqrt(len(rows) / max(len(rows) - 1, 1))
    if len(single) == 1:  # nothing to join it with: the whole sample's mean is its neighbour
        residuals[single] = values[single] - values.mean()
    spread = residuals * weights * np.sqrt(np.maximum(left, 0))
    return Stratified(values * weights, spread, min(1.0, n / total) if total else 0.0)


def group_balanced(
    hits: Floats, units: Sequence[Any] | NDArray[Any], groups: Sequence[Any] | NDArray[Any]
) -> tuple[NDArray[Any], Stratified]:
    """Values of a mean over groups in which every group weighs the same, one for each unit.

    A group has the same weight however often it was drawn, so K of 16 corruptions per question
    estimate the mean over all 16 without bias, and the choice of corruptions for a question adds
    nothing to the variance.

    Args:
        hits: The hits of all rows, in 0..1.
        units: The unit of each row that is independent of the others: its question, by a number or a name.
        groups: The group of each row: its corruption (`grid`, `balanced:K`) or its source.

    Returns:
        The units in the order in which they first occur, and one value and one residual for each.
    """
    order, rows = _in_order(np.asarray(units))
    names, columns = _in_order(np.asarray(groups))
    values = np.asarray(hits, np.float64)
    counts = np.bincount(columns, minlength=len(names))
    means = np.bincount(columns, values, len(names)) / np.maximum(counts, 1)
    share = len(order) / (len(names) * counts[columns]) if len(values) else values
    per_unit = np.bincount(rows, values * share, len(order)).astype(np.float64)
    inner = values - means[columns]
    if len(names) > 1:
        # Each group's mean was estimated too: n/(n − 1), and a lone hit has the grand mean for a neighbour.
        inner = inner * np.sqrt(counts / np.maximum(counts - 1, 1))[columns]
        inner = np.where(counts[columns] > 1, inner, values - means.mean())
    spread = np.bincount(rows, inner * share, len(order)).astype(np.float64)
    return order, Stratified(per_unit, spread)


def _in_order(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The distinct values in the order in which they first occur, and the place there of each."""
    if values.dtype.kind == "i" and (np.diff(values) > 0).all():  # as in most series of questions
        return values, np.arange(len(values))
    found, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return found[order], place[inverse]
