"""Benchmarks whose file is not on this machine, to count the work of a run or a build with."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from mmdbench.benches.bench import Bench
from mmdbench.benches.lookup import open_bench
from mmdbench.benches.tsv_table import TsvRow, TsvTable
from mmdbench.errors import DataError
from mmdbench.records import Question

if TYPE_CHECKING:
    from mmdbench.benches.catalog import BenchInfo

__all__ = ["PHOTOGRAPHS", "stand_in"]

PHOTOGRAPHS = "mini"
"""The benchmark, which comes with mmdbench, whose pictures stand for those of others."""

_ROTATION_STEP = 1_000_000
_TEXT = "What is shown in the middle of the picture, and what is to the left of it? ({} of {})"
_OPTION = "something that takes a few words"


def stand_in(info: BenchInfo) -> Bench:
    """A benchmark with as many rows as the published file: numbered texts about the photographs of `mini`.

    The rotations of a circular benchmark are shared out evenly, and two rows each have the same text, as in
    the pairs of MMVP. Raises DataError if the catalogue does not
    know the number of rows.
    """
    if info.rows is None:
        raise DataError(
            f"{info.name} is not on this machine, and its number of questions is not known.",
            hint=f"Download it first: mmdbench data get {info.name}",
        )
    mini = open_bench(PHOTOGRAPHS)
    pictures = list({question.images[0].read(): question.images for question in mini.questions}.values())
    columns = ("index", "image")
    header = replace(mini.table.header, names=columns, columns=columns)
    groups = (info.groups if info.family == "circular" else None) or info.rows
    options = dict.fromkeys("AB", _OPTION)
    questions, rows = [], []
    for number in range(info.rows):
        turn, group = divmod(number, groups)
        index = group + turn * _ROTATION_STEP
        text = _TEXT.format(number // 2, info.name)
        fields = {"question": text, "prompt": text, "answer": "A", **options}
        questions.append(Question(info.name, index, fields, pictures[group % len(pictures)]))
        cells = (str(index), str(group) if turn else "")
        rows.append(TsvRow(header, number + 2, array("Q"), cells))
    table = TsvTable(header, tuple(rows), ends_with_newline=True)
    return Bench(info.name, info.family, tuple(questions), info, mini.path, table)
