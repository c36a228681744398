"""Tables from graded replies: what is counted, what is paired, how it is rounded."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from mmdbench.records import RunPlan
from mmdbench.report.console import breakdown_grids, footer, main_grid
from mmdbench.report.markdown import markdown
from mmdbench.report.results import RunResults, UnitHit
from mmdbench.report.rounding import fixed
from mmdbench.report.tables import make_tables
from mmdbench.spec import load_spec


def hit(unit, level, value, corruption=None, bench="toy", category="c"):
    return UnitHit(bench, unit, level, corruption, category, float(value))


def results(hits, statuses=None, **changes):
    plan = RunPlan(model="m", benches=("toy",), levels=("clean", "hard"), **changes)
    statuses = {"ok": len(hits)} if statuses is None else statuses
    arm = SimpleNamespace(
        bench="toy", level="hard", corruption=None, no_ops=0, score=SimpleNamespace(warnings=())
    )
    return RunResults({}, plan, (arm,), tuple(hits), statuses)


def tables(hits, **kw):
    return make_tables(results(hits, **kw), load_spec())


def test_the_drop_is_the_paired_difference_in_points():
    hits = [hit(u, "clean", u < 8) for u in range(10)]
    hits += [hit(u, "hard", u < 5, "graffiti") for u in range(10)]
    (row,) = tables(hits).main
    assert (row.scores["clean"].value, row.scores["hard"].value) == (80, 50)
    assert row.drops["hard"].value == 30
    assert row.drop_percent("hard") == pytest.approx(37.5)
    assert row.questions == 10


def test_a_question_under_many_corruptions_counts_once():
    hits = [hit(u, "clean", 1) for u in range(10)]
    hits += [
        hit(u, "hard", c == "graffiti", c)
        for u in range(10)
        for c in ("graffiti", "lens_blur", "mean_shift", "scan_lines")
    ]
    (row,) = tables(hits, design="grid").main
    assert row.scores["hard"].value == 25
    assert row.drops["hard"].n == 10


def test_the_average_over_benchmarks_is_not_weighted_by_their_size():
    hits = [
        hit(u, level, 1, "graffiti" if level == "hard" else None, "large")
        for u in range(90)
        for level in ("clean", "hard")
    ]
    hits += [hit(u, "clean", 1, None, "small") for u in range(10)] + [
        hit(u, "hard", 0, "graffiti", "small") for u in range(10)
    ]
    rows = tables(hits).main
    assert [r.name for r in rows] == ["large", "small", "AVG"]
    assert rows[2].scores["hard"].value == 50
    assert rows[2].drops["hard"].value == 50


def test_a_part_is_compared_with_the_clean_score_of_its_own_questions():
    hits = [hit(u, "clean", u < 5) for u in range(10)]
    hits += [hit(u, "hard", 0, "graffiti" if u < 5 else "lens_blur") for u in range(10)]
    (by_name,) = [b for b in tables(hits).breakdowns if b.title == "Corruption"]
    rows = {row.name: row for row in by_name.rows}
    assert (rows["graffiti"].scores["clean"].value, rows["graffiti"].drops["hard"].value) == (100, 100)
    assert (rows["lens_blur"].scores["clean"].value, rows["lens_blur"].drops["hard"].value) == (0, 0)
    assert rows["lens_blur"].drop_percent("hard") is None


def test_an_incomplete_run_says_so():
    hits = [hit(u, "clean", 1) for u in range(100)]
    assert tables(hits, statuses={"ok": 99, "error": 1}).complete
    incomplete = tables(hits, statuses={"ok": 98, "error": 1, "missing": 1})
    assert not incomplete.complete
    assert "INCOMPLETE: 2 of 100" in markdown(incomplete)
    assert footer(incomplete)[0] == "98 of 100 planned answers (1 error, 1 missing)."


def test_every_rendering_shows_the_same_numbers():
    hits = [hit(u, "clean", u < 2) for u in range(3)] + [hit(u, "hard", u < 1, "graffiti") for u in range(3)]
    made = tables(hits)
    grid = main_grid(made)
    assert grid.columns == ("Benchmark", "n", "clean", "hard", "drop clean → hard", "drop %")
    assert grid.rows[0][2].startswith("66.7 [")
    assert grid.rows[0][-1] == "50.0 %"
    page = markdown(made)
    for cell in (c for g in (grid, *breakdown_grids(made)) for row in g.rows for c in row):
        assert cell in page
    assert json.loads(json.dumps(made.as_dict()))["main"][0]["scores"]["clean"]["value"] == pytest.approx(
        200 / 3
    )


def test_the_header_names_protocol_and_weighting():
    header = tables([hit(0, "clean", 1)]).header
    assert header["protocol"] == "clear/1"
    assert "categories weigh the same" in header["design"]
    assert "types weigh the same" in tables([hit(0, "clean", 1)], design="grid").header["design"]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (64.965, 2, "64.97"),
        (0.05, 1, "0.1"),
        (-0.05, 1, "-0.1"),
        (-0.0001, 1, "0.0"),
        (2 / 3 * 100, 1, "66.7"),
        (1.005, 2, "1.01"),
        (70.275, 2, "70.28"),
    ],
)
def test_numbers_are_rounded_half_away_from_zero(value, digits, text):
    assert fixed(value, digits) == text
