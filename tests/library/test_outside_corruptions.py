"""Corruptions from outside the package: used by every verb, and never run because a folder names them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mmdbench
from mmdbench.benches import open_bench
from mmdbench.builds.ray_rows import make_row_images
from mmdbench.builds.row_images import ImageMaker
from mmdbench.cli import app
from mmdbench.corruptions import use_corruption
from mmdbench.corruptions.plugins import places_of
from mmdbench.corruptions.spec_file import ADDED, described_spec, load_spec
from mmdbench.errors import IncomparableError
from mmdbench.library.building import ImageQuery, replay, verify
from mmdbench.records import Cell, RunPlan
from mmdbench.run.manifest import read_manifest
from mmdbench.run.stored_plan import read_cells
from mmdbench.scoring.perception import perception_prompt
from mmdbench.system.digest import with_digest, without_digest
from own_corruption import write_rain
from pictures import picture, png


def call(words, code=0):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def rain(tmp_path, monkeypatch):
    """The name of `rain` in a file of the working folder."""
    monkeypatch.chdir(tmp_path)
    write_rain(tmp_path)
    return "./my_rain.py:rain"


@pytest.fixture
def run_of(rain, make_tsv):
    """A function that runs `eval` with corruptions and then forgets their code."""
    bench = make_tsv(4)

    def run(*corruptions, out="run", more=()):
        words = ["eval", "--model", "chance", "--bench", bench, "--level", "clean,hard"]
        words += ["-o", out, "--quiet", *(("--design", "grid") if "--design" not in more else ()), *more]
        for name in corruptions:
            words += ["--corruption", name]
        call(words)
        ADDED.clear()
        return Path(out)

    return run


def asked(folder):
    return read_manifest(folder)["sessions"][-1]["asked"]


def recipes_of(folder):
    lines = (folder / "replies-0.jsonl").read_text("utf-8").splitlines()
    return [image["recipe"] for line in lines for image in json.loads(line)["images"]]


def test_a_run_records_it_and_is_reported_without_its_code(run_of, rain):
    folder = run_of(rain, "lens_blur")
    manifest = read_manifest(folder)
    assert manifest["plan"]["corruptions"] == ["rain", "lens_blur"]
    (name, record), = manifest["spec"]["corruptions"].items()  # fmt: skip
    assert (name, record["category"], record["meaning"]) == ("rain", "environmental", "bright streaks")
    made = {recipe["corruption"]: recipe for recipe in recipes_of(folder)}
    assert made["rain"]["code"] == record["code"]
    assert "code" not in made["lens_blur"]
    assert manifest["spec"]["digest"] != load_spec().digest
    Path("my_rain.py").unlink()
    run = mmdbench.load_run(folder)
    rows = {row.labels[0] for row in run.report.content.find("corruption").rows}
    assert {"rain", "lens_blur"} <= rows
    parts = {row.labels[0] for row in run.report.content.find("corruption-category").rows}
    assert {"environmental", "capture"} <= parts
    assert run.report.content.header["corruption spec"] == f"1, rain from outside (code {record['code'][:8]})"
    assert "rain" in call(["report", folder])
    call(["check", folder, "--baseline", "base.json", "--accept"])
    assert "environmental" in call(
        ["check", folder, "--baseline", "base.json", "--gate", "*/environmental/hard:1"]
    )
    assert not ADDED


def test_it_is_resumed_and_asked_anew_after_a_change_of_its_code(run_of, rain, tmp_path):
    folder = run_of(rain)
    first = {cell.cell: cell.key for cell in read_cells(folder, described_spec(read_manifest(folder)))}
    assert asked(run_of(rain)) == 0
    write_rain(tmp_path / "new", "250→251")
    assert asked(run_of("new/my_rain.py:rain")) == 4
    second = {cell.cell: cell.key for cell in read_cells(folder, described_spec(read_manifest(folder)))}
    assert {cell.level for cell in first if first[cell] == second[cell]} == {"clean"}


def test_runs_of_other_code_are_not_compared(run_of, rain, tmp_path):
    one = run_of(rain, out="one")
    write_rain(tmp_path / "new", "250→251")
    other = run_of("new/my_rain.py:rain", out="other")
    assert "corruption spec" in call(["compare", one, other], code=2)


def test_keys_and_manifests_of_the_sixteen_do_not_depend_on_it(run_of, rain):
    plain = run_of("lens_blur", out="plain")
    use_corruption(rain)
    again = run_of("lens_blur", out="again")
    assert read_manifest(plain)["spec"] == read_manifest(again)["spec"]
    assert "corruptions" not in read_manifest(plain)["spec"]
    assert [c.key for c in read_cells(plain)] == [c.key for c in read_cells(again)]


def test_the_page_says_what_must_be_named_for_its_pictures(run_of, rain, tmp_path):
    folder = run_of(rain)
    words = ["page", folder, "--data-dir", tmp_path, "-o"]
    call([*words, "bare.html"])
    assert "made by the corruption &#x27;rain&#x27;" in Path("bare.html").read_text("utf-8")
    call([*words, "whole.html", "--corruption", rain])
    assert "made by the corruption" not in Path("whole.html").read_text("utf-8")


def test_a_build_is_checked_and_replayed_with_code_that_the_user_names(rain, make_tsv, tmp_path):
    bench = make_tsv(3)
    options = {"levels": ["hard"], "design": "grid", "codec": "png", "progress": False}
    mmdbench.build([bench], "built", corruptions=[rain], **options)
    ADDED.clear()
    # The code of a stranger, where a name of the manifest would be found first.
    for folder in (tmp_path, tmp_path / "built"):
        (folder / "rain.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    said = call(["verify", "built", "--source", bench], code=2)
    assert "Name it if you trust it, --corruption FILE.py:rain" in said.replace("\n", " ")
    replayed = ["replay", "built", "--index", "0", "--source", bench, "-o", "again.png"]
    assert "a file names is never run" in call(replayed, code=2).replace("\n", " ")
    call(["verify", "built", "--source", bench, "--files-only"], code=0)
    assert not (tmp_path / "ran").exists()
    assert "all right" in call(["verify", "built", "--source", bench, "--corruption", rain])
    call([*replayed, "--corruption", rain])
    assert Path("again.png").stat().st_size > 0
    write_rain(tmp_path / "new", "250→251")
    use_corruption("new/my_rain.py:rain")
    with pytest.raises(IncomparableError, match="other code here"):
        verify("built", sources=[bench])
    with pytest.raises(IncomparableError, match="other code here"):
        replay("built", ImageQuery("0"), "again.png", sources=[bench])


def test_a_build_is_another_build_after_a_change_of_its_code(rain, make_tsv, tmp_path):
    bench = make_tsv(2)
    words = ["build", "--bench", bench, "-o", "built", "--design", "grid", "--level", "hard", "--quiet"]
    call([*words, "--corruption", rain])
    before = (tmp_path / "built" / "manifest.json").read_bytes()
    call([*words, "--corruption", rain])
    assert (tmp_path / "built" / "manifest.json").read_bytes() == before
    write_rain(tmp_path / "new", "250→251")
    assert "spec digest" in call([*words, "--corruption", "new/my_rain.py:rain"], code=2)


def test_mixed_draws_it_only_when_it_is_named(run_of, rain):
    more = ("--design", "mixed")
    use_corruption(rain)
    met = {recipe["corruption"] for recipe in recipes_of(run_of(more=more, out="all"))}
    assert "rain" not in met
    met = {recipe["corruption"] for recipe in recipes_of(run_of(rain, more=more, out="named"))}
    assert met == {None, "rain"}
    both = run_of(rain, "dark_illumination", more=(*more, "--seed", "1"), out="both")
    assert {recipe["corruption"] for recipe in recipes_of(both)} == {None, "rain", "dark_illumination"}


def test_perception_asks_about_it_and_grades_it_without_its_code(run_of, rain):
    use_corruption(rain)
    spec = load_spec()
    assert perception_prompt(spec) == perception_prompt(spec, added=())
    assert "- rain" not in perception_prompt(spec)
    folder = run_of(rain, "graffiti", more=("--task", "perceive"), out="seen")
    questions = [json.loads(line) for line in (folder / "questions.jsonl").read_text("utf-8").splitlines()]
    assert "- rain: bright vertical streaks" in questions[0]["fields"]["question"]
    table = mmdbench.load_run(folder).report.content.find("perception-corruptions")
    assert {row.labels[0]: row.section for row in table.rows}["rain"] == "environmental"
    chained = run_of(f"jpeg_compression+{rain}", more=("--task", "perceive"), out="chain")
    assert read_manifest(chained)["plan"]["corruptions"] == ["jpeg_compression+rain"]
    recipe = next(recipe for recipe in recipes_of(chained) if recipe["corruption"])
    assert recipe["code"].startswith("+")
    assert mmdbench.load_run(chained).report.content.find("perception-corruptions").rows


def test_shards_of_it_are_merged(run_of, rain):
    parts = [run_of(rain, out=f"part{i}", more=("--shard", f"{i}/2")) for i in (1, 2)]
    call(["merge", *parts, "-o", "whole"])
    assert mmdbench.load_run("whole").complete


def test_a_folder_may_not_describe_it_wrongly(run_of, rain):
    folder = run_of(rain)
    manifest = without_digest(json.loads((folder / "manifest.json").read_text("utf-8")))
    manifest["spec"]["corruptions"]["rain"]["category"] = "weather"
    (folder / "manifest.json").write_text(json.dumps(with_digest(manifest)))
    assert "category must be" in call(["report", folder], code=4)


def test_every_verb_about_pictures_takes_it(rain, make_tsv, tmp_path):
    Path("in.png").write_bytes(png(picture(1)))
    call(["corrupt", "in.png", "-o", "out.png", "--corruption", rain, "--level", "hard"])
    assert Path("out.png").read_bytes() != Path("in.png").read_bytes()
    call(["gallery", "in.png", "-o", "sheet.png", "--corruption", rain, "--corruption", "graffiti"])
    said = call(["calibrate", "in.png", "--size", "32", "--enlarge", "--corruption", rain, "-o", "c.json"])
    assert {e["corruption"] for e in json.loads(Path("c.json").read_text())["effects"]} == {"rain"}, said
    call(["show", f"{make_tsv(2)}:1", "--corruption", rain, "-o", "question.png"])
    assert Path("question.png").exists()


def test_a_folder_of_a_run_shows_its_pictures_only_with_named_code(run_of, rain, make_tsv):
    folder = run_of(rain)
    words = ["show", f"{make_tsv(4)}:1", "--run", folder, "-o", "question.png"]
    assert "a file names is never run" in call(words, code=2).replace("\n", " ")
    call([*words, "--corruption", rain])


def test_a_task_of_a_cluster_loads_it_itself(rain, make_tsv):
    names = (use_corruption(rain),)
    bench = open_bench(make_tsv(1))
    question = bench.questions[0]
    plan = RunPlan("", ("toy",), design="grid", corruptions=names)
    maker = ImageMaker(plan, load_spec(), as_cells=False, places=places_of(names))
    ADDED.clear()
    (made,) = make_row_images(maker, question, [Cell("toy", question.index, "hard", "rain")], b"", {})
    assert made.records[0]["recipe"]["code"] == load_spec().code("rain")


def test_processes_of_an_engine_load_it_themselves(run_of, rain):
    folder = run_of(rain, more=("--processes", "1"), out="apart")
    assert mmdbench.load_run(folder).complete
