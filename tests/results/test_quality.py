"""Quality without a reference: which pictures are measured, how often, by what; and the real figures."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import (
    DataError,
    ImageDecodeError,
    MissingExtraError,
    ModelError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from mmdbench.records import Cell, RunPlan
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from mmdbench.results.pictures import SourceFolders
from mmdbench.results.quality import metrics as quality_metrics
from mmdbench.results.quality.measure import (
    Picture,
    QualityMetric,
    accuracy_by_quality,
    measure,
    read_quality,
    write_quality,
)
from mmdbench.results.quality.metrics import LICENCE_NOTICE, METRICS, find_weights, open_metrics
from mmdbench.results.quality.pictures import folder_pictures, is_run, open_pictures, run_pictures
from mmdbench.run.folder import QUALITY_CACHE_FILE, QUALITY_FILE
from mmdbench.system.digest import pixel_digest
from mmdbench.variants.recipes import clean_image, make_variant, recipe_for
from pictures import picture, png
from run_folders import question, write_run

ROOT = Path(__file__).resolve().parents[2]


class Brightness:
    """A metric that is the mean of a picture, and remembers what it was asked."""

    def __init__(self, version="1", name="brisque"):
        self.shapes = []
        self.metric = QualityMetric(name, {"package": "test", "version": version}, self.values)

    def values(self, pixels):
        self.shapes.append(pixels.shape)
        if pixels.shape[1] < 8:
            raise RuntimeError("too small")
        return pixels.reshape(len(pixels), -1).mean(axis=1)


def shown(pixels, kind="image", level="", corruption=""):
    return Picture(kind, level, corruption, pixel_digest(pixels), lambda: pixels)


def test_pictures_of_one_size_are_measured_together_and_each_once(tmp_path):
    small = [shown(picture(n)) for n in range(5)]
    wide = [shown(picture(n, 32, 90)) for n in range(2)]
    fake = Brightness()
    values = measure([small[0], wide[0], *small, *wide, small[1]], [fake.metric], tmp_path, batch=3)
    assert sorted(fake.shapes) == [(2, 32, 90, 3), (2, 48, 64, 3), (3, 48, 64, 3)]
    assert len(values) == 7
    for one in (*small, *wide):
        assert values[one.digest, "brisque"] == pytest.approx(one.load().mean())


def test_many_sizes_do_not_pile_up_in_memory(tmp_path):
    pictures = [shown(picture(n, 20 + n, 30)) for n in range(40)]
    fake = Brightness()
    seen = []
    measure(
        pictures, [fake.metric], tmp_path, batch=2, on_progress=lambda done, total: seen.append((done, total))
    )
    assert len(fake.shapes) == 40
    assert seen[-1] == (40, 40)
    assert len(seen) == 40


def test_a_figure_is_found_again_by_pixels_and_by_implementation(tmp_path):
    pictures = [shown(picture(n)) for n in range(4)]
    first, again, newer = Brightness(), Brightness(), Brightness("2")
    values = measure(pictures, [first.metric], tmp_path)
    assert measure(pictures, [again.metric], tmp_path) == values
    assert again.shapes == []
    measure(pictures, [newer.metric], tmp_path)
    assert len(newer.shapes) == 1
    extra = Brightness()
    measure([*pictures, shown(picture(9))], [extra.metric], tmp_path)
    assert extra.shapes == [(1, 48, 64, 3)]


def test_a_torn_line_costs_one_figure_and_damages_nothing(tmp_path):
    pictures = [shown(picture(n)) for n in range(4)]
    measure(pictures, [Brightness().metric], tmp_path)
    cache = tmp_path / QUALITY_CACHE_FILE
    cache.write_bytes(cache.read_bytes()[:-9])
    fake = Brightness()
    measure(pictures, [fake.metric], tmp_path)
    assert fake.shapes == [(1, 48, 64, 3)]
    assert len([json.loads(line) for line in cache.read_text().splitlines()]) == 4


def test_a_picture_that_cannot_be_measured_is_none_and_its_neighbours_are_measured(tmp_path):
    tiny, fine = shown(picture(1, 4, 40)), shown(picture(2))
    values = measure([tiny, fine], [Brightness().metric], tmp_path)
    assert values[tiny.digest, "brisque"] is None
    assert values[fine.digest, "brisque"] is not None

    def some(pixels):
        return [math.nan if one.mean() > 127 else 1.0 for one in pixels]

    dark, bright = np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8)
    values = measure([shown(dark), shown(bright)], [QualityMetric("niqe", {}, some)], tmp_path)
    assert [values[pixel_digest(p), "niqe"] for p in (dark, bright)] == [1.0, None]
    with pytest.raises(ValueError, match="gave 1 values for 2"):
        measure([shown(dark), shown(bright)], [QualityMetric("musiq", {}, lambda pixels: [1.0])], tmp_path)
    with pytest.raises(UsageError, match="batch must be at least 1, got 0"):
        measure([tiny], [Brightness().metric], tmp_path, batch=0)


def pictured_run(folder, asked, **changes):
    """A run that notes its pictures; the reply to question 0 at hard holds one of its own."""
    spec = load_spec()

    def answer(q, level, corruption):
        clean = clean_image(png(picture(q.index)), "x")
        recipe = recipe_for(
            Cell("toy", q.index, level, corruption), clean.digest, RunPlan("m", ("toy",)), spec
        )
        image = {"recipe": recipe.as_dict(), "pixels": make_variant(clean, recipe).pixels, "no_op": False}
        own = (
            {"details": {"images": ["0-1.png"], "restorations": 1}} if (q.index, level) == (0, "hard") else {}
        )
        return {"text": "A", "images": (image,), **own}

    run = write_run(folder, asked, answer, **changes)
    (folder / "images").mkdir()
    (folder / "images" / "0-1.png").write_bytes(png(picture(77)))
    return run


def test_the_pictures_of_a_run_are_those_that_its_model_saw_and_made(tmp_path, make_tsv):
    make_tsv(5)
    run = pictured_run(tmp_path / "run", [question(n) for n in range(5)])
    assert is_run(run)
    pictures, missing = run_pictures(run, SourceFolders(tmp_path))
    assert missing == []
    kinds = [(p.kind, p.level) for p in pictures]
    assert sorted(set(kinds)) == [
        ("clean", "clean"),
        ("degraded", "hard"),
        ("degraded", "low"),
        ("degraded", "mid"),
        ("restored", "hard"),
    ]
    assert kinds.count(("clean", "clean")) == 5
    assert len(pictures) == 21
    for one in pictures:
        assert pixel_digest(one.load()) == one.digest
    (restored,) = [p for p in pictures if p.kind == "restored"]
    assert (restored.load() == picture(77)).all()
    nothing, missing = run_pictures(run, SourceFolders(tmp_path / "run"))
    assert [p.kind for p in nothing] == ["restored"]
    assert missing[0].startswith("toy: ")


def test_no_picture_above_the_limit_is_measured(tmp_path, make_tsv):
    make_tsv(1)
    run = pictured_run(tmp_path / "run", [question(0)])
    pictures, missing = open_pictures(run, SourceFolders(tmp_path), 100)
    assert [p.kind for p in pictures].count("restored") == 0
    assert "above the limit of 100" in missing[0]
    for one in pictures:
        with pytest.raises(ImageDecodeError, match=r"toy.tsv.* above the limit of 100"):
            one.load()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "large.png").write_bytes(png(picture(1)))
    with pytest.raises(ImageDecodeError, match=r"large.png.* above the limit of 100"):
        open_pictures(tmp_path / "photos", max_pixels=100)


def test_a_damaged_picture_of_the_model_is_reported_and_the_others_are_measured(tmp_path, make_tsv):
    make_tsv(2)
    run = pictured_run(tmp_path / "run", [question(n) for n in range(2)])
    (run / "images" / "0-1.png").write_bytes(b"no picture")
    pictures, missing = run_pictures(run, SourceFolders(tmp_path))
    assert len(pictures) == 8
    assert "0-hard" in missing[0]


def test_clean_pictures_of_a_grid_are_measured_once(tmp_path, make_tsv):
    make_tsv(3)
    run = pictured_run(
        tmp_path / "run",
        [question(n) for n in range(3)],
        design="grid",
        corruptions=("graffiti", "lens_blur"),
    )
    pictures, _ = run_pictures(run, SourceFolders(tmp_path))
    assert [p.kind for p in pictures].count("clean") == 3
    assert [p.kind for p in pictures].count("degraded") == 3 * 2 * 3


def test_the_report_reads_what_was_measured(tmp_path, make_tsv):
    make_tsv(3)
    run = pictured_run(tmp_path / "run", [question(n) for n in range(3)])
    pictures, _ = run_pictures(run, SourceFolders(tmp_path))
    fake = Brightness()
    record = write_quality(run, pictures, [fake.metric], measure(pictures, [fake.metric], run))
    assert read_quality(run) == record
    assert record["implementations"] == {"brisque": {"package": "test", "version": "1"}}
    table = make_tables(load_results(run), load_spec()).find("quality")
    assert table is not None
    rows = {row.labels[1:]: row.values[0].value for row in table.rows}
    assert rows["clean", "clean"] == pytest.approx(np.mean([picture(n).mean() for n in range(3)]))
    assert rows["restored", "hard"] == pytest.approx(picture(77).mean())
    text = (run / QUALITY_FILE).read_text()
    (run / QUALITY_FILE).write_text(text.replace('"level": "hard"', '"level": "mid"', 1))
    with pytest.raises(StoreError, match=r"quality.json: it does not match its digest"):
        make_tables(load_results(run), load_spec())


def test_a_folder_of_pictures_is_measured_by_name(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.png").write_bytes(png(picture(1)))
    (tmp_path / "a.PNG").write_bytes(png(picture(2)))
    (tmp_path / "notes.txt").write_text("no picture")
    found = folder_pictures(tmp_path)
    assert [p.file for p in found] == ["a.PNG", "deep/b.png"]
    assert not is_run(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="There is no picture"):
        folder_pictures(tmp_path / "empty")


def test_missing_weights_name_their_file_and_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, file in {
        "brisque": "brisque_svm_weights.pth",
        "niqe": "niqe_modelparameters.mat",
        "musiq": "musiq_koniq_ckpt-e95806b9.pth",
    }.items():
        with pytest.raises(DataError) as caught:
            find_weights(name)
        assert file in str(caught.value)
        assert "--weights-dir" in str(caught.value)
        assert "https://huggingface.co/" in str(caught.value)
        assert str(Path("hub") / "pyiqa") in str(caught.value)
    hub = tmp_path / "hub" / "pyiqa"
    hub.mkdir(parents=True)
    (hub / METRICS["niqe"]).write_bytes(b"")
    assert find_weights("niqe") == hub / METRICS["niqe"]
    with pytest.raises(DataError):
        find_weights("niqe", tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean 'brisque'"):
        open_metrics(["brisk"])


def test_without_pyiqa_the_message_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / METRICS["niqe"]).write_bytes(b"")
    monkeypatch.setattr(quality_metrics.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"mmdbench\[iqa\]"):
        open_metrics(["niqe"], weights_dir=tmp_path)


def test_a_pyiqa_that_does_not_load_says_why(tmp_path, monkeypatch):
    (tmp_path / METRICS["niqe"]).write_bytes(b"")
    monkeypatch.setattr(quality_metrics.util, "find_spec", lambda name: object())

    def broken(name, error):
        raise error

    for error, hint in (
        (RuntimeError("operator torchvision::nms does not exist"), "of one build"),
        (ModuleNotFoundError("No module named 'einops'", name="einops"), "pip install einops"),
    ):
        monkeypatch.setattr(quality_metrics, "import_module", partial(broken, error=error))
        with pytest.raises(ModelError, match=hint):
            open_metrics(["niqe"], weights_dir=tmp_path)


def test_nothing_of_pyiqa_is_imported_before_a_metric_is_opened():
    code = (
        "import sys, mmdbench.results.quality.measure, mmdbench.results.quality.metrics;"
        "import mmdbench.results.quality.pictures;"
        "import mmdbench.cli.quality;"
        "print([m for m in ('pyiqa', 'torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_prints_means_and_the_licence(tmp_path, monkeypatch, make_tsv):
    from mmdbench.cli import app

    make_tsv(3)
    run = pictured_run(tmp_path / "run", [question(n) for n in range(3)])
    fake = Brightness()
    monkeypatch.setattr("mmdbench.library.quality.open_metrics", lambda names, **how: [fake.metric])
    wanted = ["quality", str(run), "--metric", "brisque", "--data-dir", str(tmp_path)]
    done = CliRunner().invoke(app, [*wanted, "--json"])
    assert done.exit_code == 0
    assert done.stderr.count(LICENCE_NOTICE) == 1
    record = json.loads(done.stdout)
    assert {image["kind"] for image in record["images"]} == {"clean", "degraded", "restored"}
    done = CliRunner().invoke(app, wanted)
    assert "degraded" in done.stdout
    assert "Quality: 0" not in done.stderr
    assert CliRunner().invoke(app, ["quality", str(tmp_path / "nowhere")]).exit_code == 2
    assert CliRunner().invoke(app, ["quality", str(run), "--metric", ","]).exit_code == 2


def test_the_curve_cuts_answers_into_groups_of_like_quality():
    rows = [(n, float(n), float(n < 30)) for n in range(40)]
    bins = accuracy_by_quality(rows, bins=4)
    assert [(b.low, b.high, b.n) for b in bins] == [(0, 9, 10), (10, 19, 10), (20, 29, 10), (30, 39, 10)]
    assert [b.accuracy.value for b in bins] == [100, 100, 100, 0]
    assert bins[0].quality == pytest.approx(4.5)
    assert accuracy_by_quality(rows[::-1], bins=4) == bins
    assert accuracy_by_quality([]) == ()
    assert accuracy_by_quality([("a", math.inf, 1.0), ("b", 2.0, 1.0)])[0].n == 1
    with pytest.raises(UsageError, match="bins must be at least 1, got 0"):
        accuracy_by_quality(rows, bins=0)


def test_answers_of_equal_quality_stay_in_one_group():
    rows = [(n, 1.0, 1.0) for n in range(9)] + [(n, 2.0, 0.0) for n in range(3)]
    bins = accuracy_by_quality(rows, bins=4)
    assert [(b.low, b.high, b.n) for b in bins] == [(1, 1, 9), (2, 2, 3)]


def test_repeating_the_answers_of_a_question_feigns_no_certainty():
    rng = np.random.RandomState(0)
    hits = rng.rand(60) < 0.6
    (once,) = accuracy_by_quality([(n, 1.0, float(h)) for n, h in enumerate(hits)], bins=1)
    (often,) = accuracy_by_quality([(n, 1.0, float(h)) for n, h in enumerate(hits) for _ in range(9)], bins=1)
    assert often.n == 9 * once.n
    assert often.accuracy.n == once.accuracy.n == 60
    assert (often.accuracy.low, often.accuracy.high) == pytest.approx((once.accuracy.low, once.accuracy.high))


@pytest.mark.slow
def test_the_interval_of_a_group_covers_as_often_as_it_says():
    rng = np.random.RandomState(1)
    covered = 0
    for _ in range(400):
        skill = rng.beta(2, 1, 80)
        rows = [
            (n, 1.0, float(rng.rand() < p)) for n, p in enumerate(skill) for _ in range(rng.randint(1, 6))
        ]
        (found,) = accuracy_by_quality(rows, bins=1)
        covered += found.accuracy.low <= 100 * 2 / 3 <= found.accuracy.high
    assert 0.92 <= covered / 400 <= 0.98


FIGURES = {  # BRISQUE and NIQE of the calibration pictures that come inside pyiqa
    "I03.bmp": (94.644, 15.654),
    "I04.bmp": (-0.107, 3.655),
    "I06.bmp": (1.073, 3.234),
    "I08.bmp": (5.145, 3.192),
    "I19.bmp": (66.842, 9.072),
}


@pytest.mark.slow
def test_the_real_metrics_give_their_published_figures():
    python, weights = os.environ.get("MMDBENCH_IQA_PYTHON"), os.environ.get("MMDBENCH_IQA_WEIGHTS")
    if not python or not weights:
        pytest.skip("set MMDBENCH_IQA_PYTHON (has pyiqa) and MMDBENCH_IQA_WEIGHTS (by tools/iqa_weights.py)")
    find = "import importlib.util as u; print(u.find_spec('pyiqa').submodule_search_locations[0])"
    where = subprocess.run([python, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
    pictures = Path(where).parent / "ResultsCalibra" / "dist_dir"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    done = subprocess.run(
        [python, str(ROOT / "tests" / "support" / "iqa_figures.py"), str(pictures), weights],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    record = json.loads(done.stdout.splitlines()[-1])
    for name, (brisque, niqe) in FIGURES.items():
        for batch in ("1", "5"):
            assert record[batch][name][0] == pytest.approx(brisque, abs=0.02), (name, batch)
            assert record[batch][name][1] == pytest.approx(niqe, abs=0.005), (name, batch)
    for one in record["implementations"]:
        assert (one["package"], len(one["weights_sha256"])) == ("pyiqa", 64)
        assert one["version"]
