"""R-Bench's scores against worked cases: votes, replies, a table of rows, published cells.

The cases are read from `training/rbench.json` below MMDBENCH_GOLDEN (default: tests/golden).
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from mmdbench.report.rbench_scores import RBenchScore, mean_of_cells, mean_over_rows, means_by
from mmdbench.scoring.families.rbench_votes import read_vote, row_score
from mmdbench.stats.rounding import cut, fixed

FOLDER = Path(os.environ.get("MMDBENCH_GOLDEN") or Path(__file__).parents[1] / "golden") / "training"
CASES: dict[str, Any] = json.loads((FOLDER / "rbench.json").read_text("utf-8"))
STRENGTHS = {1: "low", 2: "mid", 3: "high"}
TABLE = CASES["table"]


def close(value):
    return pytest.approx(value, abs=CASES["tolerance"])


def rows(score):
    return [
        RBenchScore(row["type"], STRENGTHS[row["strength"]], row["distortion"], score(row))
        for row in TABLE["rows"]
    ]


KINDS = {"absolute": rows(lambda row: row["dis"]), "relative": rows(lambda row: row["ref"] * row["com"])}


@pytest.mark.parametrize("case", CASES["row_scores"], ids=lambda case: f"{case['task']}-{case['votes']}")
def test_row_scores(case):
    assert row_score(case["task"], case["votes"]) == close(case["expected"])


@pytest.mark.parametrize("case", CASES["reply_reader"], ids=lambda case: f"{case['task']}-{case['reply']}")
def test_replies(case):
    assert read_vote(case["task"], case["reply"]) == case["expected"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", TABLE["absolute"])
def test_means(kind, part):
    assert means_by(KINDS[kind], part) == close(TABLE[kind][part])


def test_overall_scores():
    overall = TABLE["overall"]
    found = {kind: math.fsum(r.score for r in KINDS[kind]) / len(KINDS[kind]) for kind in KINDS}
    assert found == close({"absolute": overall["rows"], "relative": overall["rows_relative"]})
    cells = means_by(KINDS["absolute"], "cell")
    assert cut(mean_of_cells(list(cells.values())), 4) == f"{overall['plain_mean_of_nine_cells_cut']:.4f}"


@pytest.mark.parametrize("case", CASES["published"], ids=lambda case: case["model"])
def test_published_cells(case):
    assert fixed(mean_over_rows(case["cells"], case["rows_per_cell"]), 4) == f"{case['overall_rows']:.4f}"
    assert fixed(mean_of_cells(case["cells"]), 4) == f"{case['overall_plain_rounded']:.4f}"
