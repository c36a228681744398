"""Reports and comparisons on wide and narrow terminals and in pipes."""

from __future__ import annotations

import base64
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.library import load_run
from mmdbench.library.screen import Screen
from pictures import png
from run_folders import change_manifest, question, write_run

CORRUPTIONS = tuple(load_spec().corruptions)
BENCHES = ("MMBench_DEV_EN", "MMStar", "MMVP", "CV-Bench-2D", "RealWorldQA", "my_photos")
LONG = "openai:internvl3-8b-instruct@local-cbff7260"
LINES = 50


def answered(wrong):
    """A model that is wrong at hard about questions whose index is below `wrong` in 16, by corruption."""
    return lambda q, level, _: "B" if level == "hard" and q.index % 16 < wrong else "A"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made = []
    for number, model in enumerate(("qwen2.5-vl-7b-instruct", LONG, "gpt-5-mini", "baseline")):
        rows = [question(i, bench=bench) for bench in BENCHES for i in range(16)]
        fingerprint = {"name": model, "revision": f"r{number}", "weights": "same"}
        path = write_run(
            folder / str(number), rows, answered(number + 1), corruptions=CORRUPTIONS, model=model
        )
        change_manifest(path, lambda m, own=fingerprint: m["model"].update(fingerprint=own))
        made.append(path)
    return made


def printed(*words, width=80):
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": str(width or "")})
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("count", [1, 4])
def test_a_report_is_one_screen(runs, count, width):
    text = printed("report", *runs[:count], width=width)
    assert len(text.splitlines()) <= LINES
    assert text.count("Largest drops") == count
    assert text.count("\nNext: mmdbench ") == 1


def test_the_three_most_affected_corruptions_are_named(runs):
    text = printed("report", runs[3], width=400)
    assert re.search(rf"Largest drops, clean → hard: ({'|'.join(CORRUPTIONS[:4])}) 100.0 \(\d.*, n 6\)", text)
    (line,) = (line for line in text.splitlines() if line.startswith("Largest drops"))
    assert len(re.findall(r"n \d+\)", line)) == 3


def test_an_equal_note_is_shown_once_for_all_its_runs(runs):
    text = printed("report", *runs, width=400)
    assert text.count("FILES that are not the published ones") == 1
    assert "all 4 runs: FILES" in text
    assert text.count("of all ") == 1, "the ages of four equal runs"
    assert printed("compare", *runs[:3], width=400).count("FILES") == 1


def test_a_sentence_on_grades_is_shown_once_for_all_levels(tmp_path):
    def vague(q, level, _):
        return "A" if q.index >= {"clean": 10, "low": 11, "mid": 12, "hard": 20}[level] else "unclear"

    run = write_run(tmp_path / "run", [question(i) for i in range(30)], vague)
    (note,) = (note for note in load_run(run).notes if "name no option" in note)
    assert note.startswith("toy: 10 (clean), 11 (low), 12 (mid), 20 (hard) of 30 replies name no option")


def test_rows_of_fewer_than_five_questions_are_folded(tmp_path):
    rows = [question(i) for i in range(12)]
    names = ("graffiti", *["lens_blur"] * 5)
    run = write_run(tmp_path / "run", rows, lambda *_: "A", corruptions=names)
    text = printed("report", run, "--table", "corruption")
    assert "Fewer than 5 questions each, in --csv and --json: graffiti." in text
    assert re.search(r"^lens_blur +10 ", text, re.MULTILINE)
    assert not re.search(r"^graffiti", text, re.MULTILINE)
    assert "graffiti" in printed("report", run, "--table", "corruption", "--csv")


@pytest.mark.parametrize("width", [60, 80, 140])
def test_names_are_broken_at_their_own_separators_alone(runs, width):
    text = printed("report", *runs[:2], "--table", "corruption", "--table", "levels", width=width)
    words = set(re.findall(r"[a-z]{3,}", LONG))
    seen = set(re.findall(r"(?<![a-z])[a-z]{3,}(?![a-z])", text))
    assert words <= seen
    names = {part for name in CORRUPTIONS for part in name.split("_")}
    assert names <= seen
    if width > 100:
        assert LONG in text


def test_a_pipe_gets_lines_as_wide_as_needed(runs, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    text = io.StringIO()
    Screen(file=text).print(load_run(runs[1]).report.renderable("levels"))
    lines = text.getvalue().splitlines()
    assert sum("drop clean → hard" in line and "drop %" in line for line in lines) == 1
    assert max(map(len, lines)) > 110
    monkeypatch.setenv("COLUMNS", "70")
    text = io.StringIO()
    Screen(file=text).print(load_run(runs[1]).report.renderable("levels"))
    assert max(map(len, text.getvalue().splitlines())) <= 70


def test_points_have_one_decimal_and_two_beside_published_results(runs):
    for key in ("drops", "levels", "ladder", "corruption-models"):
        assert not re.search(r"\d\.\d\d", printed("report", runs[0], "--table", key)), key
    assert re.search(r"\d\.\d\d ", printed("report", runs[0], "paper:clear-rl", "--table", "drops"))


def test_compare_names_the_parts_of_a_fingerprint_that_differ(runs):
    text = printed("compare", *runs[:2], width=200)
    assert "differs in fingerprint.revision: r0 / r1" in text
    assert "weights" not in text
    assert len(text.splitlines()) <= LINES
    assert "\nmid " not in text
    assert "\nmid " in printed("compare", *runs[:2], "--table", "benchmark")


def test_the_next_commands_work(runs):
    for named in (runs[:1], runs[:2]):
        text = printed("report", *named, width=400)
        after = text[text.index("Next: ") + 5 :].splitlines()
        assert len(after) == 2
        for line in after:
            printed(*shlex.split(line)[1:])
    assert (Path(runs[0]) / "page.html").stat().st_size


@pytest.mark.parametrize(("name", "command"), [("quality", "mmdbench quality RUN"), ("mce", "REFERENCE RUN")])
def test_a_table_that_needs_another_command_names_it(runs, name, command):
    done = CliRunner().invoke(app, ["report", str(runs[0]), "--table", name])
    assert done.exit_code == 2
    assert f"These runs have no table '{name}'" in done.output
    assert command in done.output


def test_a_corruption_that_takes_nothing_is_no_largest_drop(tmp_path):
    rows = [question(i) for i in range(6)]
    gains = write_run(tmp_path / "gains", rows, lambda _, level, __: "B" if level == "clean" else "A")
    assert "Largest drops" not in printed("report", gains)
    some = ("graffiti", "lens_blur")
    path = write_run(
        tmp_path / "one",
        rows,
        lambda _, level, name: "B" if level == "hard" and name == "graffiti" else "A",
        corruptions=some,
        design="grid",
    )
    (line,) = (line for line in printed("report", path, width=400).splitlines() if "Largest" in line)
    assert "graffiti 100.0" in line
    assert "lens_blur" not in line


def test_misprints_of_papers_are_counted_on_one_screen_and_told_with_the_tables(runs):
    words = ("report", runs[0], "paper:clear-rl=CLEAR", "paper:bagel")
    short, whole = printed(*words), printed(*words, "--table", "all", width=400)
    assert len(short.splitlines()) <= LINES
    assert re.search(r"\d+ misprints of the published tables: see --table all\.", short)
    assert "is cut, not rounded" not in short
    assert "is cut, not rounded" in whole


def test_one_picture_that_a_corruption_leaves_as_it_is_is_one(tmp_path):
    grey = base64.b64encode(png(np.full((32, 32, 3), 128, np.uint8))).decode()
    bench = tmp_path / "grey.tsv"
    bench.write_text(f"index\tquestion\tA\tB\tanswer\timage\n1\tGrey?\tyes\tno\tA\t{grey}\n")
    words = ("eval", "--model", "chance", "--bench", bench, "--level", "clean,hard", "--codec", "png")
    said = printed(*words, "--corruption", "hsv_saturation", "--quiet", "-o", tmp_path / "run", width=400)
    assert "1 corrupted image equals its clean image" in said
