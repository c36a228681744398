"""Benchmarks that a mean is over, and levels that a score belongs to."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from msgspec import structs
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import CLEAN, LEVELS, UNALTERED
from mmdbench.report.comparison import compare_published, compare_runs
from mmdbench.report.published import paper_tables, published_rows
from mmdbench.report.scores import AVERAGE, main_rows, overall_row
from mmdbench.report.tables.collect import make_tables
from mmdbench.report.tables.table import shown
from mmdbench.results.graded_run import load_results
from mmdbench.results.precision import half_width_points
from run_folders import as_early, hit, published_hits, question, results, shrunk, write_run
from scripted_runs import write_tsv

PAPER = paper_tables()
SIX = PAPER["benchmarks"]
FILES = ("MMBench_DEV_EN_V11", "MMVet", "MMVP", "CV-Bench-2D", "MMStar", "RealWorldQA")
ALL = (CLEAN, *LEVELS)


def body(table):
    return {
        row.labels: [shown(v, c) for v, c in zip(row.values, table.columns, strict=True)]
        for row in table.rows
    }


def mmd_run(scores, label, levels=ALL):
    """A run of `--bench mmd,R-Bench-Dis` with these means: benchmark → level → points."""
    hits = [
        h
        for name, bench in zip((*SIX, "R-Bench-Dis"), (*FILES, "R-Bench-Dis"), strict=True)
        for level, points in scores.get(name, {}).items()
        for h in published_hits(bench, level, points, "graffiti" if level in LEVELS else None)
    ]
    hits += [
        h
        for level in levels
        for h in published_hits("CV-Bench-3D", level, 20, "graffiti" if level in LEVELS else None)
    ]
    return results(hits, label=label, levels=levels)


@pytest.fixture(scope="module")
def clear_rl():
    nine = PAPER["table9_clear_rl"]
    scores = {b: {lv.lower(): v[i] for lv, v in nine.items()} for i, b in enumerate(SIX)}
    scores["R-Bench-Dis"] = {UNALTERED: PAPER["table1_hard"]["CLEAR-RL"][6]}
    return mmd_run(scores, "CLEAR-RL")


def test_the_papers_mean_is_over_the_same_six_as_that_of_a_run_of_mmd(clear_rl):
    published = published_rows("paper:clear-rl", clear_rl.counted)
    rows = {row.id: row for row in published.main}
    assert rows[AVERAGE].name == "AVG"
    assert rows[AVERAGE].scores["hard"].value == pytest.approx(64.965)
    assert rows[AVERAGE].questions == 5513
    found = compare_published(clear_rl, shrunk(published))
    differences = {r.labels: r.values[2].value for r in found.tables[0].rows}
    assert differences[("hard", "CV-Bench")] == pytest.approx(0)
    assert differences[("hard", "AVG")] == pytest.approx(0)
    assert differences[(UNALTERED, "R-Bench-Dis")] == pytest.approx(0)
    assert differences[("hard", "AVG with R-Bench-Dis")] == pytest.approx(0)
    assert not any("3D" in label for _, label in differences)


def test_a_run_of_the_3d_file_is_not_compared_with_the_published_2d_scores():
    run = results(
        published_hits("CV-Bench-3D", "hard", 20) + published_hits("MMStar", "hard", 60), levels=("hard",)
    )
    found = compare_published(run, published_rows("paper:clear-rl", run.counted))
    assert [row.labels[1] for row in found.tables[0].rows] == ["MMStar"]


def cv_questions():
    rows = [
        ("ADE20K", "CV-Bench-2D"),
        ("ADE20K", "CV-Bench-2D"),
        ("ADE20K", "CV-Bench-2D"),
        ("COCO", "CV-Bench-2D"),
    ]
    rows += [("Omni3D", "CV-Bench-3D")] * 2
    return [
        question(i, bench, source=source, split=bench[-2:], prompt="Which?")
        for i, (source, bench) in enumerate(rows)
    ]


def test_cv_bench_is_its_2d_file_and_its_mean_of_sources_is_a_row_outside_the_mean(tmp_path):
    answer = lambda q, level, _: "A" if q.index < 3 else "B"  # noqa: E731
    folder = write_run(
        tmp_path / "run", [*cv_questions()], answer, family="cvbench", levels=("clean", "hard")
    )
    run = load_results(folder)
    rows = {row.name: row for row in main_rows(run, ("clean", "hard"))}
    assert list(rows) == ["CV-Bench", "CV-Bench-3D", "CV-Bench (mean of sources)"]
    assert rows["CV-Bench"].scores["hard"].value == pytest.approx(75)
    assert rows["CV-Bench (mean of sources)"].scores["hard"].value == pytest.approx(50)
    assert rows["CV-Bench-3D"].scores["hard"].value == pytest.approx(0)
    assert overall_row(rows.values()) is rows["CV-Bench"]
    by_source = main_rows(load_results(folder, protocol="vlmevalkit/1"), ("hard",))
    assert {row.name: row.scores["hard"].value for row in by_source} == pytest.approx(
        {"CV-Bench": 50, "CV-Bench-3D": 0, "CV-Bench (micro accuracy)": 75}
    )


def test_the_corruptions_leave_the_3d_file_out_of_means_too(clear_rl):
    made = make_tables(clear_rl, load_spec())
    part = next(part for part in made.breakdowns if part.id == "corruption")
    assert part.rows[0].questions == 6 * 4


def test_differences_of_parts_leave_the_3d_file_out_as_their_scores_do():
    def run(label, share):
        shares = {"CV-Bench-2D": share, "MMStar": share, "CV-Bench-3D": 10}
        hits = [
            hit(
                u,
                level,
                u < share_of - 2 * (level == "hard"),
                None if level == "clean" else "graffiti",
                bench,
            )
            for bench, share_of in shares.items()
            for level in ("clean", "hard")
            for u in range(10)
        ]
        return results(hits, label=label)

    old, new = run("old", 5), run("new", 8)
    table = make_tables([old, new], load_spec()).find("corruption-models")
    row = next(row for row in table.rows if row.labels == ("graffiti",))
    assert row.values[2].value == pytest.approx(row.values[1].value - row.values[0].value)
    gaps = compare_runs(old, new, load_spec()).tables[-1]
    assert [r.values[0].value for r in gaps.rows if r.labels == ("hard", "graffiti")] == [20]
    rising = results([structs.replace(h, hit=1.0 - h.hit) for h in new.hits], label="rising")
    parts = {r.labels[1]: r.values[0].n for r in make_tables(rising, load_spec()).find("severity").rows}
    assert parts == {"MMStar": 10, "CV-Bench": 10, "CV-Bench-3D": 10, "graffiti": 20}
    alone = replace(old, hits=tuple(h for h in old.hits if h.bench != "CV-Bench-3D"))
    assert half_width_points(old) == pytest.approx(half_width_points(alone))


def mixed(command, *words, code=0):
    done = CliRunner().invoke(app, [command, *map(str, words)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def data(tmp_path):
    plain = {"A": "red", "B": "green", "answer": "A"}
    rows = [{"index": i, "question": f"Which {i}?", **plain} for i in range(8)]
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("R-Bench-Dis", "MMStar", "RealWorldQA"):
        write_tsv(folder / f"{name}.tsv", rows)
    return folder


def evaluate(data, out, *words):
    mixed("eval", "--model", "chance", "--data-dir", data, "--offline", "--quiet", "-o", out, *words)
    return load_results(out)


def test_pictures_that_are_published_degraded_are_asked_as_they_are(data, tmp_path):
    run = evaluate(
        data, tmp_path / "run", "--bench", "MMStar,RealWorldQA,R-Bench-Dis", "--level", "clean,hard"
    )
    assert {cell.level for cell in run.cells if cell.bench == "R-Bench-Dis"} == {UNALTERED}
    assert {cell.level for cell in run.cells if cell.bench == "MMStar"} == {"clean", "hard"}
    rows = {row.name: row for row in main_rows(run, ("clean", "hard", UNALTERED))}
    assert set(rows["R-Bench-Dis"].scores) == {UNALTERED}
    assert rows["AVG"].covers == ("MMStar", "RealWorldQA")
    seven = rows["AVG with R-Bench-Dis"].scores["hard"].value
    parts = [
        rows["MMStar"].scores["hard"],
        rows["RealWorldQA"].scores["hard"],
        rows["R-Bench-Dis"].scores[UNALTERED],
    ]
    assert seven == pytest.approx(sum(part.value for part in parts) / 3)
    text = mixed("report", tmp_path / "run", "--csv")
    assert "R-Bench-Dis (unaltered)" in text
    # Their questions are others than those of clean, which limits no number.
    assert not any("other questions than clean" in note for note in make_tables(run, load_spec()).notes)


def test_they_are_degraded_again_only_if_that_is_asked_in_so_many_words(data, tmp_path):
    run = evaluate(
        data, tmp_path / "run", "--bench", "R-Bench-Dis", "--level", "clean,hard", "--degrade-again"
    )
    assert {cell.level for cell in run.cells} == {UNALTERED, "hard"}
    assert make_tables(run, load_spec()).levels == ("hard", UNALTERED)
    out = tmp_path / "build"
    build = ("build", "--bench", "R-Bench-Dis", "--data-dir", data, "--offline", "--quiet", "-o", out)
    assert "degraded as they are published" in mixed(*build, code=2)
    mixed(*build, "--level", "clean,hard", "--degrade-again")
    assert {path.name for path in out.glob("*.tsv")} == {"R-Bench-Dis_clean.tsv", "R-Bench-Dis_hard.tsv"}


MARKED = (
    "R-Bench-Dis",
    "R-Bench",
    "rbench:mcq",
    "rbench:vqa",
    "rbench:cap",
    "vlmeval:R-Bench-Dis",
    "rbench:all",
)


@pytest.mark.parametrize("name", [*MARKED, "PATH"])
@pytest.mark.parametrize("verb", ["assign", "eval --task perceive", "eval --task perceive --dry-run"])
def test_nothing_that_needs_clean_pictures_takes_them(data, tmp_path, name, verb):
    name = str(data / "R-Bench-Dis.tsv") if name == "PATH" else name
    words = (*verb.split(), "--model", "chance", "--bench", name, "--data-dir", data, "--offline")
    said = mixed(*words, "-o", tmp_path / "out", code=2)
    assert "are degraded as they are published" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["rbench:mcq", "PATH", "COPY", "vlmeval:R-Bench-Dis"])
def test_they_are_asked_once_and_built_never_under_any_name(data, tmp_path, name, monkeypatch):
    if name.startswith("vlmeval:"):
        kit = SimpleNamespace(
            SUPPORTED_DATASETS=["R-Bench-Dis"],
            DATASET_MODALITY=lambda _: "IMAGE",
            DATASET_TYPE=lambda _: "MCQ",
        )
        monkeypatch.setattr("mmdbench.benches.vlmevalkit.kit_module", lambda _: kit)
    copy = data / "R-Bench-Dis_hard.tsv"  # as a build with --degrade-again writes it
    shutil.copy(data / "R-Bench-Dis.tsv", copy)
    name = {"PATH": str(data / "R-Bench-Dis.tsv"), "COPY": str(copy)}.get(name, name)
    run = evaluate(data, tmp_path / "run", "--bench", name, "--level", "clean,low,hard", "--design", "grid")
    assert [cell.level for cell in run.cells] == [UNALTERED] * 8
    made = make_tables(run, load_spec())
    assert made.find("worst-case") is None
    build = ("build", "--bench", name, "--data-dir", data, "--offline", "--quiet", "-o", tmp_path / "build")
    assert "degraded as they are published" in mixed(*build, code=2)
    shown = mixed("eval", "--model", "chance", "--bench", name, "--data-dir", data, "--offline", "--dry-run")
    assert "requests  8" in shown
    assert "of a drop" not in shown
    assert "at the levels unaltered, design" in mixed("cite", tmp_path / "run")


def test_beside_released_files_they_are_shown_as_they_are(data, tmp_path):
    for level in ("LOW", "MID", "HIGH"):
        shutil.copy(data / "MMStar.tsv", data / f"MMStar_LOW_LEVEL_{level}.tsv")
    run = evaluate(data, tmp_path / "run", "--bench", "MMStar,R-Bench-Dis", "--design", "released")
    assert {cell.level for cell in run.cells if cell.bench == "R-Bench-Dis"} == {UNALTERED}


def test_a_restorer_of_degraded_pictures_alone_restores_them(data, tmp_path):
    words = ("--bench", "MMStar,R-Bench-Dis", "--level", "clean", "--restore", "opencv-nlmeans")
    run = evaluate(data, tmp_path / "run", *words, "--no-restore-clean")
    restored = {cell.bench: bool(reply.images[0].get("restored")) for cell, reply in run.replies.items()}
    assert restored == {"MMStar": False, "R-Bench-Dis": True}


def test_a_stored_run_that_calls_them_clean_is_read_and_asks_nothing_again(data, tmp_path):
    first = evaluate(data, tmp_path / "run", "--bench", "R-Bench-Dis", "--level", "clean")
    as_early(tmp_path / "run")
    cells = tmp_path / "run" / "cells.jsonl"
    cells.write_text(cells.read_text().replace('"unaltered"', '"clean"'))
    old = load_results(tmp_path / "run")
    assert {cell.level for cell in old.cells} == {UNALTERED}
    assert old.hits == first.hits
    before = len((tmp_path / "run" / "replies-0.jsonl").read_text().splitlines())
    evaluate(data, tmp_path / "run", "--bench", "R-Bench-Dis", "--level", "clean,hard")
    assert len((tmp_path / "run" / "replies-0.jsonl").read_text().splitlines()) == before


def test_the_tasks_of_r_bench_are_marked_so_too(tmp_path):
    rows = [question(i, f"R-Bench-{task}") for task in ("MCQ", "VQA") for i in range(4)]
    run = load_results(write_run(tmp_path / "run", rows, lambda *_: "A", levels=("clean",)))
    assert {hit.level for hit in run.hits} == {UNALTERED}
    row = overall_row(main_rows(run, (UNALTERED,)))
    assert (row.name, row.scores[UNALTERED].value) == ("AVG", 100)
    assert json.loads(json.dumps(make_tables(run, load_spec()).as_dict()))["levels"] == [UNALTERED]


def grid_run(label, benches, share, design="grid"):
    names = list(load_spec().corruptions)
    hits = [
        hit(u, level, u < share, c, bench)
        for bench in benches
        for u in range(10)
        for level, c in (("clean", None), *(("hard", name) for name in names))
    ]
    return results(hits, label=label, design=design, levels=("clean", "hard"))


def delta_cells(made):
    table = made.find("corruption-models")
    place = [c.name.startswith("Δ") for c in table.columns].index(True)
    return table, [row.values[place] for row in table.rows]


def test_a_run_of_one_benchmark_gives_no_difference_to_means_over_six():
    run = grid_run("mine", ["MMStar"], 7)
    for reference in ("", "paper:bagel"):
        made = make_tables(run, load_spec(), [published_rows("paper:bagel", run.counted)], reference)
        table, cells = delta_cells(made)
        assert set(cells) == {None}
        assert "mine covers MMStar, paper:bagel covers MMBench, MM-Vet, MMVP" in table.caption
        mce = made.find("mce")
        assert {value for row in mce.rows for value in row.values} == {None}
        assert "It is – where" in mce.caption
        assert (
            shown(
                table.rows[-1].values[[c.name for c in table.columns].index("paper:bagel")], table.columns[0]
            )
            == "59.57"
        )


def test_pooled_questions_give_no_difference_to_a_mean_over_benchmarks():
    made = make_tables(
        grid_run("mine", SIX, 7, "mixed"), load_spec(), [shrunk(published_rows("paper:bagel"), 10)]
    )
    table, cells = delta_cells(made)
    assert set(cells[:-1]) == {None}
    assert cells[-1].value == pytest.approx(70 - 59.567, abs=1e-3)
    assert "covers the questions of MMBench + MM-Vet" in table.caption


def test_runs_of_other_benchmarks_or_questions_give_no_difference():
    one, two = grid_run("one", ["MMStar"], 7), grid_run("two", ["MMStar", "MMVP"], 5)
    few = results([h for h in one.hits if h.unit < 8], label="few", design="grid", levels=("clean", "hard"))
    for other, why in (
        (two, "two covers MMStar, MMVP, one covers MMStar"),
        (few, "were asked other questions"),
    ):
        made = make_tables([one, other], load_spec())
        table, cells = delta_cells(made)
        assert set(cells) == {None}
        assert why in table.caption
        assert {value for row in made.find("mce").rows for value in row.values} == {None}


def test_a_sample_gives_no_difference_to_the_scores_of_all_questions():
    whole, part = (
        [
            h
            for bench in SIX
            for h in published_hits(bench, "hard", 60, "graffiti", n or PAPER["sizes"][bench])
        ]
        for n in (0, 10)
    )
    few = results(
        [*part, *whole[-765:]], label="few", levels=("hard",), sample="10/bench"
    )  # RealWorldQA: all
    found = compare_published(few, published_rows("paper:clear-rl", few.counted))
    rows = {row.labels[1]: row.values[2] for row in found.tables[0].rows}
    assert [name for name, value in rows.items() if value is not None] == ["RealWorldQA"]
    for why in ("counts 10 questions, paper:clear-rl 1500", "counts 815 questions, paper:clear-rl 5513"):
        assert any(f"the difference is – where few {why}" in note for note in found.notes)
    table, cells = delta_cells(make_tables(few, load_spec(), [published_rows("paper:clear-rl")]))
    assert set(cells) == {None}
    assert "few counts 815 questions, paper:clear-rl 5513" in table.caption
    # A sample that is all questions is none.
    full = results(whole, label="full", levels=("hard",), sample="9999/bench")
    table, cells = delta_cells(make_tables(full, load_spec(), [published_rows("paper:clear-rl")]))
    assert cells[-1].value == pytest.approx(60 - 64.965)
    found = compare_published(full, published_rows("paper:clear-rl", full.counted))
    assert all(row.values[2] is not None for row in found.tables[0].rows)


def test_report_and_compare_give_the_same_difference_with_the_same_sign():
    old, new = grid_run("old", ["MMStar", "MMVP"], 5), grid_run("new", ["MMStar", "MMVP"], 7)
    table, cells = delta_cells(make_tables([old, new], load_spec()))
    assert "Δ new − old" in [c.name for c in table.columns]
    found = compare_runs(old, new, load_spec())
    rows = {row.labels: row.values[1] for row in found.tables[0].rows}
    assert cells[-1] == rows[("hard", "AVG")]
    assert cells[-1].value == pytest.approx(20)
    assert "new − old" in [c.name for c in found.tables[0].columns]


def test_a_comparison_of_the_shared_benchmarks_says_how_many_its_mean_is_over():
    old, new = grid_run("old", ["MMStar", "MMVP", "RealWorldQA"], 5), grid_run("new", ["MMStar", "MMVP"], 7)
    labels = [row.labels[1] for row in compare_runs(old, new, load_spec()).tables[0].rows]
    assert labels == ["MMStar", "MMVP", "AVG of the 2 in both"] * 2
    run = grid_run("mine", ["MMStar", "MMVP", "mini"], 7)
    found = compare_published(run, published_rows("paper:clear-rl", run.counted))
    assert not any(row.labels[1] == "AVG" for row in found.tables[0].rows)


def test_a_relative_error_needs_the_drops_of_both():
    run = grid_run("mine", SIX, 7)
    bare = results([h for h in run.hits if h.level == "hard"], label="bare", design="grid", levels=("hard",))
    mce = make_tables([run, bare], load_spec()).find("mce")
    assert {row.values[1] for row in mce.rows} == {None}
    assert mce.rows[0].values[0].value == pytest.approx(100)


def test_a_file_that_is_not_the_published_one_is_named_in_every_rendering(data, tmp_path):
    out = tmp_path / "run"
    evaluate(data, out, "--bench", "MMStar", "--level", "clean,hard", "--sample", "4")
    note = "FILE of MMStar: 8 rows, the published one has 1500"
    for words in (("report", out), ("report", out, "--markdown"), ("report", out, "--json"), ("cite", out)):
        assert note in " ".join(mixed(*words).split())
    assert note in " ".join(mixed("compare", out, "paper:clear-rl").split())
    assert note in mixed("report", out, "--latex")
    sheet = CliRunner().invoke(app, ["report", str(out), "--csv"]).stdout
    assert all(note in row["notes"] for row in csv.DictReader(io.StringIO(sheet)))
    mixed("page", out, "-o", tmp_path / "page.html", "--quiet", "--examples", 0)
    assert note in (tmp_path / "page.html").read_text("utf-8")
    pytest.importorskip("matplotlib")
    mixed("figures", out, "-o", tmp_path / "figures", "--format", "svg")
    drawn = [path.read_text("utf-8") for path in (tmp_path / "figures").glob("*.svg")]
    assert drawn
    assert all("FILE of MMStar: 8 rows" in text for text in drawn)


def test_eval_names_such_a_file_before_it_asks_however_quiet(data, tmp_path):
    words = ("--model", "chance", "--bench", "MMStar", "--data-dir", data, "--offline", "--quiet")
    done = CliRunner().invoke(app, ["eval", *map(str, words), "--dry-run", "-o", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert done.stderr == "mmdbench: FILE of MMStar: 8 rows, the published one has 1500.\n"
    assert "FILE" not in done.stdout
    published = ("--model", "chance", "--bench", "mini", "--dry-run", "--quiet")
    assert "FILE" not in mixed("eval", *published, "-o", tmp_path / "other")


def test_a_file_of_the_published_length_is_known_by_its_digest(tmp_path):
    rows = [
        {"index": i, "question": f"Which {i}?", "A": "red", "B": "green", "answer": "A"} for i in range(495)
    ]
    write_tsv(tmp_path / "R-Bench-Dis.tsv", rows)
    out = tmp_path / "run"
    run = evaluate(tmp_path, out, "--bench", "R-Bench-Dis", "--sample", "4")
    (record,) = run.manifest["benches"]
    assert record["md5"]
    assert f"not the published one (its MD5 is {record['md5']})" in " ".join(mixed("report", out).split())
    whole = make_tables(replace(run, plan=replace(run.plan, sample="")), load_spec())
    assert whole.header["sample"] == "all questions of the files"


def test_data_list_and_get_say_whether_a_file_is_the_published_one(data, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    line = next(row for row in mixed("data", "list", "--data-dir", data).splitlines() if "MMStar " in row)
    assert [cell.strip() for cell in line.split("│")[4:7]] == ["8", "no", "mismatch"]
    text = mixed("data", "get", "MMStar", "--data-dir", data, code=4)
    assert "MMStar: not the published file" in text
