"""The recipes that ask no base model: that of CLEAR's published code, and Robust-R1's.

`code`       rows are drawn and filtered, an agent answers the degraded picture and may ask for the clean one
             as restored, a judge drops answers that differ from the truth; a second draw is for
             reinforcement learning and has no traces.
`robust-r1`  every picture is degraded by a chain; a quarter of the pictures is for supervised training, the
             others for reinforcement learning, and all samples have a chain of reasoning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.corruptions.chain import Chain
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ImageDecodeError, UsageError
from mmdbench.records import UNDEGRADED, Cell, Question, RunPlan
from mmdbench.run.folder import ROWS
from mmdbench.run.manifest import find_manifest, save_manifest
from mmdbench.scoring import Judge
from mmdbench.scoring.families import unit_of
from mmdbench.system.bounds import require_at_least
from mmdbench.system.digest import value_digest
from mmdbench.system.files import MANIFEST_FILE, make_folder
from mmdbench.system.images import MAX_PIXELS
from mmdbench.system.inner_paths import refuse_links
from mmdbench.system.locks import folder_lock
from mmdbench.training.asking import AskedQuestion, in_order
from mmdbench.training.chains import CHAIN_IDS, write_chain
from mmdbench.training.dataset import MadeSample, TrainingSet, write_dataset
from mmdbench.training.filters import RowDraw, has_cjk, unfit_size
from mmdbench.training.pictures import KeptPair, PictureFolder
from mmdbench.training.prompts import AGENT_ID, CONSISTENCY_ID
from mmdbench.training.rows import conversation_of
from mmdbench.training.selection import first_part
from mmdbench.training.traces import ask_agent
from mmdbench.training.training_format import Conversation
from mmdbench.training.writers import Writers
from mmdbench.variants.design import plan_cells
from mmdbench.variants.recipes import CleanImage

__all__ = ["SET_KIND", "SetPlan", "claim_set_folder", "default_set_folder", "make_set"]

SET_KIND = "mmdbench training set"
"""The kind in the manifest of a training set that belongs to no run."""

_STRENGTHS = (0.0, 1.0)
_SFT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class SetPlan:
    """Everything that defines a training set without a base model.

    `pictures` holds benchmarks, sample, seed, draw (its design), levels, profile and codec, `draw` the
    probabilities of `code`. `regenerations` belong to `robust-r1`. With `on_bad_image` `error`, a
    picture that cannot be read ends the work; otherwise its row is left out.
    """

    recipe: str
    pictures: RunPlan
    draw: RowDraw = field(default_factory=RowDraw)
    regenerations: int = 3
    on_bad_image: str = "count"
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        require_at_least("--regenerations", self.regenerations, 0, whole=True)

    def check_models(self, writers: Writers) -> None:
        """Raise UsageError if a model that the recipe needs is missing."""
        if writers.writer is None or (self.recipe == "code" and writers.judge is None):
            needed = "--trace and --judge" if self.recipe == "code" else "--trace"
            raise UsageError(
                f"The recipe {self.recipe!r} needs {needed}.", hint="For example --trace gpt-4.1"
            )

    def as_dict(self) -> dict[str, Any]:
        """The settings that a set shares with one that it continues, JSON-able."""
        own = {"draw": asdict(self.draw)} if self.recipe == "code" else {"regenerations": self.regenerations}
        used = {name: getattr(self.pictures, name) for name in _PICTURE_FIELDS}
        codes = {name: code for name in self.pictures.corruptions if (code := load_spec().code(name))}
        return {
            "recipe": self.recipe,
            **{k: list(v) if isinstance(v, tuple) else v for k, v in used.items()},
            **({"code": codes} if codes else {}),
            **own,
        }


_PICTURE_FIELDS = ("benches", "levels", "design", "corruptions", "sample", "seed", "profile", "codec")


@dataclass(frozen=True, slots=True)
class _Row:
    """A question that may become a sample, with its family, its cell and its part of the set."""

    question: Question
    family: str
    cell: Cell
    split: str = ""

    @property
    def conversation(self) -> Conversation:
        """The conversation that it came with."""
        return conversation_of(self.question, self.family)

    @property
    def task(self) -> AskedQuestion:
        """The question and its right answer."""
        own = self.conversation
        return AskedQuestion(self.cell, own.question, own.solution, self.question.options)


def claim_set_folder(folder: Path, plan: SetPlan) -> None:
    """Check that a training set may be written to a folder, and write its manifest there if it has none.

    Raises:
        UsageError: The folder holds something else, or a set with other settings.
        StoreError: The folder holds a link.
    """
    hint = "Name a new folder with -o."
    refuse_links(folder)
    found = find_manifest(folder)
    if found is None:
        others = [p.name for p in folder.iterdir() if p.name[:1] != "."] if folder.is_dir() else []
        others = sorted(name for name in others if name != ROWS)
        if others:
            raise UsageError(f"{folder} holds other files: {', '.join(others[:3])}.", hint=hint)
        save_manifest(make_folder(folder), {"kind": SET_KIND, **plan.as_dict()})
        return
    if found.get("kind") != SET_KIND:
        raise UsageError(
            f"{folder / MANIFEST_FILE} is of {found.get('kind')!r}, not of this recipe.", hint=hint
        )
    for name, wanted in plan.as_dict().items():
        if found.get(name) != wanted:
            raise UsageError(
                f"{folder} holds a training set with {name} {found.get(name)!r}, not {wanted!r}.", hint=hint
            )


def default_set_folder(plan: SetPlan) -> Path:
    """The default folder of a plan's set; its name follows from everything that defines the set."""
    names = "+".join(Path(name).stem for name in plan.pictures.benches)
    safe = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in f"{plan.recipe}_{names}")
    return Path("runs") / f"{safe[:80]}_{value_digest(plan.as_dict())[:8]}"


def make_set(
    plan: SetPlan,
    benches: Sequence[Bench],
    folder: Path,
    writers: Writers,
    *,
    left_out: dict[str, int] | None = None,
    on_sample: Callable[[int, int], None] = lambda _done, _total: None,
) -> TrainingSet:
    """Make a training set by a recipe that asks no base model.

    Args:
        plan: The recipe and its settings.
        benches: The benchmarks.
        folder: The folder of the set.
        writers: The writer is the agent of `code`, with the system prompt `AGENT_SYSTEM`, or writes the
            chains of `robust-r1`; the judge compares the agent's answers.
        left_out: Numbers of rows that were left out before, by reason.
        on_sample: Called with the number of questions that are done, and of all.

    Returns:
        The set.

    Raises:
        UsageError: A model that the recipe needs is missing, or the folder holds something else.
        ImageDecodeError: A picture cannot be read, and the plan says `error`.
        ModelError: A model cannot be asked. Its replies so far are in the journal.
    """
    plan.check_models(writers)
    with folder_lock(folder, "making a training set"):
        claim_set_folder(folder, plan)
        pictures = PictureFolder(folder, plan.max_pixels)
        rows = list(_rows(plan, benches))
        made: list[MadeSample] = []
        with writers.opened(folder) as (judge, writer):
            models = {"judge": judge.id if judge else "", "writer": writer.id if writer else ""}
            maker = _Maker(plan, pictures, judge, writer, _sft_pictures(plan, rows, pictures))
            for done, sample in enumerate(in_order(maker.make, rows), 1):
                made.append(sample)
                on_sample(done, len(rows))
        ids = [AGENT_ID, CONSISTENCY_ID] if plan.recipe == "code" else list(CHAIN_IDS.values())
        about = {**plan.as_dict(), **models, "prompts": ids, "rows_left_out": dict(left_out or {})}
        return write_dataset(folder, made, about)


@dataclass(frozen=True)
class _Maker:
    """Makes one sample after the other, by the plan's recipe."""

    plan: SetPlan
    pictures: PictureFolder
    judge: Judge | None
    writer: Judge | None
    sft: frozenset[str]

    def make(self, row: _Row) -> MadeSample:
        """The sample of a row."""
        if len(row.question.images) != 1:
            return MadeSample(None, "several pictures")
        if row.cell.level in UNDEGRADED:
            return MadeSample(None, "picture degraded as published")
        code = self.plan.recipe == "code"
        if code and not row.split:
            return MadeSample(None, "not drawn")
        if code and has_cjk(text for _, text in row.conversation.turns):
            return MadeSample(None, "CJK characters")
        try:
            clean = self.pictures.read(row.question)
        except ImageDecodeError:
            if self.plan.on_bad_image == "error":
                raise
            return MadeSample(None, "unreadable picture")
        return self._agent_sample(row, clean) if code else self._chain_sample(row, clean)

    def _agent_sample(self, row: _Row, clean: CleanImage) -> MadeSample:
        height, width = clean.pixels.shape[:2]
        if reason := unfit_size((width, height)):
            return MadeSample(None, reason)
        kept = self.pictures.from_cell(clean, row.cell, self.plan.pictures)
        about = {"corruptions": [row.cell.corruption], "level": row.cell.level}
        if kept.no_op:
            return MadeSample(None, "nothing changed")
        if row.split == "rl":
            return self._made(row, kept, about)
        assert self.writer is not None
        assert self.judge is not None
        trace = ask_agent(self.writer, self.judge, row.task, kept.pair)
        if not trace.text:
            return MadeSample(None, f"trace: {trace.status}")
        return self._made(row, kept, about, trace.mode, trace.text)

    def _chain_sample(self, row: _Row, clean: CleanImage) -> MadeSample:
        kept = self.pictures.from_chain(clean, Chain.across(intensity=_STRENGTHS), self.plan.pictures)
        if kept.no_op:
            return MadeSample(None, "nothing changed")
        steps = kept.made_by["chain"]["steps"]
        assert self.writer is not None
        chain = write_chain(self.writer, row.task, kept.pair, steps, regenerations=self.plan.regenerations)
        if not chain.text:
            return MadeSample(None, f"chain: {chain.status}")
        strengths = {step["corruption"]: round(step["intensity"], 2) for step in steps}
        about = {"corruptions": list(strengths), "strengths": strengths, "words": chain.words}
        split = "sft" if clean.digest in self.sft else "rl"
        return self._made(_Row(row.question, row.family, row.cell, split), kept, about, "", chain.text)

    def _made(
        self, row: _Row, kept: KeptPair, about: dict[str, Any], mode: str = "", text: str = ""
    ) -> MadeSample:
        return MadeSample(
            kept.record(row.question, row.conversation, row.split, mode=mode, text=text, about=about)
        )


def _rows(plan: SetPlan, benches: Sequence[Bench]) -> Iterator[_Row]:
    """One row for each question of the sample; the rotations of a circular group are one question."""
    families = {bench.name: bench.family for bench in benches}
    for question, cells in plan_cells(plan.pictures, benches, load_spec()):
        family = families[question.bench]
        if unit_of(question, family) == question.index:
            yield _Row(question, family, cells[0], plan.draw.split_of(question.bench, question.index))


def _sft_pictures(plan: SetPlan, rows: Sequence[_Row], pictures: PictureFolder) -> frozenset[str]:
    """Digests of the pictures for supervised training, where the recipe splits by picture."""
    if plan.recipe == "code":
        return frozenset()

    def digest(row: _Row) -> str:
        try:
            return pictures.read(row.question).digest if len(row.question.images) == 1 else ""
        except ImageDecodeError:
            return ""

    return first_part(filter(None, in_order(digest, rows)), _SFT_SHARE, plan.pictures.seed)
