"""`--design released`: pictures from the authors' own files, everything else from the clean benchmark."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmdbench.benches.bench import read_bench
from mmdbench.benches.catalog import find_bench
from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import DataError, IncomparableError, UsageError
from mmdbench.records import CLEAN, Cell, Recipe, RunPlan
from mmdbench.report.question_sheet import question_sheet
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from mmdbench.results.pictures import remake
from mmdbench.results.rescoring import regrade
from mmdbench.run.inputs import PictureSources, RunInputs
from mmdbench.run.runner import run_plan
from mmdbench.run.store import read_replies
from mmdbench.system.digest import pixel_digest
from mmdbench.variants.recipes import clean_image
from mmdbench.variants.released import open_released
from pictures import picture, png
from recording_model import CARD, Recorder

SEEDS = {"": 0, "_LOW_LEVEL_LOW": 100, "_LOW_LEVEL_MID": 200, "_LOW_LEVEL_HIGH": 300}
SUFFIX = {"low": "_LOW_LEVEL_LOW", "mid": "_LOW_LEVEL_MID", "hard": "_LOW_LEVEL_HIGH"}


def write(folder, suffix, seed, rows=range(6), answer="ABCD"):
    """A small file in the shape of MMStar's, with other pictures for another seed."""
    folder.mkdir(exist_ok=True)
    path = folder / f"MMStar{suffix}.tsv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "question", "A", "B", "C", "D", "answer", "category", "image"])
        for i in rows:
            image = base64.b64encode(png(picture(seed + i))).decode()
            writer.writerow([i, f"Question {i}?", "red", "green", "blue", "grey", answer[i % 4], "c", image])
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with the clean benchmark and its three released files."""
    monkeypatch.setenv("LMUData", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for suffix, seed in SEEDS.items():
        write(tmp_path / "data", suffix, seed)
    return tmp_path / "data"


def bench(folder):
    return read_bench(folder / "MMStar.tsv", info=find_bench("MMStar"))


def run(folder, out, **changes):
    plan = RunPlan("toy", ("MMStar",), design="released", **changes)
    benches = [bench(folder)]
    pictures = PictureSources(released=open_released(plan, benches))
    model = Recorder()
    return model, run_plan(RunInputs(plan, benches, model, CARD, out, pictures=pictures))


def call(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def test_each_level_shows_the_pixels_of_its_file(folder, tmp_path):
    model, summary = run(folder, tmp_path / "run")
    assert (summary.cells, summary.failed) == (24, 0)
    asked = {r.key: r for r in model.asked}
    for reply in read_replies(tmp_path / "run").values():
        expected = picture(SEEDS[SUFFIX.get(reply.level, "")] + reply.index)
        image, recipe = reply.images[0], reply.images[0]["recipe"]
        with Image.open(io.BytesIO(asked[reply.key].images[0].data)) as seen:
            assert (np.asarray(seen) == expected).all()
        assert image["pixels"] == recipe["image"] == pixel_digest(expected)
        assert (recipe["corruption"], recipe["intensity"], recipe["codec"]) == (
            None,
            None,
            "released" if reply.level in SUFFIX else "source",
        )
        assert reply.corruption is None


def test_nothing_of_the_plan_that_makes_pictures_changes_a_key(folder, tmp_path):
    run(folder, tmp_path / "run")
    _, again = run(folder, tmp_path / "run", codec="png", seed=4, profile="scaled")
    assert (again.earlier, again.asked) == (24, 0)


def test_the_manifest_holds_the_digests_of_the_files(folder, tmp_path):
    run(folder, tmp_path / "run", levels=("clean", "hard"))
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    file = read_bench(folder / "MMStar_LOW_LEVEL_HIGH.tsv")
    assert manifest["released"] == [
        {
            "bench": "MMStar",
            "level": "hard",
            "corruption": None,
            "file": "MMStar_LOW_LEVEL_HIGH.tsv",
            "sha256": file.sha256,
            "questions": 6,
            "differ": 0,
        }
    ]


def test_mixed_files_have_no_rows_by_corruption(folder, tmp_path):
    run(folder, tmp_path / "run")
    tables = make_tables(load_results(tmp_path / "run"), load_spec())
    assert tables.levels == ("clean", "low", "mid", "hard")
    assert tables.find("levels") is not None
    assert not [t.key for t in tables.tables if "corruption" in t.key or t.key == "mce"]
    assert "as the authors drew them" in tables.header["design"]
    assert tables.header["codec"] == "that of the released files"
    notes = [note for note in tables.notes if "MMStar" in note]
    assert [note.split(":")[0].split(" (its")[0] for note in notes] == [  # they are the test's own files
        "FILE of MMStar",
        "MMStar_LOW_LEVEL_HIGH.tsv is not the file that its authors published",
    ]


def test_files_of_one_corruption_are_the_level_that_is_named(folder, tmp_path):
    write(folder, "_graffiti", 400)
    write(folder, "_motion_blur", 500)
    names = ("graffiti", "motion_blur")
    run(folder, tmp_path / "run", levels=("clean", "hard"), corruptions=names)
    replies = read_replies(tmp_path / "run").values()
    assert Counter((r.level, r.corruption) for r in replies) == {
        ("clean", None): 6,
        ("hard", "graffiti"): 6,
        ("hard", "motion_blur"): 6,
    }
    seen = {r.index: r.images[0]["pixels"] for r in replies if r.corruption == "motion_blur"}
    assert seen == {i: pixel_digest(picture(500 + i)) for i in range(6)}
    tables = make_tables(load_results(tmp_path / "run"), load_spec())
    again = regrade(tmp_path / "run").arms
    assert {(arm.arm.level, arm.arm.corruption, len(arm.arm.replies)) for arm in again} == {
        ("clean", None, 6),
        ("hard", "graffiti", 6),
        ("hard", "motion_blur", 6),
    }
    rows = {row.labels[0] for row in tables.find("corruption").rows}
    assert rows == set(names)
    with pytest.raises(UsageError, match="need exactly one degraded level, got low, hard"):
        run(folder, tmp_path / "b", levels=("clean", "low", "hard"), corruptions=names)
    with pytest.raises(DataError, match=r"MMStar_lens_flare\.tsv were not found"):
        run(folder, tmp_path / "b", levels=("hard",), corruptions=("graffiti", "lens_flare"))


def test_missing_files_are_named_before_anything_is_asked(folder, tmp_path):
    (folder / "MMStar_LOW_LEVEL_MID.tsv").unlink()
    with pytest.raises(DataError, match=r"MMStar_LOW_LEVEL_MID\.tsv were not found") as caught:
        run(folder, tmp_path / "run")
    assert "--level" in caught.value.hint
    _, summary = run(folder, tmp_path / "run", levels=("clean", "hard"))
    assert summary.cells == 12
    write(folder, "_LOW_LEVEL_HIGH", 300, rows=(0, 2, 4))
    with pytest.raises(DataError, match="lacks 3 of the 6 questions of MMStar: index 1, 3, 5"):
        run(folder, tmp_path / "other", levels=("clean", "hard"))
    assert not (tmp_path / "other").exists()


def test_a_benchmark_without_a_release_is_refused(make_tsv):
    path = make_tsv(2)
    plan = RunPlan("toy", (str(path),), design="released")
    with pytest.raises(UsageError, match="released no degraded copy of toy"):
        open_released(plan, [read_bench(path)])
    clean = RunPlan("toy", (str(path),), levels=(CLEAN,), design="released")
    assert open_released(clean, [read_bench(path)]) == {}


def test_rows_with_another_answer_are_counted_and_reported(folder, tmp_path):
    write(folder, "_LOW_LEVEL_HIGH", 300, answer="ABCA")
    run(folder, tmp_path / "run", levels=("clean", "hard"))
    notes = make_tables(load_results(tmp_path / "run"), load_spec()).notes
    changed = "1 questions of MMStar_LOW_LEVEL_HIGH.tsv have another text or answer"
    assert [note.startswith(changed) for note in notes].count(True) == 1


def test_runs_on_other_released_files_are_not_compared(folder, tmp_path):
    run(folder, tmp_path / "a", levels=("clean", "hard"))
    run(folder, tmp_path / "b")
    a, b = load_results(tmp_path / "a"), load_results(tmp_path / "b")
    assert len(make_tables([a, b], load_spec()).runs) == 2
    write(folder, "_LOW_LEVEL_HIGH", 900)
    run(folder, tmp_path / "c")
    with pytest.raises(IncomparableError, match="released file of MMStar hard"):
        make_tables([a, load_results(tmp_path / "c")], load_spec())


def test_a_plan_needs_its_files(folder, tmp_path):
    plan = RunPlan("toy", ("MMStar",), design="released", levels=("hard",))
    with pytest.raises(UsageError, match="needs a file of MMStar at hard"):
        run_plan(RunInputs(plan, [bench(folder)], Recorder(), CARD, tmp_path / "run"))


def test_pictures_that_no_recipe_makes_are_not_made_again(folder, tmp_path):
    run(folder, tmp_path / "run", levels=("clean", "hard"))
    clean = {q.index: clean_image(q.images[0].read(), "here") for q in bench(folder).questions}
    for reply in read_replies(tmp_path / "run").values():
        recipe = Recipe(**reply.images[0]["recipe"])
        if reply.level == CLEAN:
            assert remake(clean[reply.index], recipe)[1] == reply.images[0]["pixels"]
        else:
            with pytest.raises(DataError, match="in the authors' file"):
                remake(clean[reply.index], recipe)
    with pytest.raises(UsageError, match="authors' own degraded pictures"):
        question_sheet(
            bench(folder).questions[0], ["graffiti"], RunPlan("m", (), design="released"), load_spec()
        )


def test_by_the_command_line(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = ("eval", "--model", "chance", "--bench", folder / "MMStar.tsv", "--design", "released", "--quiet")
    words += ("-o", tmp_path / "run")
    dry = call(*words, "--dry-run", "--json")
    assert dry.exit_code == 0, dry.output
    assert json.loads(dry.stdout)["to_ask"] == 24
    assert not list((tmp_path / "run").glob("replies*"))
    assert call(*words).exit_code == 0
    cells = {r.cell for r in read_replies(tmp_path / "run").values()}
    assert Cell("MMStar", 0, "hard") in cells
    (folder / "MMStar_LOW_LEVEL_LOW.tsv").unlink()
    refused = call(*words, "--offline")
    assert refused.exit_code == DataError.exit_code
    assert "MMStar_LOW_LEVEL_LOW.tsv were not found" in refused.output
