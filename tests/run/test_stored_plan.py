"""Cells and questions of a stored run: read back as they were written, or refused by their line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import StoreError
from mmdbench.records import LEVEL_ORDER, UNALTERED, Cell, Question
from mmdbench.run.json_lines import write_lines
from mmdbench.run.plan import Planned, write_plan
from mmdbench.run.stored_plan import read_cells, read_questions

NAMES = (*load_spec().corruptions, "lens_blur+jpeg_compression", None)
CELLS = st.builds(
    Cell,
    bench=st.sampled_from(["toy", "MMStar"]),
    index=st.one_of(st.integers(0, 9), st.text(max_size=4)),
    level=st.sampled_from([level for level in LEVEL_ORDER if level != UNALTERED]),
    corruption=st.sampled_from(NAMES),
    repeat=st.integers(1, 3),
)


class Bench:
    """A benchmark of a plan: its name and family."""

    def __init__(self, name):
        self.name, self.family, self.questions = name, "plain", ()


@settings(max_examples=25, deadline=None)
@given(st.lists(CELLS, max_size=8))
def test_a_plan_comes_back_as_it_was_written(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("plan")
    fields = {"question": "What is\nshown, “here”?", "A": "this"}
    planned = [
        Planned(f"key-{number}", cell, Question(cell.bench, cell.index, fields), "", ())
        for number, cell in enumerate(cells)
    ]
    write_plan(folder, planned, [Bench("toy"), Bench("MMStar")])
    assert [(found.cell, found.key) for found in read_cells(folder)] == [(p.cell, p.key) for p in planned]
    asked = {(cell.bench, cell.index): None for cell in cells}
    found = {(q.bench, q.index): q.fields for bench in read_questions(folder) for q in bench.questions}
    assert found == dict.fromkeys(asked, fields)


def test_cells_of_one_place_share_their_texts(tmp_path):
    rows = [{"cell": ["toy", number, "hard", "graffiti", f"k{number}"]} for number in range(2)]
    write_lines(tmp_path / "cells.jsonl", map(json.dumps, rows))
    first, second = (planned.cell for planned in read_cells(tmp_path))
    assert first.bench is second.bench
    assert first.level is second.level
    assert first.corruption is second.corruption


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (["toy", 1, "hardest", "graffiti", "k"], "there is no level 'hardest'"),
        (["toy", 1, "hard", "grafiti", "k"], "there is no corruption 'grafiti'"),
        (["toy", 1, "hard", "graffiti+rust", "k"], "there is no corruption 'rust'"),
        (["toy", 1.5, "hard", "graffiti", "k"], "cell"),
        (["toy", True, "hard", "graffiti", "k"], "cell"),
        (["toy", 1, "hard", "graffiti", None], "cell"),
        (["toy", 1, "hard", "graffiti"], "cell"),
        ("toy", "cell"),
    ],
)
def test_a_cell_that_is_none_is_named_by_its_line(tmp_path, cell, says):
    rows = [{"cell": ["toy", 0, "hard", "graffiti", "k0"]}, {"cell": cell}]
    write_lines(tmp_path / "cells.jsonl", map(json.dumps, rows))
    with pytest.raises(StoreError, match=r"cells\.jsonl, line 2 cannot be read") as caught:
        read_cells(tmp_path)
    assert says in caught.value.message
    assert "asks nothing twice" in caught.value.hint


@pytest.mark.parametrize("extra", [{"repeat": "2"}, {"repeat": 1.5}, {"cell": None}])
def test_a_record_of_another_shape_is_refused(tmp_path, extra):
    row = {"cell": ["toy", 0, "hard", "graffiti", "k0"], **extra}
    write_lines(tmp_path / "cells.jsonl", [json.dumps(row)])
    with pytest.raises(StoreError, match="line 1 cannot be read"):
        read_cells(tmp_path)


def test_clean_cells_of_a_degraded_benchmark_are_unaltered(tmp_path):
    rows = [{"cell": [bench, 0, "clean", None, "k"]} for bench in ("R-Bench-Dis", "MMStar")]
    write_lines(tmp_path / "cells.jsonl", map(json.dumps, rows))
    assert [planned.cell.level for planned in read_cells(tmp_path)] == [UNALTERED, "clean"]


@pytest.mark.parametrize("change", [{"fields": {"question": 5}}, {"index": None}, {"family": ["plain"]}])
def test_a_question_of_another_shape_is_refused(tmp_path, change):
    row = {"bench": "toy", "family": "plain", "index": 1, "fields": {"question": "?"}, **change}
    write_lines(tmp_path / "questions.jsonl", [json.dumps(row)])
    with pytest.raises(StoreError, match=r"questions\.jsonl, line 1 cannot be read"):
        read_questions(tmp_path)
