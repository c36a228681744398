"""`--restore`: pictures that a restorer changed before the model, their records, keys and tables."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmdbench.benches import open_bench
from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UsageError
from mmdbench.records import CLEAN, Recipe, RunPlan
from mmdbench.report.identity import differences, identity
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from mmdbench.results.pictures import made_pixels, remake
from mmdbench.run.folder import default_folder
from mmdbench.run.inputs import PictureSources, RunInputs
from mmdbench.run.runner import run_plan
from mmdbench.run.store import read_replies
from mmdbench.run.stored_plan import read_cells
from mmdbench.system.digest import pixel_digest
from mmdbench.variants.recipes import clean_image
from mmdbench.variants.restoration import Restorer
from recording_model import CARD, Recorder

LEVELS = ("clean", "recoded", "hard")


def inverted(version="1", seconds=0.0):
    def invert(pixels):
        time.sleep(seconds)
        return 255 - pixels

    return Restorer("inverted", {"version": version}, invert)


def run(path, folder, restorer=None, **changes):
    plan = RunPlan("toy", (str(path),), LEVELS, restore=restorer.name if restorer else "", **changes)
    model = Recorder()
    summary = run_plan(
        RunInputs(plan, [open_bench(path)], model, CARD, folder, pictures=PictureSources(restorer))
    )
    return model, summary


def keys(folder):
    return {c.cell: c.key for c in read_cells(folder)}


def shown(request):
    with Image.open(io.BytesIO(request.images[0].data)) as image:
        return np.asarray(image.convert("RGB"))


def call(*args, code=0):
    result = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_the_model_sees_the_restored_picture_and_the_reply_says_so(make_tsv, tmp_path):
    path = make_tsv(3)
    plain, _ = run(path, tmp_path / "plain")
    model, _ = run(path, tmp_path / "run", inverted())
    for before, after in zip(plain.asked, model.asked, strict=True):
        assert (shown(after) == 255 - shown(before)).all()
        assert after.images[0].mime == "image/png"
    before = {r.cell: r for r in read_replies(tmp_path / "plain").values()}
    by_key = {r.key: r for r in model.asked}
    for reply in read_replies(tmp_path / "run").values():
        image = reply.images[0]
        assert image["restored"]["name"] == "inverted"
        assert image["restored"]["before"] == before[reply.cell].images[0]["pixels"]
        assert image["restored"]["seconds"] >= 0
        assert image["pixels"] == pixel_digest(shown(by_key[reply.key]))
        assert "restored" not in before[reply.cell].images[0]


def test_keys_change_only_where_a_picture_is_restored(make_tsv, tmp_path):
    path = make_tsv(3)
    run(path, tmp_path / "run")
    plain = keys(tmp_path / "run")
    _, summary = run(path, tmp_path / "run", inverted(), restore_clean=False)
    some = keys(tmp_path / "run")
    assert {cell.level for cell in plain if some[cell] != plain[cell]} == {"hard"}
    assert (summary.asked, summary.earlier) == (3, 6)
    run(path, tmp_path / "run", inverted())
    every = keys(tmp_path / "run")
    assert all(every[cell] != plain[cell] for cell in plain)
    assert all(every[cell] == some[cell] for cell in plain if cell.level == "hard")
    run(path, tmp_path / "run", inverted("2"))
    assert not set(keys(tmp_path / "run").values()) & set(every.values())


def test_clean_pictures_are_left_alone_on_request(make_tsv, tmp_path):
    run(make_tsv(3), tmp_path / "run", inverted(), restore_clean=False)
    replies = read_replies(tmp_path / "run").values()
    restored = {lv: {"restored" in r.images[0] for r in replies if r.level == lv} for lv in LEVELS}
    assert restored == {"clean": {False}, "recoded": {False}, "hard": {True}}
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["restoration"] == {"fingerprint": {"name": "inverted", "version": "1"}, "clean": False}


def test_the_picture_before_restoring_can_be_made_again(make_tsv, tmp_path):
    path = make_tsv(2)
    run(path, tmp_path / "run", inverted())
    clean = {q.index: clean_image(q.images[0].read(), "here") for q in open_bench(path).questions}
    for reply in read_replies(tmp_path / "run").values():
        image = reply.images[0]
        assert (
            remake(clean[reply.index], Recipe(**image["recipe"]))[1] == made_pixels(image) != image["pixels"]
        )


def test_a_restorer_that_fails_is_an_error_with_its_reason(make_tsv, tmp_path):
    def broken(pixels):
        raise RuntimeError("no memory")

    model, summary = run(make_tsv(2), tmp_path / "run", Restorer("broken", {}, broken), restore_clean=False)
    assert len(model.asked) == 4
    assert (summary.asked, summary.failed) == (6, 2)
    failed = [r for r in read_replies(tmp_path / "run").values() if r.status == "error"]
    assert {r.level for r in failed} == {"hard"}
    assert all("'broken' failed: RuntimeError: no memory" in r.reason for r in failed)


def test_a_plan_and_what_was_opened_for_it_go_together(make_tsv, tmp_path):
    path = make_tsv(1)
    for plan, pictures in (
        (RunPlan("toy", (str(path),), restore="inverted"), PictureSources()),
        (RunPlan("toy", (str(path),)), PictureSources(inverted())),
    ):
        with pytest.raises(UsageError, match=r"The plan names (no restorer|the restorer)"):
            run_plan(
                RunInputs(plan, [open_bench(path)], Recorder(), CARD, tmp_path / "run", pictures=pictures)
            )


def test_a_run_without_a_restorer_keeps_its_folder():
    plan = RunPlan("baseline", ("mini",))
    assert default_folder(plan).name == "baseline_mini_mixed_4c3072ac"
    assert default_folder(RunPlan("baseline", ("mini",), restore_clean=False)) == default_folder(plan)
    restored = replace(plan, restore="opencv-nlmeans")
    assert len({default_folder(p) for p in (plan, restored, replace(restored, restore_clean=False))}) == 3


def test_the_report_counts_its_time_and_names_it(make_tsv, tmp_path):
    path = make_tsv(4)
    run(path, tmp_path / "plain")
    run(path, tmp_path / "run", inverted(seconds=0.002))
    results, plain = load_results(tmp_path / "run"), load_results(tmp_path / "plain")
    tables = make_tables(results, load_spec())
    phases = tables.find("phases")
    assert [column.name for column in phases.columns] == ["restoration", "model"]
    assert "restoring" in tables.find("time").caption
    assert any("inverted restored every image" in note for note in tables.notes)
    total = sum(
        r.seconds + sum(i["restored"]["seconds"] for i in r.images)
        for r in results.replies.values()
        if r.level == CLEAN
    )
    assert total >= 4 * 0.002
    assert tables.find("time").rows[-1].values[0].value == pytest.approx(total / 60)
    alone = make_tables(plain, load_spec())
    assert alone.find("phases") is None
    found = differences(identity(plain), identity(results))
    assert [(d.field, d.blocks) for d in found] == [("restoration", False)]
    assert len(make_tables([plain, results], load_spec()).runs) == 2


def test_end_to_end_by_the_command_line(make_tsv, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    path = make_tsv(4)
    words = ("eval", "--model", "chance", "--bench", path, "--level", "clean,hard", "--quiet")
    words += ("-o", tmp_path / "run", "--restore", "soft")
    (tmp_path / "restorers.toml").write_text('[soft]\nfunction = "mmdbench.variants.restorers:deblock"\n')
    assert "soft" in call(*words, code=2)
    words += ("--restore-card", tmp_path / "restorers.toml")
    assert json.loads(call(*words, "--dry-run", "--json"))["to_ask"] == 8
    call(*words)
    assert "soft restored every image, clean ones too" in (tmp_path / "run" / "report.md").read_text()
    replies = read_replies(tmp_path / "run")
    assert {r.images[0]["restored"]["name"] for r in replies.values()} == {"soft"}
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["plan"]["restore"] == "soft"
    assert manifest["restoration"]["fingerprint"]["function"] == "mmdbench.variants.restorers:deblock"
    assert str(tmp_path) not in json.dumps(manifest)


def test_an_unknown_restorer_is_refused_before_the_model_is_loaded(make_tsv, tmp_path):
    words = ("eval", "--model", "hf:nobody/nothing", "--bench", make_tsv(1), "-o", tmp_path / "run")
    assert "restorer" in call(*words, "--restore", "opencv-nlmean", code=2)
