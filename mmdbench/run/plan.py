"""What a run asks, addressed by everything that could change the reply.

The key of a request is the SHA-256 of the model's fingerprint, the prompt, the recipe of every
image, the generation settings and, where images are restored, the restorer's fingerprint. Two
different pictures never share a key; a benchmark under another name does; a changed model, prompt,
codec or spec never finds a stale reply.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.benches import build_prompt
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UsageError
from mmdbench.models.registry import Fingerprinted, ModelCard
from mmdbench.records import CLEAN, RECODED, BenchData, Cell, ImageSource, Question, Recipe, RunPlan
from mmdbench.run.store import read_records
from mmdbench.system.digest import bytes_digest, canonical_json, value_digest
from mmdbench.system.files import write_atomic
from mmdbench.variants.design import plan_cells
from mmdbench.variants.recipes import clean_image, recipe_for
from mmdbench.variants.released import ReleasedCopies, released_images
from mmdbench.variants.restoration import Restorer

__all__ = [
    "OWN_PICTURES",
    "PLAN_FILES",
    "Pictures",
    "Planned",
    "PlannedCell",
    "StoredBench",
    "plan_requests",
    "read_cells",
    "read_questions",
    "reply_key",
    "write_plan",
]

_CELLS_FILE = "cells.jsonl"
_QUESTIONS_FILE = "questions.jsonl"
_DIGESTS_FILE = "images.jsonl"

PLAN_FILES = (_CELLS_FILE, _QUESTIONS_FILE, _DIGESTS_FILE)
"""What planning writes into a run's folder."""


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell and the key that its reply is stored under."""

    cell: Cell
    key: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """What was opened for a plan that names more than benchmarks: a restorer, the authors' files."""

    restorer: Restorer | None = None
    released: ReleasedCopies = field(default_factory=dict)


OWN_PICTURES = Pictures()
"""Nothing of the kind: the benchmark's own pictures, degraded by recipes."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A cell with all that is needed to ask it; the images are made later.

    `images` are what the recipes start from, `sizes` the width and height of each in pixels;
    `restorer` is what the variants go through, if anything; `reworded` says that the prompt is
    the adapter's and not the benchmark's.
    """

    key: str
    cell: Cell
    question: Question
    prompt: str
    recipes: tuple[Recipe, ...]
    images: tuple[ImageSource, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    restorer: Restorer | None = None
    reworded: bool = False


def plan_requests(
    plan: RunPlan,
    benches: Sequence[BenchData],
    model: Fingerprinted,
    card: ModelCard,
    spec: Spec,
    folder: Path,
    pictures: Pictures = OWN_PICTURES,
) -> list[Planned]:
    """Every request of the plan, all cells of a question together, in the order they are asked.

    Each image is decoded once in the life of the run's folder, to learn the digest of its pixels.
    Raises UsageError if the plan names a restorer or released files that `pictures` does not hold.
    """
    if bool(plan.restore) != (pictures.restorer is not None):
        raise UsageError("The plan's restorer and the one that was opened do not go together.")
    restoration = pictures.restorer.fingerprint() if pictures.restorer else None
    fingerprint = value_digest(dict(model.fingerprint()))
    families = {bench.name: bench.family for bench in benches}
    digests = _Digests(folder / _DIGESTS_FILE)
    planned = []
    for question, cells in plan_cells(plan, benches, spec):
        default = build_prompt(question, families[question.bench])
        prompt = _prompt(model, question, default)
        own = [digests.of(source) for source in question.images]
        for cell in cells:
            degraded = cell.level not in (CLEAN, RECODED)
            sources, images = question.images, own
            if degraded and plan.design == "released":
                sources = released_images(pictures.released, cell)
                images = [digests.of(source) for source in sources]
            recipes = tuple(recipe_for(cell, image.digest, plan, spec) for image in images)
            restored = degraded or plan.restore_clean
            key = reply_key(fingerprint, prompt, recipes, card.generation, restoration if restored else None)
            planned.append(
                Planned(
                    key,
                    cell,
                    question,
                    prompt,
                    recipes,
                    sources,
                    tuple(image.size for image in images),
                    pictures.restorer if restored else None,
                    prompt != default,
                )
            )
    digests.save()
    return planned


def reply_key(
    fingerprint: str,
    prompt: str,
    recipes: Iterable[Recipe],
    generation: Mapping[str, Any],
    restoration: Mapping[str, Any] | None = None,
) -> str:
    """The key of a request: 64 hexadecimal digits; `restoration` counts only where there is one."""
    parts: dict[str, Any] = {
        "model": fingerprint,
        "prompt": prompt,
        "images": [recipe.as_dict() for recipe in recipes],
        "generation": dict(generation),
    }
    return value_digest(parts if restoration is None else {**parts, "restore": dict(restoration)})


@dataclass(frozen=True, slots=True)
class StoredBench:
    """The questions of a run's plan, without their images, as the run's folder keeps them."""

    name: str
    family: str
    questions: tuple[Question, ...]


def write_plan(folder: Path, planned: Sequence[Planned], benches: Sequence[BenchData]) -> None:
    """Keep in the run's folder what its latest plan asks, so that it can be graded from there alone."""
    cells = ([p.cell.bench, p.cell.index, p.cell.level, p.cell.corruption, p.key] for p in planned)
    write_atomic(folder / _CELLS_FILE, _lines({"cell": cell} for cell in cells))
    families = {bench.name: bench.family for bench in benches}
    questions = {(p.cell.bench, p.cell.index): p.question for p in planned}.values()
    rows = (
        {"bench": q.bench, "family": families[q.bench], "index": q.index, "fields": dict(q.fields)}
        for q in questions
    )
    write_atomic(folder / _QUESTIONS_FILE, _lines(rows))


def read_cells(folder: Path) -> list[PlannedCell]:
    """The cells of a run's latest plan, in the order they are asked."""
    rows = (record["cell"] for record in read_records(folder / _CELLS_FILE))
    return [PlannedCell(Cell(*row[:4]), row[4]) for row in rows]


def read_questions(folder: Path) -> list[StoredBench]:
    """The benchmarks of a run's latest plan with the questions that were planned."""
    found: dict[tuple[str, str], list[Question]] = {}
    for record in read_records(folder / _QUESTIONS_FILE):
        question = Question(record["bench"], record["index"], record["fields"])
        found.setdefault((record["bench"], record["family"]), []).append(question)
    return [StoredBench(name, family, tuple(rows)) for (name, family), rows in found.items()]


def _lines(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _prompt(model: Fingerprinted, question: Question, default: str) -> str:
    override = getattr(model, "prompt", None)
    return default if override is None else str(override(question, default))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What planning learns of an image: the digest of its pixels, its width and its height."""

    digest: str
    size: tuple[int, int]


class _Digests:
    """Digest of an image's bytes → what its pixels are, remembered in a run's folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        rows = read_records(path) if path.exists() else ()
        self._known = {
            r["bytes"]: _Seen(r["pixels"], (r["size"][0], r["size"][1])) for r in rows if "size" in r
        }
        self._saved = len(self._known)

    def of(self, source: ImageSource) -> _Seen:
        data = source.read()
        name = bytes_digest(data)
        if name not in self._known:
            clean = clean_image(data, source.where)
            height, width = clean.pixels.shape[:2]
            self._known[name] = _Seen(clean.digest, (width, height))
        return self._known[name]

    def save(self) -> None:
        if len(self._known) > self._saved:
            rows = (
                {"bytes": name, "pixels": seen.digest, "size": list(seen.size)}
                for name, seen in sorted(self._known.items())
            )
            write_atomic(self._path, "".join(canonical_json(row) + "\n" for row in rows))
