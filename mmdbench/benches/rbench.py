"""R-Bench by its tasks, `rbench:mcq`, `rbench:vqa` and `rbench:cap`, from files that the user has.

R-Bench's own images are distorted already, at three strengths, so its level is `unaltered`.
Source: R-Bench, arXiv 2410.05474; files: huggingface.co/datasets/lcysyzxdxc/R-Bench. Of the published
files we know only names and the columns of multiple choice, so the task and the strength of a row are
read from any of several columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmdbench.benches.bench import Answers, Bench, read_bench
from mmdbench.benches.catalog import BenchInfo
from mmdbench.benches.fetch import data_folders, find_file
from mmdbench.errors import DataError, UnknownNameError
from mmdbench.records import Question
from mmdbench.scoring.families.plain import PLAIN
from mmdbench.scoring.families.rbench import RBENCH_CAP, RBENCH_VQA

__all__ = ["STRENGTHS", "TASKS", "open_rbench", "strength_of", "task_of"]

TASKS = ("mcq", "vqa", "cap")
STRENGTHS = ("low", "mid", "high")

_FAMILIES = {"mcq": PLAIN.name, "vqa": RBENCH_VQA.name, "cap": RBENCH_CAP.name}
_TASK_COLUMNS = ("task", "type", "question_type", "task_type")
_STRENGTH_COLUMNS = ("strength", "level", "severity", "degree", "distortion_level")
_TASK_WORDS = {
    "mcq": ("mcq", "multiple choice", "multi-choice", "choice"),
    "vqa": ("vqa", "qa", "open", "question answering"),
    "cap": ("cap", "caption", "captioning", "description"),
}
_STRENGTH_WORDS = {
    "low": ("low", "1", "slight", "weak"),
    "mid": ("mid", "middle", "medium", "2"),
    "high": ("high", "hard", "3", "strong", "severe"),
}
_NAMES = ("R-Bench-{upper}.tsv", "R-bench-{lower}.tsv", "R-Bench-Dis.tsv", "R-bench-dis.tsv")


def open_rbench(task: str, data_dir: str | Path | None = None, *, answers: Answers = "check") -> Bench:
    """The questions of one task of R-Bench, each with the fields `task` and, if known, `strength`.

    They are read from the task's own file (R-Bench-VQA.tsv) or else the published R-bench-dis.tsv.

    Args:
        task: `mcq`, `vqa` or `cap`.
        data_dir: A folder to search before the usual ones.
        answers: Treatment of right answers; open tasks need any.

    Returns:
        The benchmark R-Bench-MCQ, R-Bench-VQA or R-Bench-CAP.

    Raises:
        UnknownNameError: There is no such task.
        DataError: There is no such file, or none of its rows is of that task.
    """
    if task not in TASKS:
        raise UnknownNameError("task of R-Bench", task, TASKS)
    names = [name.format(upper=task.upper(), lower=task) for name in _NAMES]
    found = [path for path in (find_file(name, data_dir) for name in names) if path is not None]
    if not found:
        raise DataError(
            f"R-Bench is not on this machine; there is no {', '.join(dict.fromkeys(names))} "
            f"in {', '.join(map(str, data_folders(data_dir)))}.",
            hint="Get it from huggingface.co/datasets/lcysyzxdxc/R-Bench; multiple choice alone: "
            "mmdbench data get R-Bench-Dis",
        )
    own = found[0].name.lower() == f"r-bench-{task}.tsv"
    reading = answers if task == "mcq" else "any"
    bench = read_bench(found[0], family=PLAIN.name, answers=reading)
    rows = tuple(_marked(q, task) for q in bench.questions if own or task_of(q) == task)
    if not rows:
        raise DataError(
            f"{found[0]} has no row of R-Bench's task {task.upper()}.",
            hint="Rows without options need a column 'task' with vqa or cap.",
        )
    unanswered = next((q for q in rows if not q.answer.strip()), None)
    if unanswered is not None and answers == "check":
        raise DataError(f"{bench.rows[unanswered.index].where('answer')}: the answer is empty.")
    name = f"R-Bench-{task.upper()}"
    info = BenchInfo(name, _FAMILIES[task], title=name, columns=bench.columns, source=str(found[0].name))
    return replace(bench, name=name, family=_FAMILIES[task], questions=rows, info=info)


def task_of(question: Question) -> str:
    """The task of a row: mcq if it has options, else by its columns; empty if unknown."""
    if question.options:
        return "mcq"
    return _read_column(question, _TASK_COLUMNS, _TASK_WORDS)


def strength_of(question: Question) -> str:
    """The strength of a row's distortion, low, mid or high, by its columns; empty if unknown."""
    return _read_column(question, _STRENGTH_COLUMNS, _STRENGTH_WORDS)


def _read_column(question: Question, columns: Sequence[str], words: Mapping[str, Sequence[str]]) -> str:
    """The name in `words` that has the value of the first column with a known value; empty if none has."""
    for column in columns:
        value = question.fields.get(column, "").strip().lower()
        for name, spellings in words.items():
            if value in spellings:
                return name
    return ""


def _marked(question: Question, task: str) -> Question:
    fields = {**question.fields, "task": task}
    strength = strength_of(question)
    if strength:
        fields["strength"] = strength
    return replace(question, bench=f"R-Bench-{task.upper()}", fields=fields)
