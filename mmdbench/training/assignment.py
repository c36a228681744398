"""The recipe of CLEAR's paper (appendix C): modes by a base model's answers, two halves, written traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmdbench.errors import ImageDecodeError
from mmdbench.records import Question, Recipe
from mmdbench.results.graded_run import RunResults, load_results
from mmdbench.results.judging.open import JudgeOptions, open_judging
from mmdbench.results.rescoring import record_judge, regrade
from mmdbench.run.folder import JUDGE_JOURNAL
from mmdbench.run.inputs import RunInputs
from mmdbench.scoring import Judge
from mmdbench.system.bounds import require_at_least, require_between
from mmdbench.system.locks import folder_lock
from mmdbench.system.shapes import read_as
from mmdbench.training.asking import AskedQuestion, in_order
from mmdbench.training.dataset import MadeSample, TrainingSet, write_dataset
from mmdbench.training.pictures import PictureFolder
from mmdbench.training.prompts import CONSISTENCY_ID, TRACE_ID
from mmdbench.training.rows import conversation_of
from mmdbench.training.samples import TrainingSample, find_samples
from mmdbench.training.selection import first_part, select_samples
from mmdbench.training.traces import write_trace
from mmdbench.training.writers import Writers

__all__ = ["Assignment", "AssignmentRules", "assign_samples"]

_SFT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class AssignmentRules:
    """Rules of the recipe.

    `clean_check` leaves out questions that the base model gets wrong on the clean picture, which the
    paper does not do; `right_at` is the least grade of a right answer, 0..1; `regenerations` are the
    most further tries of a trace before its sample is dropped.
    """

    clean_check: bool = False
    right_at: float = 1.0
    regenerations: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        require_between("--right-at", self.right_at, 0, 1)
        require_at_least("--regenerations", self.regenerations, 0, whole=True)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The graded run of the base model, and the training set."""

    results: RunResults
    made: TrainingSet


@dataclass(frozen=True, slots=True)
class _Row:
    """A kept sample with its question, its family and its part of the set."""

    sample: TrainingSample
    question: Question
    family: str
    split: str


def assign_samples(
    run: RunInputs,
    rules: AssignmentRules,
    writers: Writers,
    *,
    left_out: dict[str, int] | None = None,
    on_sample: Callable[[int, int], None] = lambda _done, _total: None,
) -> Assignment:
    """Make the training set of a finished run, and write it into its folder.

    Args:
        run: The opened run, of a design `drawn:…`.
        rules: The rules of the recipe.
        writers: The judge of replies and answers that no rule can grade, and the writer of the traces.
            Without a writer the records of the first half hold the question alone.
        left_out: Numbers of rows that were left out before the run, by reason.
        on_sample: Called with the number of samples that are made, and of all.

    Returns:
        The assignment.
    """
    with folder_lock(run.folder, "assigning samples"):
        spent: list[float] = []
        judged_by = _grade(run.folder, writers.judge, spent) if writers.judge else ""
        results = load_results(run.folder, judged_by=judged_by)
        samples = find_samples(results, clean_check=rules.clean_check, right_at=rules.right_at)
        selection = select_samples(samples, seed=rules.seed)
        made = [MadeSample(None, reason) for reason, n in selection.left_out.items() for _ in range(n)]
        rows = _rows(run, selection.kept, rules.seed)
        pictures = PictureFolder(run.folder, run.settings.max_pixels)
        rest = writers.after(sum(spent)) if writers.writer else Writers()
        with rest.opened(run.folder) as (judge, writer):
            asked = {"judge": judged_by, "writer": writer.id if writer else ""}

            def make(row: _Row) -> MadeSample:
                return _make(row, pictures, judge, writer, rules)

            for done, sample in enumerate(in_order(make, rows), 1):
                made.append(sample)
                on_sample(done, len(rows))
        about = {"recipe": "paper", "rules": asdict(rules), **asked, "rows_left_out": dict(left_out or {})}
        if asked["writer"]:
            about["prompts"] = [TRACE_ID, CONSISTENCY_ID]
        return Assignment(results, write_dataset(run.folder, made, about))


def _grade(folder: Path, judge: JudgeOptions, spent: list[float]) -> str:
    """Let a judge grade what rules cannot; returns its name among the judges of the run."""

    def count(usage: Mapping[str, Any]) -> None:
        spent.append(usage["cost_usd"])
        judge.on_usage(usage)

    with open_judging(replace(judge, on_usage=count), folder / JUDGE_JOURNAL, folder) as judging:
        made = regrade(folder, judging=judging)
        record_judge(made)
    return made.judged_by


def _rows(run: RunInputs, samples: tuple[TrainingSample, ...], seed: int) -> list[_Row]:
    questions = {(b.name, q.index): (q, b.family) for b in run.benches for q in b.questions}
    first = first_part((_picture(sample) for sample in samples), _SFT_SHARE, seed)
    return [
        _Row(s, *questions[s.cell.bench, s.cell.index], "sft" if _picture(s) in first else "rl")
        for s in samples
    ]


def _picture(sample: TrainingSample) -> str:
    assert sample.reply is not None  # a sample without a reply is left out
    return str(sample.reply.images[0]["recipe"]["image"])


def _make(
    row: _Row, pictures: PictureFolder, judge: Judge | None, writer: Judge | None, rules: AssignmentRules
) -> MadeSample:
    sample, question = row.sample, row.question
    if len(question.images) > 1:
        return MadeSample(None, "several pictures")
    assert sample.reply is not None
    try:
        clean = pictures.read(question)
    except ImageDecodeError:
        return MadeSample(None, "unreadable picture")
    kept = pictures.from_recipe(clean, read_as(Recipe, sample.reply.images[0]["recipe"]))
    own, cell = conversation_of(question, row.family), sample.cell
    about: dict[str, Any] = {"corruptions": [cell.corruption], "level": cell.level}
    about |= {"base_reply": sample.reply.text, "key": sample.reply.key}
    trace_text = ""
    if row.split == "sft" and writer is not None:
        task = AskedQuestion(cell, own.question, question.answer, question.options)
        trace = write_trace(
            writer, task, sample.mode, kept.pair, judge=judge, regenerations=rules.regenerations
        )
        if not trace.text:
            return MadeSample(None, f"trace: {trace.status}")
        trace_text = trace.text
    return MadeSample(kept.record(question, own, row.split, mode=sample.mode, text=trace_text, about=about))
