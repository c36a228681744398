"""Quality of pictures without a reference: BRISQUE, NIQE and MUSIQ, measured by pyiqa.

pyiqa is an extra (`iqa`) under the PolyForm Noncommercial licence, imported only when a metric is
opened. Implementations of one metric disagree, so every value is stored with the name and version of
its implementation and the digest of its weights. Values are cached by pixel digest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from mmdbench.errors import ShapeError, StoreError
from mmdbench.run.folder import QUALITY_CACHE_FILE, QUALITY_FILE
from mmdbench.run.json_lines import LineAppender, read_records
from mmdbench.stats import Estimate, proportion
from mmdbench.system.bounds import require_at_least
from mmdbench.system.digest import value_digest, with_digest, without_digest
from mmdbench.system.files import write_atomic
from mmdbench.system.json_text import parse_json
from mmdbench.system.shapes import check_shape

__all__ = [
    "BETTER",
    "Picture",
    "QualityBin",
    "QualityMetric",
    "accuracy_by_quality",
    "measure",
    "read_quality",
    "write_quality",
]


BETTER = {"brisque": "lower", "niqe": "lower", "musiq": "higher"}
"""The end of each metric that means better quality."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class QualityMetric:
    """An opened metric: name, implementation, and a function from N×H×W×3 RGB uint8 pixels to N values."""

    name: str
    implementation: Mapping[str, str]
    values: Callable[[Pixels], Sequence[float]]

    @property
    def id(self) -> str:
        """A short name of the implementation; it changes with everything that could change a value."""
        return f"{self.name}-{value_digest(dict(self.implementation))[:16]}"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to measure: its place in a run, its pixel digest, and a function that loads its RGB pixels.

    `kind` is clean, recoded, degraded or restored (the model's own); `image` for a file in a folder.
    """

    kind: str
    level: str
    corruption: str
    digest: str
    load: Callable[[], Pixels] = field(compare=False)
    file: str = ""


@dataclass(frozen=True, slots=True)
class QualityBin:
    """Answers whose pictures are of similar quality: `low`..`high`, their mean, and the share that is right.

    `accuracy` is in points (0..100); `n` counts answers, `accuracy.n` questions.
    """

    low: float
    high: float
    quality: float
    accuracy: Estimate
    n: int


def measure(
    pictures: Sequence[Picture],
    metrics: Sequence[QualityMetric],
    folder: Path,
    *,
    batch: int = 8,
    on_progress: Callable[[int, int], object] | None = None,
) -> dict[tuple[str, str], float | None]:
    """Measure pictures, those of one size together.

    Every value is appended to the folder's cache at once, so that an interrupted call loses none.

    Args:
        pictures: The pictures.
        metrics: The opened metrics.
        folder: The folder with the cache.
        batch: The most pictures to measure together, at least 1.
        on_progress: Gets the number of pictures that were measured, and of how many.

    Returns:
        Values by (pixel digest, metric's name); None where a picture is too small or flat to be measured.

    Raises:
        UsageError: `batch` is less than 1.
    """
    require_at_least("batch", batch, 1)
    cache = folder / QUALITY_CACHE_FILE
    known = _read_cache(cache)
    found = {
        (p.digest, m.name): known[p.digest, m.id]
        for p in pictures
        for m in metrics
        if (p.digest, m.id) in known
    }
    todo = {p.digest: p for p in pictures if any((p.digest, m.name) not in found for m in metrics)}
    done = 0
    with closing(LineAppender(cache)) as file:
        for digests, pixels in _batches(todo.values(), batch):
            for metric in metrics:
                values = _values(metric, pixels)
                for digest, value in zip(digests, values, strict=True):
                    found[digest, metric.name] = value
                    row = {"pixels": digest, "metric": metric.id, "value": value}
                    file.append(json.dumps(row))
            done += len(digests)
            if on_progress is not None:
                on_progress(done, len(todo))
    return found


def write_quality(
    folder: Path,
    pictures: Sequence[Picture],
    metrics: Sequence[QualityMetric],
    values: Mapping[tuple[str, str], float | None],
) -> dict[str, Any]:
    """Write `quality.json`: implementations, and each picture with its values.

    Args:
        folder: The folder to write to.
        pictures: The pictures; each is written once.
        metrics: The metrics that were measured.
        values: Values by (pixel digest, name of the metric).

    Returns:
        The record that was written.
    """
    images = []
    for picture in dict.fromkeys(pictures):
        row: dict[str, Any] = {"kind": picture.kind, "level": picture.level, "pixels": picture.digest}
        row |= {"corruption": picture.corruption} if picture.corruption else {}
        row |= {"file": picture.file} if picture.file else {}
        images.append(row | {metric.name: values[picture.digest, metric.name] for metric in metrics})
    record = {
        "kind": "mmdbench quality",
        "metrics": [metric.name for metric in metrics],
        "implementations": {metric.name: dict(metric.implementation) for metric in metrics},
        "images": images,
    }
    text = json.dumps(with_digest(record), ensure_ascii=False, indent=1)
    write_atomic(folder / QUALITY_FILE, text + "\n")
    return record


def read_quality(folder: Path | None) -> dict[str, Any]:
    """The record that `write_quality` wrote to a folder; empty if there is none.

    Raises StoreError for a file that cannot be read.
    """
    path = folder / QUALITY_FILE if folder else None
    if path is None or not path.exists():
        return {}
    try:
        record = parse_json(path.read_bytes())
        check_shape(record, _QualityRecord, "file")
        record = without_digest(record)
        for place, image in enumerate(record.get("images", ())):
            for metric in record.get("metrics", ()):
                check_shape(image.get(metric), float | None, f"images[{place}].{metric}")
    except (OSError, ValueError) as error:
        raise StoreError(f"Cannot read {path}: {error}.", hint="Run mmdbench quality again.") from error
    return dict(record)


class _ImageRecord(TypedDict, total=False):
    kind: str
    level: str
    pixels: str


class _QualityRecord(TypedDict, total=False):
    metrics: list[str]
    implementations: dict[str, dict[str, Any]]
    images: list[_ImageRecord]


class _ValueRecord(TypedDict):
    pixels: str
    metric: str
    value: float | None


def accuracy_by_quality(
    rows: Iterable[tuple[Hashable, float, float]], bins: int = 8
) -> tuple[QualityBin, ...]:
    """The share of right answers by the quality of their pictures, lowest value first.

    Each row is (question, quality, hit in 0..1). Rows are sorted by quality and cut into at most
    `bins` groups of about equal size; equal qualities stay together. The interval of a group is
    Wilson's with the question as the cluster: the share is a ratio of sums over questions, whose
    linearised residuals (W. G. Cochran, Sampling Techniques, 3rd ed. 1977, section 6.3) give its
    variance. Raises UsageError for less than one bin.

    >>> rows = [(n, float(n), float(n < 6)) for n in range(8)]
    >>> [(b.low, b.high, b.accuracy.value) for b in accuracy_by_quality(rows, bins=2)]
    [(0.0, 3.0, 100.0), (4.0, 7.0, 50.0)]
    """
    require_at_least("bins", bins, 1)
    ordered = sorted((r for r in rows if math.isfinite(r[1])), key=lambda row: row[1])
    found = []
    start = 0
    for number in range(1, bins + 1):
        end = max(start, round(number * len(ordered) / bins))
        while start < end < len(ordered) and ordered[end][1] == ordered[end - 1][1]:
            end += 1
        if end > start:
            found.append(_bin(ordered[start:end]))
        start = end
    return tuple(found)


def _bin(rows: Sequence[tuple[Hashable, float, float]]) -> QualityBin:
    sums: dict[Hashable, tuple[float, int]] = {}
    for unit, _, hit in rows:
        total, count = sums.get(unit, (0.0, 0))
        sums[unit] = (total + hit, count + 1)
    share = math.fsum(hit for _, _, hit in rows) / len(rows)
    residuals = np.array([len(sums) * (total - share * count) / len(rows) for total, count in sums.values()])
    estimate = proportion(share + residuals)
    assert estimate is not None
    mean = math.fsum(quality for _, quality, _ in rows) / len(rows)
    return QualityBin(rows[0][1], rows[-1][1], mean, estimate.scaled(100), len(rows))


def _read_cache(path: Path) -> dict[tuple[str, str], float | None]:
    if not path.exists():
        return {}
    rows = list(read_records(path))
    try:
        check_shape(rows, list[_ValueRecord], "line")
    except ShapeError as error:
        raise StoreError(f"{path} is damaged: {error}.", hint="Remove it to measure again.") from error
    return {(row["pixels"], row["metric"]): row["value"] for row in rows}


def _batches(pictures: Iterable[Picture], batch: int) -> Iterator[tuple[list[str], Pixels]]:
    waiting: dict[tuple[int, ...], list[tuple[str, Pixels]]] = {}
    held = 0
    for picture in pictures:
        pixels = picture.load()
        group = waiting.setdefault(pixels.shape, [])
        group.append((picture.digest, pixels))
        held += 1
        if len(group) == batch or held > 4 * batch:
            # With many sizes no group fills up; then the largest is measured, so that memory stays bounded.
            shape = max(waiting, key=lambda s: len(waiting[s]))
            ready = waiting.pop(shape)
            held -= len(ready)
            yield [digest for digest, _ in ready], np.stack([p for _, p in ready])
    for ready in waiting.values():
        yield [digest for digest, _ in ready], np.stack([p for _, p in ready])


def _values(metric: QualityMetric, pixels: Pixels) -> list[float | None]:
    try:
        values = [float(value) for value in metric.values(pixels)]
    except (ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError):
        # One picture that cannot be measured must not cost the others their values.
        if len(pixels) == 1:
            return [None]
        return [value for one in pixels for value in _values(metric, one[None])]
    if len(values) != len(pixels):
        raise ValueError(f"{metric.name} gave {len(values)} values for {len(pixels)} pictures")
    return [value if math.isfinite(value) else None for value in values]
