"""Runs that name files elsewhere or hold links: nothing outside of them is read, written or removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.errors import StoreError
from mmdbench.records import Reply, RunPlan
from mmdbench.results.judging.asked import name_in_run
from mmdbench.results.pictures import open_questions, own_pictures
from mmdbench.results.quality.pictures import open_pictures
from mmdbench.run.batch_journal import BatchFile, BatchJournal, SentBatch
from mmdbench.run.manifest import find_manifest, read_manifest
from mmdbench.scoring.judging.heads import OWN_HEADS
from run_folders import change_manifest, question, write_run

EVAL = "eval --model chance --bench toy.tsv --level clean,hard --quiet -o run"
FILES = ("replies-0.jsonl", "cells.jsonl", "questions.jsonl", "images.jsonl", "batches.jsonl", "judge.jsonl")
FOLDERS = ("images", "logs", "batches", "rows")
MORE = ("replies-9.jsonl", "quality-cache.jsonl", "report.md", ".lock")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("finished") / "run", [question(1), question(2)], lambda *_: "A")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, make_tsv, finished):
    """The working folder, with a run, a benchmark and a file and a folder that are private."""
    monkeypatch.chdir(tmp_path)
    make_tsv(3)
    shutil.copytree(finished, "run")
    Path("private").mkdir()
    Path("private/x.jsonl").write_text("private")
    return tmp_path


def mmdbench(command, code=0):
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == code, done.output
    return done.output


def refused(command):
    assert "is a link" in mmdbench(command, 4)
    assert [path.name for path in Path("private").iterdir()] == ["x.jsonl"]
    assert Path("private/x.jsonl").read_text() == "private"


def link(name, folder="run"):
    path = Path(folder, name)
    path.unlink(missing_ok=True)
    path.symlink_to("../private" if name in FOLDERS else "../private/x.jsonl")


@pytest.mark.parametrize("name", FILES + FOLDERS + MORE)
def test_a_run_with_a_link_is_not_read(name):
    link(name)
    for read in (read_manifest, find_manifest):
        if read is read_manifest:
            with pytest.raises(StoreError, match="is a link"):
                read(Path("run"))
        else:
            assert read(Path("run")) is None


@pytest.mark.parametrize(
    "verb",
    [
        "report run",
        "compare run run",
        "page run -o page.html",
        "export run -o out",
        "cite run",
        "score run",
        "score run --judge openai:m@http://127.0.0.1:9",
        "merge run -o out",
        EVAL,
        "assign --model chance --bench toy.tsv --quiet -o run",
    ],
)
def test_no_verb_works_in_a_run_with_a_link(verb):
    link("replies-9.jsonl")
    refused(verb)


def test_no_picture_of_a_run_with_a_link_is_measured():
    link("quality-cache.jsonl")
    with pytest.raises(StoreError, match="is a link"):
        open_pictures(Path("run"))


@pytest.mark.parametrize("name", ["replies-0.jsonl", "images.jsonl", "images", "logs", "rows"])
@pytest.mark.parametrize("dry", ["", " --dry-run"])
def test_a_run_is_not_begun_among_links(name, dry):
    Path("new").mkdir()
    link(name, "new")
    refused(EVAL.replace("-o run", "-o new") + dry)


@pytest.mark.parametrize(
    "recipe", ["paper --model chance --judge openai:m@http://127.0.0.1:9", "robust-r1 --trace gpt-4.1"]
)
def test_training_data_is_not_made_among_links(recipe):
    Path("new").mkdir()
    link("rows", "new")
    turns = [{"from": "human", "value": "<image>\nWhich?"}, {"from": "gpt", "value": "red"}]
    Path("own.jsonl").write_text(json.dumps({"id": "1", "image": "x.jpg", "conversations": turns}) + "\n")
    refused(f"assign --recipe {recipe} --bench own.jsonl --quiet -o new")


@pytest.mark.parametrize("heads", ["../private/x.jsonl", "{here}/private/x.jsonl", ".."])
def test_a_manifest_names_no_judge_prompts_elsewhere(here, heads):
    judges = [{"id": "m", "heads": heads.format(here=here), "prompts": []}]
    change_manifest(Path("run"), lambda manifest: manifest.update(judges=judges))
    with pytest.raises(StoreError, match="which is not inside"):
        name_in_run(Path("run"), "m", OWN_HEADS)
    assert "which is not inside" in mmdbench("report run --judge m", 4)


def test_a_journal_names_no_requests_elsewhere():
    journal = BatchJournal(Path("run"))
    with pytest.raises(StoreError, match="which is not inside"):
        next(journal.requests(SentBatch("../../private/x")))


def test_only_files_of_batches_are_removed():
    journal, sent = BatchJournal(Path("run")), BatchFile(Path("run"))
    sent.path.write_text("")
    for name in ("mine.jsonl", f"{sent.name}.jsonl"):
        Path("run/batches", name).write_text("")
    journal.tidy()
    assert [path.name for path in Path("run/batches").iterdir()] == ["mine.jsonl"]


@pytest.mark.parametrize("kept", ["{here}/private", "../elsewhere", "private/..", ""])
def test_a_reply_shows_no_picture_outside_its_run(here, kept, monkeypatch):
    """The manifest names a folder and the reply a file: together they could be any file."""
    Path("work").mkdir()
    monkeypatch.chdir("work")
    for folder in ("private", "elsewhere"):
        Path("..", folder).mkdir(exist_ok=True)
        Path("..", folder, "x.png").write_bytes(b"private")
    manifest = {"model": {"options": {"keep_images": kept.format(here=here)}}}
    names = ("x.png", "../private/x.png", f"{here}/private/x.png")
    reply = Reply("k", "toy", 1, "clean", None, "ok", "", details={"images": names})
    assert list(own_pictures(reply, here / "run", manifest)) == []
    (here / "run/images").mkdir()
    (here / "run/images/x.png").write_bytes(b"own")
    assert list(own_pictures(reply, here / "run", manifest)) == [b"own"] * 3


@pytest.mark.parametrize(
    "name", ["{here}/toy.tsv", "http://127.0.0.1:9/x.tsv", "~/toy.tsv", "../toy.tsv", "sub/toy.tsv"]
)
def test_a_run_names_no_benchmark_by_a_path_or_a_url(here, name, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    Path("sub").mkdir()
    shutil.copy("toy.tsv", "sub")
    found, missing = open_questions(RunPlan("m", ()), [name.format(here=here)])
    assert (found, len(missing)) == ({}, 1)
    assert "no name of a benchmark" in missing[0]
    found, missing = open_questions(RunPlan("m", ("toy.tsv",)), ["toy"])
    assert (len(found), missing) == (3, [])


def test_an_export_stays_in_its_folder():
    manifest = read_manifest(Path("run"))
    manifest["model"]["name"] = ".."
    Path("run/manifest.json").write_text(json.dumps(manifest))
    assert "which is not inside" in mmdbench("export run --format jsonl -o out", 4)
    assert not Path("out").exists()


def test_a_sheet_stays_in_the_working_folder():
    Path("toy_").mkdir()
    Path("work").mkdir()
    text = Path("toy.tsv").read_text().replace("\n0\t", "\n/../../stolen\t")
    Path("toy.tsv").write_text(text)
    assert "which is not inside" in mmdbench("show toy.tsv:/../../stolen", 2)


@pytest.mark.parametrize("name", ["cells.jsonl", "questions.jsonl", "images.jsonl"])
def test_a_folder_in_the_place_of_a_file_is_an_error_of_a_merge(name):
    Path("run", name).unlink(missing_ok=True)
    Path("run", name).mkdir()
    assert f"run/{name}" in mmdbench("merge run -o out", 4)


def test_folders_among_pictures_and_replies_are_errors_of_a_merge():
    Path("run/images/1").mkdir(parents=True)
    assert "Cannot copy run/images/1" in mmdbench("merge run -o out", 4)
    Path("run/images/1").rmdir()
    mmdbench("merge run -o new")
    Path("new/replies-9.jsonl").mkdir()
    assert "Cannot write new/replies-9.jsonl" in mmdbench("merge run -o new", 4)


@pytest.mark.parametrize("name", ["images", "cells.jsonl", "replies-9.jsonl"])
def test_a_merge_that_was_begun_among_links_is_not_finished(name):
    Path("run/images").mkdir()
    Path("run/images/x.png").write_bytes(b"x")
    Path("new").mkdir()
    Path("new/.merging").touch()
    link(name, "new")
    refused("merge run -o new")
