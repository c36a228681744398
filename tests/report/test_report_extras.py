"""A question on one sheet, what to cite, and figures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmdbench import corrupt
from mmdbench.benches.bench import read_bench
from mmdbench.cli.cite import cite
from mmdbench.cli.figures import figures
from mmdbench.cli.show import show
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import MissingExtraError
from mmdbench.records import RunPlan
from mmdbench.report.question_sheet import question_sheet
from mmdbench.report.render.figures import draw_figures
from mmdbench.report.tables.collect import make_tables
from mmdbench.report.tables.run_notes import run_notes
from mmdbench.results.graded_run import load_results
from run_folders import question, write_run
from verb_calls import call

SPEC = load_spec()
NAMES = ("graffiti", "lens_blur", "mean_shift")


@pytest.fixture
def run(tmp_path):
    rows = [question(i) for i in range(12)]
    return write_run(
        tmp_path / "run",
        rows,
        lambda q, level, _: (
            {"text": "", "status": "empty", "reason": "nothing"} if q.index == 3 and level == "mid" else "B"
        ),
        corruptions=NAMES,
        seed=5,
    )


def test_the_sheet_shows_the_pictures_that_a_run_shows(make_tsv):
    bench = read_bench(make_tsv(4))
    plan = RunPlan("m", ("toy",), codec="png", seed=5)
    sheet = np.asarray(question_sheet(bench.questions[3], NAMES, plan, SPEC, width=64))
    assert sheet.shape == (22 + 3 * (48 + 28), 6 + 4 * 70, 3)
    tile = sheet[22 + 20 : 22 + 20 + 48, 6 + 3 * 70 : 6 + 3 * 70 + 64]
    clean = sheet[22 + 20 : 22 + 20 + 48, 6 : 6 + 64]
    assert np.array_equal(tile, corrupt(clean, "graffiti", level="hard", seed=5))


def test_show_prints_the_question_and_what_was_replied(make_tsv, run, tmp_path):
    path = make_tsv(12)
    out = tmp_path / "sheet.png"
    text = call(show, f"{path}:3", "--run", run, "--corruption", "graffiti", "-o", out, "--width", 40)
    lines = text.splitlines()
    assert lines[0] == "toy:3  Question 3?"
    assert "  → D. grey" in lines
    assert "  toy-model, clean: wrong (B, letter): B" in lines
    assert "  toy-model, mid graffiti: unresolved (–, empty): [empty] nothing" in lines
    with Image.open(out) as sheet:
        assert sheet.width == 6 + 4 * 46
    more = make_tsv(40)  # of which the run asked the first ones
    assert "  toy-model: did not ask this question" in call(show, f"{more}:39", "--run", run, "-o", out)


@pytest.mark.parametrize(
    ("target", "extra", "message"),
    [
        ("toy", (), "Write MMStar:17"),
        ("{path}:99", (), "Unknown index of toy"),
        ("{path}:1", ("--corruption", "grafiti"), "Did you mean 'graffiti'"),
        ("{path}:1", ("-o", "x.txt"), "End the name with .png"),
    ],
)
def test_show_names_invalid_arguments(make_tsv, target, extra, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in call(show, target.format(path=make_tsv(2)), *extra, code=2)


def test_cite_names_what_a_run_rests_on(tmp_path):
    folder = write_run(
        tmp_path / "run", [question(0, bench="MMStar"), question(0, bench="MMVP")], lambda *_: "A"
    )
    text = call(cite, folder)
    for word in (
        "2604.04780",
        "2403.20330",
        "2401.06209",
        "design mixed",
        "clear/1",
        "jpeg:95",
        "opencv 4.11.0",
    ):
        assert word in text
    assert "2307.06281" not in text  # no MMBench was run
    assert "author        = {Lin Chen and Jinsong Li and Xiaoyi Dong and" in text
    assert "  title         = {{CLEAR: Unlocking Generative Potential for" in text
    alone = call(cite)
    assert alone.startswith("@software{mmdbench")
    assert alone.count("author  ") == alone.count("\n@misc") + 1 == 3  # each entry has its authors
    assert alone.count("{") == alone.count("}")


def test_figures_are_the_same_every_time(run, tmp_path):
    pytest.importorskip("matplotlib")
    text = call(figures, run, "paper:clear-rl", "-o", tmp_path / "fig")
    names = {f"{n}.{k}" for n in ("levels", "drops", "corruptions") for k in ("svg", "pdf")}
    assert {p.name for p in (tmp_path / "fig").iterdir()} == names
    assert all(name in text for name in names)
    before = {p.name: p.read_bytes() for p in (tmp_path / "fig").iterdir()}
    call(figures, run, "paper:clear-rl", "-o", tmp_path / "fig")
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "fig").iterdir()}
    svg = before["drops.svg"].decode()
    assert "95 % intervals, those of drops paired" in svg
    assert "clear/1" in svg


def test_figures_name_their_extra_and_their_formats(run, tmp_path, monkeypatch):
    assert "Formats: svg, pdf" in call(figures, run, "-o", tmp_path, "--format", "bmp", code=2)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"mmdbench\[plot\]"):
        draw_figures(make_tables(load_results(run), SPEC), tmp_path)


EQUAL = ("lens_blur", "mean_shift", "graffiti", "gaussian_noise")


@pytest.mark.parametrize(("corruptions", "told"), [(NAMES, True), (EQUAL, False)])
def test_unequal_shares_of_the_categories_are_told(tmp_path, corruptions, told):
    rows = [question(i) for i in range(40)]
    folder = write_run(tmp_path / "run", rows, lambda *_: "A", corruptions=corruptions, design="mixed")
    notes = " ".join(run_notes(load_results(folder)))
    assert ("of 40 rows: with so few, the categories do not weigh the same" in notes) is told
