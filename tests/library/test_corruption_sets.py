"""A set of corruptions in runs, builds and reports: its own version, averages and identity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mmdbench
from mmdbench.cli import app
from mmdbench.corruptions.sets import set_members
from mmdbench.corruptions.spec_file import shipped_spec
from mmdbench.errors import UsageError
from mmdbench.run.manifest import read_manifest
from own_set import CODE, forget, install_set


def call(words, code=0):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.fixture
def bench(monkeypatch, tmp_path, make_tsv):
    """A benchmark of six questions, one about sides and one about a number; `toy` is installed."""
    monkeypatch.chdir(tmp_path)
    install_set(monkeypatch, tmp_path / "site")
    path = make_tsv(6)
    text = path.read_text("utf-8").replace("Question 1?", "Is it on the left side?")
    path.write_text(text.replace("Question 4?", "How many are there?"), encoding="utf-8")
    yield path
    forget()


def evaluated(bench, out, *more):
    words = ["eval", "--model", "chance", "--bench", bench, "--level", "clean,hard", "-o", out, "--quiet"]
    call([*words, *more])
    forget()
    return Path(out)


def cells_of(folder):
    lines = (folder / "cells.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["cell"] for line in lines]


def test_a_run_of_a_set_is_about_its_members_alone(bench):
    folder = evaluated(bench, "run", "--corruption-set", "toy", "--design", "grid")
    manifest = read_manifest(folder)
    assert manifest["plan"]["corruptions"] == ["toy.darker", "toy.turned"]
    assert (manifest["spec"]["set"], manifest["spec"]["version"]) == ("toy", "7")
    run = mmdbench.load_run(folder)
    assert run.report.content.header["corruption spec"] == "toy 7"
    shown = {row.labels[0] for row in run.report.content.find("corruption").rows}
    assert {"toy.darker", "toy.turned"} <= shown
    assert not shown & set(shipped_spec().corruptions)


def test_questions_that_lose_their_answer_are_not_asked_and_counted(bench):
    folder = evaluated(bench, "run", "--corruption-set", "toy", "--design", "grid")
    asked = [(index, name) for _, index, level, name, _ in cells_of(folder) if level == "hard"]
    assert sorted(i for i, name in asked if name == "toy.turned") == [0, 2, 3, 5]
    assert sorted(i for i, name in asked if name == "toy.darker") == [0, 1, 2, 3, 4, 5]
    assert read_manifest(folder)["excluded"] == {"toy.turned": {"left_right": 1, "counting": 1}}
    note = "not asked because the corruption takes their answer: toy.turned 1 (left_right), 1 (counting)."
    assert note in " ".join(mmdbench.load_run(folder).report.notes)
    assert mmdbench.load_run(folder).complete


def test_a_question_without_any_corruption_left_is_not_asked_at_all(bench):
    folder = evaluated(bench, "run", "--corruption", "toy.turned")
    assert {index for _, index, *_ in cells_of(folder)} == {0, 2, 3, 5}


def test_the_task_perceive_asks_about_every_picture_with_the_names_of_the_set(bench):
    folder = evaluated(bench, "run", "--corruption-set", "toy", "--task", "perceive", "--design", "grid")
    assert len([cell for cell in cells_of(folder) if cell[3] == "toy.turned"]) == 6
    question = json.loads((folder / "questions.jsonl").read_text("utf-8").splitlines()[0])["fields"][
        "question"
    ]
    assert "- toy.turned: turned and mirrored" in question
    assert "lens_blur" not in question


def test_a_reply_may_name_a_member_without_its_set(bench):
    options = {"levels": ["hard"], "task": "perceive", "corruption_set": "toy", "corruptions": ["darker"]}
    options["name"] = "seer"
    run = mmdbench.evaluate(
        lambda images, prompt: "<degradation>Darker: 1.0</degradation>",
        bench,
        out="r",
        progress=False,
        **options,
    )
    assert [grade.verdict for arm in run.results.arms for grade in arm.score.grades] == ["correct"] * 6


def test_runs_and_designs_of_two_sets_are_refused(bench):
    toy = evaluated(bench, "toy-run", "--corruption-set", "toy")
    paper = evaluated(bench, "paper-run")
    assert "corruption" in call(["compare", toy, paper], code=2)
    for words in (["eval", "--model", "chance", "--level", "hard"], ["build", "--level", "hard"]):
        mixed = [*words, "--bench", bench, "--corruption", "toy.darker,lens_blur", "-o", "mixed"]
        assert "must be of one set, which averages are of; got some of toy and paper" in call(mixed, code=2)
    assert not Path("mixed").exists()


def test_another_version_of_a_set_is_not_compared(bench, tmp_path):
    first = evaluated(bench, "first", "--corruption-set", "toy")
    file = tmp_path / "site" / "toy_package" / "toy_spec.yaml"
    file.write_text(file.read_text("utf-8").replace('"7"', '"8"'), encoding="utf-8")
    forget()
    second = evaluated(bench, "second", "--corruption-set", "toy")
    assert "corruption spec (toy 7" in call(["compare", first, second], code=2)


def test_the_library_takes_a_set(bench):
    run = mmdbench.evaluate(
        "chance",
        bench,
        corruption_set="toy",
        corruptions=["darker"],
        levels=["hard"],
        out="r",
        progress=False,
    )
    assert run.complete
    assert read_manifest(Path("r"))["plan"]["corruptions"] == ["toy.darker"]
    with pytest.raises(UsageError, match="one set"):
        mmdbench.evaluate("chance", bench, corruptions=["toy", "capture"], out="x", progress=False)


def test_a_build_of_a_set_is_verified_with_the_installed_set(bench, tmp_path):
    words = ["build", "--bench", bench, "--corruption-set", "toy", "--level", "hard", "--design", "grid"]
    said = call([*words, "--codec", "png", "-o", "built"])
    assert "toy.turned 1 (left_right), 1 (counting)" in said
    forget()
    assert "all right" in call(["verify", "built", "--source", bench])
    code = tmp_path / "site" / "toy_package" / "__init__.py"
    code.write_text(CODE.replace('params["gain"]', "0.5"), encoding="utf-8")
    forget()
    assert "other code here" in call(["verify", "built", "--source", bench], code=2)


def test_verbs_list_and_draw_a_set(bench, tmp_path):
    from pictures import picture, png

    Path("photo.png").write_bytes(png(picture(1)))
    rows = json.loads(
        CliRunner().invoke(app, ["list", "corruptions", "--corruption-set", "toy", "--json"]).output
    )
    assert [row["name"] for row in rows] == ["toy.darker", "toy.turned"]
    listed = json.loads(CliRunner().invoke(app, ["list", "corruptions", "--json"]).output)
    assert [row["name"] for row in listed][:16] == list(shipped_spec().corruptions)
    assert not any(row["name"].startswith("toy.") for row in listed)
    call(["corrupt", "photo.png", "-o", "dark", "--corruption-set", "toy", "--level", "hard"])
    assert {path.name for path in Path("dark").iterdir()} == {"toy.darker", "toy.turned"}
    call(["gallery", "photo.png", "--corruption-set", "toy", "-o", "sheet.png"])
    call(["show", f"{bench}:1", "--corruption-set", "toy", "-o", "shown.png"])
    found = call(
        ["calibrate", "photo.png", "--size", "16", "--corruption-set", "toy", "--corruption", "darker"]
    )
    assert "toy.darker" in found
    assert "toy.turned" not in found


def test_released_files_are_not_of_a_set(bench):
    words = ["eval", "--model", "chance", "--bench", "MMVP", "--level", "hard", "--design", "released"]
    said = call([*words, "--corruption-set", "toy", "-o", "run", "--offline"], code=2)
    assert "released files have the paper's corruptions, got toy.darker" in said


def test_a_page_and_a_drawn_training_set_are_of_a_set(bench):
    folder = evaluated(bench, "run", "--corruption-set", "toy", "--design", "grid")
    call(["page", folder, "--data-dir", bench.parent, "-o", "page.html"])
    page = Path("page.html").read_text("utf-8")
    assert "toy.turned" in page
    assert "made by the corruption" not in page
    words = [
        "assign",
        "--bench",
        bench,
        "--model",
        "chance",
        "--level",
        "hard",
        "--draw",
        "uniform",
        "--quiet",
    ]
    call([*words, "--corruption-set", "toy", "-o", "set"])
    assert (
        read_manifest(next(Path("set").rglob("manifest.json")).parent)["plan"]["corruptions"][0]
        == "toy.darker"
    )


@pytest.mark.slow
def test_the_set_everyday_ends_in_a_table_of_its_own_with_a_real_drop(monkeypatch, tmp_path):
    """Sixteen questions of `mini`; of all 155, the baseline loses 26 points of 67."""
    monkeypatch.chdir(tmp_path)
    words = ["eval", "--model", "baseline", "--bench", "mini", "--corruption-set", "everyday"]
    said = call([*words, "--level", "clean,hard", "--sample", "16", "-o", "run", "--quiet"])
    assert "corruption spec: everyday 1" in said
    report = mmdbench.load_run("run").report.content
    (row,) = report.main
    assert row.scores["clean"].value - row.scores["hard"].value == pytest.approx(row.drops["hard"].value)
    assert row.drops["hard"].value > 10
    kinds = {shown.labels[0] for shown in report.find("corruption").rows} & set(set_members("everyday"))
    assert len(kinds) > 5
    assert not {shown.labels[0] for shown in report.find("corruption").rows} & set(shipped_spec().corruptions)
