"""Verification of submissions: what was changed is found, with its place."""

from __future__ import annotations

import base64
import json

import pytest
from typer.testing import CliRunner

from board_runs import write_board_run, write_submission
from mmdbench.cli import app
from mmdbench.library.board import verify_submission
from mmdbench.report.board.submission import submission_text
from page_runs import questions, write_bench
from pictures import picture, png
from run_folders import change_lines, change_manifest


@pytest.fixture
def run(tmp_path):
    folder = write_board_run(tmp_path / "run")
    write_submission(tmp_path / "s.json", folder)
    return folder


def verified(tmp_path, code=0, sample=0):
    words = ("board", "verify", tmp_path / "s.json", tmp_path / "run", "--data-dir", tmp_path / "data")
    done = CliRunner().invoke(app, [*map(str, words), "--sample", str(sample)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def rewritten(tmp_path, change):
    """Change a submission as a forger would: with a digest that fits."""
    path = tmp_path / "s.json"
    record = json.loads(path.read_text("utf-8"))
    change(record)
    path.write_text(submission_text(record), "utf-8")


def resubmitted(tmp_path, change):
    """Change the replies of a run as a forger would, and submit it again."""
    change_lines(tmp_path / "run" / "replies-0.jsonl", change)
    write_submission(tmp_path / "s.json", tmp_path / "run")


def test_an_honest_submission_is_all_right(tmp_path, run):
    assert "24 grades compared, 24 pictures made again: all right." in verified(tmp_path)
    assert "24 grades compared, 5 pictures made again: all right." in verified(tmp_path, sample=5)
    assert verify_submission(tmp_path / "s.json", run, data_dir=tmp_path / "data", sample=3).problems == ()


def test_a_change_without_its_digest_is_refused_on_a_board_and_found_with_its_place(tmp_path, run):
    path = tmp_path / "s.json"
    text = path.read_text("utf-8")
    path.write_text(text.replace('"111111110000"', '"111111110001"', 1), "utf-8")
    said = verified(tmp_path, code=1)
    assert "digest: the submission was changed after it was written" in said
    assert "toy 11, clean: grade 1 submitted, 0 by the reply" in said
    done = CliRunner().invoke(app, ["board", str(path), "-o", str(tmp_path / "site")])
    assert done.exit_code == 2
    assert "is damaged (it does not match its digest, so it was changed)" in " ".join(done.output.split())


def test_a_raised_grade_is_found_by_grading_the_replies_again(tmp_path, run):
    def raise_one(record):
        record["grades"]["toy"]["arms"][1]["hits"] = ["111111111000"]

    rewritten(tmp_path, raise_one)
    said = verified(tmp_path, code=1)
    assert "toy 8, hard under graffiti: grade 1 submitted, 0 by the reply" in said
    assert said.endswith("24 grades compared, 24 pictures made again: 1 wrong.")


def test_a_changed_reply_is_found_by_the_digest_of_its_file_and_by_its_grade(tmp_path, run):
    def wrong(record):
        return {**record, "text": "B"} if (record["index"], record["level"]) == (0, "clean") else record

    change_lines(run / "replies-0.jsonl", wrong)
    said = verified(tmp_path, code=1)
    assert "replies-0.jsonl: SHA-256" in said
    assert "toy 0, clean: grade 1 submitted, 0 by the reply" in said


def test_other_settings_and_left_out_notes_are_found(tmp_path, run):
    def change(record):
        record["identity"]["codec"] = "png"
        record["notes"] = ["all is well"]
        record["files"]["more.jsonl"] = "0"
        record["grades"]["toy"]["questions"][0][0] = 77

    rewritten(tmp_path, change)
    said = verified(tmp_path, code=1)
    for line in (
        "codec: png submitted, jpeg:95 in the run",
        "note that the run does not have: all is well",
        "more.jsonl: submitted, and not in the run's folder",
        "toy 77, clean: a grade is submitted, and the run has no such question",
        "toy 0, clean: the run has this question, and no grade is submitted",
    ):
        assert line in said


def test_a_wrong_picture_digest_is_found_by_making_the_picture_again(tmp_path, run):
    def other(record):
        if (record["index"], record["level"]) == (3, "hard"):
            record["images"][0]["pixels"] = "f" * 64
        return record

    resubmitted(tmp_path, other)
    said = verified(tmp_path, code=1)
    assert "toy 3, hard under gaussian_noise: pixels ffffffffffff submitted, made again" in said
    assert said.endswith("1 wrong.")


def test_a_milder_picture_with_a_digest_that_fits_is_found_by_its_recipe(tmp_path, run):
    clean = {}

    def note(record):
        if record["level"] == "clean":
            clean[record["index"]] = record["images"]
        return record

    resubmitted(tmp_path, note)

    def milder(record):
        shown = record["level"] == "hard" and record["index"] == 3
        return {**record, "images": clean[3]} if shown else record

    resubmitted(tmp_path, milder)
    said = verified(tmp_path, code=1)
    assert "toy 3, hard under gaussian_noise: made by another recipe than the plan's" in said
    assert "corruption: None, not gaussian_noi" in said


def test_pictures_of_another_benchmark_file_are_found(tmp_path, run):
    path = tmp_path / "data" / "toy.tsv"
    text = path.read_text("utf-8")
    own = text.split("\n")[2].rsplit("\t", 1)[1]
    path.write_text(text.replace(own, base64.b64encode(png(picture(98))).decode()), "utf-8")
    said = verified(tmp_path, code=1)
    assert "toy 1, clean: made by another recipe than the plan's (image:" in said


def test_without_the_benchmark_the_verdict_is_open(tmp_path, run):
    (tmp_path / "data" / "toy.tsv").unlink()
    said = verified(tmp_path, code=3)
    assert "Not made again: toy:" in said
    assert "24 grades compared, 0 pictures made again: all right." in said


def test_a_run_without_records_of_its_pictures_is_not_passed(tmp_path, run):
    resubmitted(tmp_path, lambda record: {**record, "images": []})
    assert "toy 0, clean: 0 pictures shown, the benchmark has 1" in verified(tmp_path, code=1)


def test_a_damaged_run_is_one_clear_error(tmp_path, run):
    path = run / "cells.jsonl"
    path.write_text(path.read_text().replace('"hard"', '"low"', 1))
    assert "cells.jsonl does not match its digest" in verified(tmp_path, code=4)


def test_a_run_of_another_state_is_found(tmp_path, run):
    change_manifest(run, lambda manifest: manifest["versions"].update(opencv="5.0.0"))
    assert "version of opencv: 4.11.0 submitted, 5.0.0 in the run" in verified(tmp_path, code=1)


MODELS = """
[drawing]
adapter = "drawing.py"

[judging]
adapter = "judging.py"
model = "judging"
endpoint = "https://judge.invalid/v1"
"""
DRAWING = """
import random
from mmdbench.records import Outcome

class Drawing:
    def fingerprint(self):
        return {"adapter": "drawing"}

    def generate(self, requests):
        answers = ("A", "B", "It is the thing that I mean.")
        return [Outcome(random.Random(f"{r.question} {r.seed}").choice(answers)) for r in requests]

def load(card):
    return Drawing()
"""
JUDGING = """
from mmdbench.records import Outcome

class Judging:
    concurrency = 2

    def fingerprint(self):
        return {"name": "judging"}

    async def agenerate(self, request):
        return Outcome("B")

def load(card):
    return Judging()
"""


def test_a_run_that_was_asked_repeatedly_and_judged_is_verified(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bench(tmp_path / "data", questions(8, text="?"))
    for name, text in (("models.toml", MODELS), ("drawing.py", DRAWING), ("judging.py", JUDGING)):
        (tmp_path / name).write_text(text)
    asked = "eval --model drawing --bench data/toy.tsv --level clean,hard -o run --repeat 2 --quiet"
    asked += " --set generation.temperature=0.7 --model-card models.toml"
    for words in (asked, "score run --judge judging --model-card models.toml"):
        done = CliRunner().invoke(app, words.split())
        assert done.exit_code == 0, done.output
    one = write_submission(tmp_path / "s.json", tmp_path / "run")
    assert one.record["judge"].startswith("judging@")
    assert "judge.jsonl" in one.record["files"]
    hits = [hit for arm in one.record["grades"]["toy"]["arms"] for hit in arm["hits"]]
    assert 0.5 in hits  # the mean of two repeats
    assert "16 grades compared, 16 pictures made again: all right." in verified(tmp_path)
    rewritten(tmp_path, lambda record: record.update(judge=""))
    assert "grade" in verified(tmp_path, code=1)
