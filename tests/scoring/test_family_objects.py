"""A benchmark family is one object: a new one is one file, and no number depends on a text for people."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from mmdbench.benches import build_prompt
from mmdbench.benches.catalog import parse_catalog
from mmdbench.check import accept, check_run, parse_gate, read_baseline
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UnknownNameError
from mmdbench.records import CLEAN, Grade
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from mmdbench.scoring import score
from mmdbench.scoring.families import FAMILIES, infer_family
from mmdbench.scoring.family import Family, Grading, Metric
from mmdbench.scoring.sheet import Totals
from mmdbench.scoring.tables import mean, percent
from run_folders import LEVELS, numbers, question, write_run

SPEC = load_spec()
RUNS = [
    (family, protocol)
    for family in ("plain", "circular", "mmvp", "cvbench")
    for protocol in ("clear/1", "vlmevalkit/1")
]


def make_run(folder, family, protocol, worse=False):
    rows = []
    for i in range(24):
        index = i % 8 + 1_000_000 * (i // 8) if family == "circular" else i
        same = {"question": f"Pair {i // 2}?"} if family == "mmvp" else {}
        rows.append(question(index, **same, source="ADE20K" if i < 6 else "COCO", split="2D"))

    def answer(q, level, name):
        miss = q.index % 4 == 3 or (level == "hard" and q.index % (3 if worse else 5) == 1)
        return "B" if miss else "A"

    return write_run(folder, rows, answer, family, protocol=protocol, design="balanced:1")


def measured(folder, family, protocol):
    """Every number of a run's scores, hits, tables and gates."""
    before = load_results(make_run(folder / "before", family, protocol))
    after = load_results(make_run(folder / "after", family, protocol, worse=True))
    accept(before, folder / "baseline.json")
    gates = [parse_gate("macro-hard:1.0"), parse_gate("*/*/hard:2")]
    report = check_run(after, read_baseline(folder / "baseline.json"), SPEC, gates)
    scores = [numbers(arm.score.as_dict()) for run in (before, after) for arm in run.arms]
    hits = [(h.unit, h.level, h.stratum, h.hit) for run in (before, after) for h in run.hits]
    verdicts = [row.verdict for row in report.rows]
    tables = numbers(make_tables([before, after], SPEC).as_dict())
    return scores, hits, dict(after.chance), tables, numbers(asdict(report)), verdicts


@pytest.mark.parametrize(("family", "protocol"), RUNS)
def test_no_number_depends_on_a_text_for_people(family, protocol, tmp_path, monkeypatch):
    found = measured(tmp_path / "as-it-is", family, protocol)
    for name, known in FAMILIES.items():
        metrics = tuple(replace(m, label=f"label {i}") for i, m in enumerate(known.metrics))
        reworded = replace(known, metrics=metrics, prompt_summary="words", grading_summary="words")
        monkeypatch.setitem(FAMILIES, name, reworded)
    again = measured(tmp_path / "reworded", family, protocol)
    arms = load_results(tmp_path / "reworded" / "after").arms
    assert {arm.score.metric for arm in arms} <= {"label 0", "label 1"}
    assert again == found


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.grading])
def test_a_headline_is_found_by_its_key(family, tmp_path):
    run = load_results(make_run(tmp_path / "run", family, "vlmevalkit/1"))
    for made in (arm.score for arm in run.arms):
        known = FAMILIES[family].metric(made.metric_key)
        assert made.metric == known.label
        assert made.headline == made.metrics.get(known.key)
        assert "metric_key" not in made.as_dict()


def _grade(sheet, session):
    del session
    return {
        row.index: Grade(sheet.bench, row.index, "correct", 1.0, None, "length")
        if len(row.prediction) == len(row.answer)
        else Grade(sheet.bench, row.index, "wrong", 0.0, None, "length")
        for row in sheet.rows
    }


def _total(sheet, hits):
    share = percent(mean(hits[row.index] for row in sheet.rows))
    return Totals(share, "length", {"length": share}, [], {})


def _triples(questions):
    return (questions[i : i + 3] for i in range(0, len(questions), 3))


LENGTHS = Family(
    "lengths",
    prompt=lambda question: f"As long as the answer, please: {question.text}",
    metrics=(Metric("length", "replies of the right length", units=_triples),),
    grading=Grading(_grade, _total),
    recognise=lambda columns, indices: "it has a column 'length'" if "length" in columns else "",
    selectable=True,
)


def test_a_new_family_is_one_object(tmp_path, monkeypatch):
    rows = [question(i, answer="A" if i < 9 else "ABC") for i in range(12)]
    with pytest.raises(UnknownNameError, match="lengths"):
        build_prompt(rows[0], "lengths")
    monkeypatch.setitem(FAMILIES, "lengths", LENGTHS)
    assert build_prompt(rows[0], "lengths") == "As long as the answer, please: Question 0?"
    assert infer_family(["index", "question", "length"], [1]) == ("lengths", "it has a column 'length'")
    stanza = '[New]\nfamily = "lengths"\nurl = "https://example.org/New.tsv"\n'
    assert parse_catalog(stanza)["New"].family == "lengths"
    run = load_results(write_run(tmp_path / "run", rows, lambda q, *_: "B", "lengths"))
    assert [(arm.score.metric, arm.score.headline) for arm in run.arms] == [
        ("replies of the right length", 75.0)
    ] * len(LEVELS)
    assert score(run.arms[0].arm.bench, {0: "B"}).headline == pytest.approx(100 / 12)
    assert [hit.hit for hit in run.hits if hit.level == CLEAN] == [1.0, 1.0, 1.0, 0.0]
    assert make_tables(run, SPEC).main[0].scores[CLEAN].value == 75
