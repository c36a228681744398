"""R-Bench by its tasks, `rbench:mcq`, `rbench:vqa` and `rbench:cap`, from files that the user has.

R-Bench's own pictures are distorted already, at three strengths; `rbench:mcq-ref` and so on ask about the
undistorted ones. Either are asked as they are, at the level `unaltered`.
Source: R-Bench, arXiv 2410.05474; files: huggingface.co/datasets/lcysyzxdxc/R-Bench. Task and strength are
in the published columns `type` (MCQ, VQA, CAP) and `strength` (1, 2, 3).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmdbench.benches.bench import Answers, Bench, read_bench
from mmdbench.benches.catalog import BenchInfo
from mmdbench.errors import DataError, UnknownNameError
from mmdbench.records import Question
from mmdbench.scoring.families.plain import PLAIN
from mmdbench.scoring.families.rbench import RBENCH_CAP, RBENCH_MCQ, RBENCH_VQA
from mmdbench.scoring.families.rbench_votes import references

__all__ = ["STRENGTHS", "TASKS", "distortion_of", "open_rbench", "strength_of", "task_of"]

TASKS = ("mcq", "vqa", "cap")
STRENGTHS = ("low", "mid", "high")

_FAMILIES = {"mcq": RBENCH_MCQ.name, "vqa": RBENCH_VQA.name, "cap": RBENCH_CAP.name}
_STRENGTH_NUMBERS = {"1": "low", "2": "mid", "3": "high"}
_OTHER_NAMES = {"dis": ("R-Bench-Dis.tsv", "R-bench-dis.tsv"), "ref": ("R-Bench-Ref.tsv", "R-bench-ref.tsv")}


def open_rbench(task: str, data_dir: str | Path | None = None, *, answers: Answers = "check") -> Bench:
    """The questions of one task of R-Bench, each with the fields `task` and, if known, `strength`.

    They are read from the task's own file (R-Bench-VQA.tsv), the published file of all tasks
    (R-Bench.parquet, R-Bench.csv or Ref_Release.csv) or R-bench-dis.tsv (R-bench-ref.tsv).

    Args:
        task: `mcq`, `vqa` or `cap`; with `-ref` about the undistorted pictures.
        data_dir: A folder to search before the usual ones.
        answers: Treatment of right answers; open tasks need any.

    Returns:
        The benchmark R-Bench-MCQ, R-Bench-VQA or R-Bench-CAP, with `-Ref` for undistorted pictures.

    Raises:
        UnknownNameError: There is no such task.
        DataError: There is no such file, none of its rows is of that task, or an answer cannot be used.
    """
    kind, dash, pictures = task.partition("-")
    if kind not in TASKS or (dash and pictures != "ref"):
        raise UnknownNameError("task of R-Bench", task, [*TASKS, *(f"{name}-ref" for name in TASKS)])
    name = f"R-Bench-{kind.upper()}{'-Ref' if dash else ''}"
    own_names = (f"{name}.tsv", f"R-bench-{task}.tsv")
    path, source = _find(own_names, pictures or "dis", data_dir)
    # The TSV made of a CSV file is in a folder beside the pictures.
    wanted: Answers = answers if kind == "mcq" else "any"
    bench = read_bench(path, family=PLAIN.name, answers=wanted, image_root=source.parent)
    own = source.name in own_names
    rows = tuple(_marked(q, name, kind) for q in bench.questions if own or task_of(q) == kind)
    if not rows:
        raise DataError(
            f"{source} has no row of R-Bench's task {kind.upper()}.",
            hint="Rows without options need a column 'type' with VQA or CAP.",
        )
    if answers == "check":
        _check_answers(bench, rows, kind)
    info = BenchInfo(name, _FAMILIES[kind], title=name, columns=bench.columns, source=source.name)
    return replace(bench, name=name, family=_FAMILIES[kind], questions=rows, info=info)


def _find(own: tuple[str, ...], pictures: str, data_dir: str | Path | None) -> tuple[Path, Path]:
    """The TSV file to read a benchmark from, and the file of the user's that it is or was made of."""
    # Loaded late: reports need the names of this module, and no file.
    from mmdbench.benches.fetch import data_folders, find_file
    from mmdbench.benches.rbench_files import PUBLISHED, find_published, published_tsv

    for file_name in own:
        if path := find_file(file_name, data_dir):
            return path, path
    if sources := find_published(data_dir):
        return published_tsv(sources, pictures), sources[0]
    for file_name in _OTHER_NAMES[pictures]:
        if path := find_file(file_name, data_dir):
            return path, path
    names = ", ".join((*own, *PUBLISHED, *_OTHER_NAMES[pictures]))
    raise DataError(
        f"R-Bench is not on this machine; there is no {names} "
        f"in {', '.join(map(str, data_folders(data_dir)))}.",
        hint="Get it from huggingface.co/datasets/lcysyzxdxc/R-Bench; multiple choice alone: "
        "mmdbench data get R-Bench-Dis",
    )


def _check_answers(bench: Bench, rows: tuple[Question, ...], kind: str) -> None:
    for question in rows:
        where = bench.rows[question.index].where("answer")
        if not question.answer.strip():
            raise DataError(f"{where}: the answer is empty.")
        if kind == "mcq" and not question.options:
            place = bench.rows[question.index].where()
            raise DataError(f"{place}: a row of MCQ has no options.", hint="Write them as A.cat; B.dog.")
        if kind == "cap":
            try:
                references(question.answer)
            except DataError as error:
                raise DataError(f"{where}: {error.message}", hint=error.hint) from error


def task_of(question: Question) -> str:
    """The task of a row by its column `type` or `task`, else mcq if it has options; empty if unknown."""
    told = (question.fields.get("type") or question.fields.get("task") or "").strip().lower()
    if told in TASKS:
        return told
    return "mcq" if question.options else ""


def strength_of(question: Question) -> str:
    """The strength of a row's distortion, low, mid or high; empty if unknown."""
    told = question.fields.get("strength", "").strip().lower()
    strength = _STRENGTH_NUMBERS.get(told, told)
    return strength if strength in STRENGTHS else ""


def distortion_of(question: Question) -> int | None:
    """The number of a row's distortion, 1 to 33; None if unknown."""
    told = question.fields.get("distortion", "").strip()
    return int(told) if told.isascii() and told.isdigit() and 1 <= int(told) <= 33 else None


def _marked(question: Question, bench: str, task: str) -> Question:
    fields = {**question.fields, "task": task}
    strength = strength_of(question)
    if strength:
        fields["strength"] = strength
    return replace(question, bench=bench, fields=fields)
