"""The requests of a run, each with a key made of everything that could change its reply.

The key of a request is the SHA-256 of the model's fingerprint, the prompt, the recipe of every
image, the generation settings and, where images are restored, the restorer's fingerprint. A reply is
therefore never reused after a change of model, prompt, picture, codec or spec. The benchmark's name is
no part of the key: equal questions of two benchmarks share a reply.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from msgspec import structs

from mmdbench.benches import build_prompt
from mmdbench.benches.catalog import refuse_degraded
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ImageDecodeError, ShapeError, UnknownNameError, UsageError
from mmdbench.models.registry import Fingerprinted
from mmdbench.records import (
    ANSWER,
    UNALTERED,
    UNDEGRADED,
    BenchData,
    Cell,
    ImageSource,
    Question,
    Recipe,
    RunPlan,
)
from mmdbench.run.folder import CELLS_FILE, IMAGE_DIGESTS_FILE, QUESTIONS_FILE
from mmdbench.run.inputs import RunInputs, RunSettings
from mmdbench.run.json_lines import read_lines, write_lines
from mmdbench.run.repeats import refuse_greedy
from mmdbench.run.stored_plan import damaged_line
from mmdbench.scoring import EXTRACTIONS, get_protocol
from mmdbench.scoring.tasks import find_task
from mmdbench.system.bounds import require_at_least
from mmdbench.system.collection import uncollected
from mmdbench.system.color_profiles import profile_digest
from mmdbench.system.digest import bytes_digest, canonical_json, value_digest
from mmdbench.system.images import encoding_of, refuse_large
from mmdbench.system.shapes import check_shape
from mmdbench.variants.codec import parse_codec
from mmdbench.variants.design import check_corruptions, parse_design, parse_sample, plan_cells
from mmdbench.variants.recipes import clean_image, recipe_for
from mmdbench.variants.released import released_images
from mmdbench.variants.restoration import Restorer

__all__ = [
    "Planned",
    "bad_images",
    "check_plan",
    "plan_requests",
    "reply_key",
    "worded_prompt",
    "write_plan",
]


@dataclass(frozen=True, slots=True)
class Planned:
    """A cell and everything that its request is made from; the variants are made later.

    `images` are the sources that the recipes start from, `sizes` the width and height of each in
    pixels; `restorer` restores the variants, if there is one; `reworded` is True if the prompt is the
    adapter's and not the benchmark's. A cell with a `problem` has no pictures and is not asked: the
    problem is its reply. `places` are those of the code of corruptions from outside, for another process.
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
    problem: ImageDecodeError | None = None
    places: tuple[str, ...] = ()


def check_plan(plan: RunPlan) -> None:
    """Raise UsageError or UnknownNameError for the first field of the plan that is not valid."""
    spec = load_spec()
    parse_design(plan.design)
    require_at_least("--repeat", plan.repeat, 1, whole=True)
    if plan.repeat > 1:
        refuse_degraded(plan.benches, "--repeat")
    parse_sample(plan.sample)
    parse_codec(plan.codec)
    task = find_task(plan.task)
    if task is None:
        get_protocol(plan.protocol)
    else:
        task.check(plan)
    if plan.extraction not in EXTRACTIONS:
        raise UnknownNameError("answer extraction", plan.extraction, EXTRACTIONS)
    check_corruptions(plan, spec)
    if plan.profile not in spec.profiles:
        raise UnknownNameError("profile", plan.profile, spec.profiles)
    if plan.task != ANSWER:
        if plan.repeat > 1:
            raise UsageError(f"--repeat is for the task {ANSWER}.")
        refuse_degraded(plan.benches, f"the task {plan.task!r}")
    if not plan.benches:
        raise UsageError(
            "A run needs at least one benchmark, got none.",
            hint="Name one: --bench mini. See: mmdbench list benches",
        )


@uncollected()
def plan_requests(inputs: RunInputs) -> list[Planned]:
    """Every request of the plan, in the order of asking; all cells of a question are adjacent.

    The digests of the images' pixels are stored in the run's folder, so that a resumed run does not
    decode the images again. An image that cannot be read or is too large is the problem of its cells,
    unless the settings say `error`: then ImageDecodeError is raised. Raises UsageError if the plan names
    a restorer and `inputs` hold none, or the other way round.
    """
    plan, pictures, spec = inputs.plan, inputs.pictures, load_spec()
    if bool(plan.restore) != (pictures.restorer is not None):
        named = f"the restorer {plan.restore!r}" if plan.restore else "no restorer"
        raise UsageError(f"The plan names {named}, the inputs hold {'one' if pictures.restorer else 'none'}.")
    restoration = pictures.restorer.fingerprint() if pictures.restorer else None
    model = dict(inputs.model.fingerprint())
    refuse_greedy(plan, inputs.card.generation, model)
    fingerprint = value_digest(model)
    families = {bench.name: bench.family for bench in inputs.benches}
    digests = _ImageDigests(inputs.folder / IMAGE_DIGESTS_FILE, inputs.settings)
    planned = []
    for question, cells in plan_cells(plan, inputs.benches, spec):
        default = build_prompt(question, families[question.bench], plan.protocol)
        prompt = worded_prompt(inputs.model, question, default)
        own = digests.of_all(question, question.images)
        for cell in cells:
            degraded = cell.level not in UNDEGRADED
            sources, images = question.images, own
            if degraded and plan.design == "released":
                sources = released_images(pictures.released, cell)
                images = digests.of_all(question, sources)
            recipes = tuple(recipe_for(cell, image.digest, plan, spec, image.icc) for image in images)
            has_damage = degraded or cell.level == UNALTERED
            restorer = pictures.restorer if has_damage or plan.restore_clean else None
            restored_by = restoration if restorer else None
            one = Planned(
                "", cell, question, prompt, (), reworded=prompt != default, problem=images[0].problem
            )
            if one.problem is None:
                sizes = tuple(image.size for image in images)
                one = replace(one, recipes=recipes, images=sources, sizes=sizes, restorer=restorer)
            settings = (recipes, inputs.card.generation, restored_by)
            for repeat in range(1, plan.repeat + 1):
                key = reply_key(fingerprint, prompt, *settings, repeat)
                planned.append(replace(one, key=key, cell=structs.replace(cell, repeat=repeat)))
    digests.save()
    return planned


def reply_key(
    fingerprint: str,
    prompt: str,
    recipes: Iterable[Recipe],
    generation: Mapping[str, Any],
    restoration: Mapping[str, Any] | None = None,
    repeat: int = 1,
) -> str:
    """The key of a request.

    Args:
        fingerprint: Digest of the model's fingerprint.
        prompt: The prompt as the model is asked it.
        recipes: The recipe of each image, in order.
        generation: The generation settings of the model card.
        restoration: Fingerprint of the restorer; a key without a restorer does not depend on it.
        repeat: Number of the repeat; the key of the first is that of a request without repeats.

    Returns:
        64 hexadecimal digits.
    """
    parts: dict[str, Any] = {
        "model": fingerprint,
        "prompt": prompt,
        "images": [recipe.as_dict() for recipe in recipes],
        "generation": dict(generation),
    }
    parts |= {} if restoration is None else {"restore": dict(restoration)}
    return value_digest(parts | ({"repeat": repeat} if repeat > 1 else {}))


def write_plan(folder: Path, planned: Sequence[Planned], benches: Sequence[BenchData]) -> None:
    """Write cells and questions of a plan into a run's folder, so that it can be graded from there alone.

    Args:
        folder: The run's folder; files of an earlier plan are replaced.
        planned: Every request of the plan.
        benches: The benchmarks of the requests.
    """
    write_lines(folder / CELLS_FILE, (_text(_cell_record(p)) for p in planned))
    families = {bench.name: bench.family for bench in benches}
    questions = {(p.cell.bench, p.cell.index): p.question for p in planned}.values()
    rows = (
        {"bench": q.bench, "family": families[q.bench], "index": q.index, "fields": dict(q.fields)}
        for q in questions
    )
    write_lines(folder / QUESTIONS_FILE, map(_text, rows))


def _cell_record(planned: Planned) -> dict[str, Any]:
    cell = planned.cell
    record = {"cell": [cell.bench, cell.index, cell.level, cell.corruption, planned.key]}
    return record | ({"repeat": cell.repeat} if cell.repeat > 1 else {})


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)


def worded_prompt(model: Fingerprinted, question: Question, default: str) -> str:
    """The prompt as the model words it.

    Args:
        model: The model, with or without a method `prompt`.
        question: The question.
        default: The prompt of a model that has no wording of its own.

    Returns:
        The prompt.
    """
    override = getattr(model, "prompt", None)
    return default if override is None else str(override(question, default))


@dataclass(frozen=True, slots=True)
class _ImageFacts:
    """The digests of an image's pixels and ICC profile, its (width, height) in px, or the problem with it."""

    digest: str
    size: tuple[int, int] = (0, 0)
    icc: str = ""
    problem: ImageDecodeError | None = None


class _ImageDigests:
    """Digest of an image file → the facts of the image, kept in a run's folder."""

    def __init__(self, path: Path, settings: RunSettings) -> None:
        self._path = path
        self._settings = settings
        self._known = _stored_facts(path) if path.exists() else {}
        self._saved = len(self._known)
        self._profiles: dict[str, str] = {}

    def of_all(self, question: Question, sources: Sequence[ImageSource]) -> list[_ImageFacts]:
        """The facts of a question's images, or one with the problem of the first that is unusable."""
        try:
            return [self._of(source) for source in sources]
        except ImageDecodeError as error:
            if self._settings.on_bad_image == "error":
                raise
            # No picture has this digest, so that a picture that is mended is asked about anew.
            return [_ImageFacts(value_digest(["no picture", str(question.index)]), problem=error)]

    def _of(self, source: ImageSource) -> _ImageFacts:
        data = source.read()
        name = bytes_digest(data)
        if name not in self._known:
            clean = clean_image(data, source.where, self._settings.max_pixels)
            height, width = clean.pixels.shape[:2]
            self._known[name] = _ImageFacts(clean.digest, (width, height))
            self._profiles[name] = clean.icc_digest
        refuse_large(self._known[name].size, source.where, self._settings.max_pixels)
        if name not in self._profiles:  # it is in the picture's header, and not kept in the folder
            self._profiles[name] = profile_digest(encoding_of(data, source.where)[1])
        return replace(self._known[name], icc=self._profiles[name])

    def save(self) -> None:
        if len(self._known) > self._saved:
            rows = (
                {"bytes": name, "pixels": seen.digest, "size": list(seen.size)}
                for name, seen in sorted(self._known.items())
            )
            write_lines(self._path, map(canonical_json, rows))


class _ImageRecord(TypedDict):
    bytes: str
    pixels: str
    size: tuple[int, int]


def _stored_facts(path: Path) -> dict[str, _ImageFacts]:
    found = {}
    for number, record in read_lines(path):
        if "size" not in record:  # an early version did not keep it
            continue
        try:
            check_shape(record, _ImageRecord)
        except ShapeError as error:
            raise damaged_line(path, number, error) from error
        found[record["bytes"]] = _ImageFacts(record["pixels"], tuple(record["size"]))
    return found


def bad_images(planned: Sequence[Planned]) -> str:
    """The note about cells that cannot be asked, empty if there is none."""
    problems = [p.problem for p in planned if p.problem is not None]
    if not problems:
        return ""
    what = f"{len(problems)} of {len(planned)} requests have no picture and count as failed; the first"
    return f"{what}: {problems[0].message.removesuffix('.')}"
