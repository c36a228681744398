"""The command line as its users meet it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from build_samples import bomb
from mmdbench import corrupt
from mmdbench.cli import app
from mmdbench.report import tables as report_tables
from mmdbench.scoring.families import FAMILIES
from mmdbench.scoring.protocols import PROTOCOLS
from mmdbench.stats.rounding import fixed
from pictures import picture


def call(*args, code=0):
    result = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_list_shows_what_there_is():
    assert len(json.loads(call("list", "corruptions", "--json"))) == 16
    assert "mini" in call("list", "benches")
    benches = {bench["name"]: bench for bench in json.loads(call("list", "benches", "--json"))}
    assert benches["MMStar"]["url"].endswith("/MMStar.tsv")
    assert (benches["MMStar"]["rows"], benches["R-Bench-Ref"]["rows"]) == (1500, None)
    for key in ("md5", "columns", "prompt", "grader", "licence"):
        assert all(bench[key] for bench in benches.values()), key
    assert {"baseline", "chance"} <= {m["name"] for m in json.loads(call("list", "models", "--json"))}
    assert "Did you mean 'corruptions'" in call("list", "corruption", code=2)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("designs", {"mixed", "balanced:K", "grid", "drawn", "released", "chain:K"}),
        ("levels", {"clean", "recoded", "low", "mid", "hard"}),
        ("protocols", set(PROTOCOLS)),
        ("families", {name for name, family in FAMILIES.items() if family.selectable}),
        ("tasks", {"answer", "perceive"}),
    ],
)
def test_list_names_what_options_take(kind, names):
    rows = json.loads(call("list", kind, "--json"))
    assert {row["name"] for row in rows} >= names
    assert all(value != "" for row in rows for value in row.values())
    assert all(row["name"] in call("list", kind) for row in rows)


def test_list_explains_both_draws():
    meanings = {row["name"]: row["meaning"] for row in json.loads(call("list", "designs", "--json"))}
    assert "equally likely" in meanings["drawn:uniform"]
    assert "CLEAR's code" in meanings["drawn:published"]


def test_list_names_every_table():
    listed = {row["name"] for row in json.loads(call("list", "tables", "--json"))}
    sources = "".join(path.read_text() for path in Path(report_tables.__file__).parent.glob("*.py"))
    made = set(re.findall(r'\bTable\(\s*"([\w-]+)"', sources))
    made |= set(re.findall(r'\(\s*"([a-z-]+)",\s*"[A-Z]', sources))
    assert {"levels", "drops", "mce", "rbench", "time", "trigger"} <= made
    assert made - listed == set()


def test_eval_prints_json_alone(make_tsv):
    words = ("eval", "--model", "chance", "--bench", make_tsv(4), "-o", "run", "--quiet", "--json")
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert json.loads(result.stdout)["main"]


def test_corrupt_a_file(tmp_path):
    Image.fromarray(picture(1)).save("in.png")
    call("corrupt", "in.png", "-o", "out.png", "--corruption", "graffiti", "--level", "hard")
    assert np.array_equal(pixels("out.png"), corrupt(picture(1), "graffiti", level="hard"))
    call("corrupt", "in.png", "-o", "deep/er.jpg", "--corruption", "lens_blur", "--intensity", "0.3")
    assert pixels("deep/er.jpg").shape == (48, 64, 3)


def test_corrupt_a_folder():
    for i in range(3):
        Path(f"in/{i}").mkdir(parents=True)
        Image.fromarray(picture(i)).save(f"in/{i}/p.png")
    Path("in/readme.txt").write_text("not a picture")
    assert "3 pictures" in call("corrupt", "in", "-o", "out", "--corruption", "scan_lines", "--level", "low")
    assert sorted(str(p) for p in Path("out").rglob("*.png")) == [f"out/{i}/p.png" for i in range(3)]


def test_corruptions_are_named_with_commas_by_category_and_repeated():
    Image.fromarray(picture(1)).save("in.png")
    call("corrupt", "in.png", "-o", "out", "--corruption", "capture,graffiti", "--level", "hard")
    capture = {"lens_blur", "lens_flare", "motion_blur", "dirty_lens", "hsv_saturation"}
    assert {p.parent.name for p in Path("out").rglob("in.png")} == {*capture, "graffiti"}
    assert np.array_equal(pixels("out/graffiti/in.png"), corrupt(picture(1), "graffiti", level="hard"))
    assert "16 pictures" in call("corrupt", "in.png", "-o", "all", "--corruption", "all", "--level", "low")
    sheet = ("gallery", "in.png", "-o", "sheet.png", "--width", "40")
    call(*sheet, "--corruption", "transmission", "--corruption", "graffiti,lens_blur")
    assert pixels("sheet.png").shape[0] == 22 + 6 * (30 + 28)
    call(*sheet, "--name", "graffiti")  # an earlier name
    assert "--name" not in call("gallery", "--help")
    said = call("calibrate", "in.png", "--corruption", "graffiti,lens_blur", "--size", "32,48,100")
    assert "Not measured: 100 px" in said
    assert "short side 48 px" in said


def test_all_corruptions_are_those_of_a_plan_that_names_none(make_tsv):
    words = ("eval", "--model", "chance", "--bench", make_tsv(4), "--quiet")
    call(*words)
    call(*words, "--corruption", "all")
    assert len(list(Path("runs").iterdir())) == 1
    call(*words, "--corruption", "capture", "--level", "clean", "--level", "hard", "-o", "run")
    plan = json.loads(Path("run/manifest.json").read_text())["plan"]
    assert (plan["levels"], len(plan["corruptions"])) == (["clean", "hard"], 5)


def test_a_broken_picture_of_a_folder_is_named_and_the_others_are_made():
    Path("photos").mkdir()
    for number in (1, 3):
        Image.fromarray(picture(number)).save(f"photos/{number}.png")
    Path("photos/2.png").write_bytes(b"no picture")
    Image.fromarray(picture(4)[..., 0].astype("uint16")).save("photos/4.png")  # which corrupt does not take
    output = call("corrupt", "photos", "-o", "out", "--corruption", "graffiti", "--level", "hard", code=2)
    assert "2 pictures written to out" in output
    assert "photos/2.png: Cannot read photos/2.png as a picture" in output
    assert "2 of 4 pictures could not be degraded: 2.png, 4.png." in output
    assert sorted(path.name for path in Path("out").iterdir()) == ["1.png", "3.png", "manifest.json"]
    args = ("corrupt", "photos", "-o", "none", "--corruption", "graffiti", "--level", "hard")
    assert "Cannot read photos/2.png" in call(*args, "--on-bad-image", "error", code=2)
    assert not Path("none/3.png").exists()
    assert "1.png: a picture of 64×48 pixels is above the limit" in call(
        *args, "--max-pixels", "3000", code=2
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("no.png", "-o", "o.png", "--corruption", "graffiti", "--level", "hard"),
            "There is no file or folder no.png",
        ),
        (("in.png", "-o", "o.png", "--corruption", "grafiti", "--level", "hard"), "Did you mean 'graffiti'"),
        (("in.png", "-o", "o.png", "--corruption", "graffiti", "--level", "hrd"), "Did you mean 'hard'"),
        (("in.png", "-o", "o.png", "--corruption", "graffiti"), "level"),
        (("in.png", "-o", "o.png", "--corruption", "graffiti", "--intensity", "1.5"), "1.5"),
        (("in.png", "-o", "o.png", "--corruption", "graffiti", "--intensity", "nan"), "nan"),
        (("in.png", "-o", "o.png", "--corruption", "graffiti", "--intensity", "-1"), "(0, 1], got -1"),
        (
            ("bomb.png", "-o", "o.png", "--corruption", "graffiti", "--level", "hard"),
            "bomb.png: a picture of 60000×60000 pixels is above the limit",
        ),
        (
            ("in.png", "-o", "o.png", "--corruption", "graffiti", "--level", "hard", "--profile", "papr"),
            "Did you mean 'paper'",
        ),
        (("in.png", "-o", "o.png", "--corruption", "graffiti"), "Give either --level or --intensity"),
        (
            ("in.png", "-o", "o.png", "--corruption", "graffiti", "--level", "hard", "--intensity", "0.5"),
            "Give either --level or --intensity",
        ),
        (
            ("in.png", "-o", "o.xyz", "--corruption", "graffiti", "--level", "hard"),
            "must end in the suffix of a picture format",
        ),
        (
            ("in.png", "-o", "in.png", "--corruption", "graffiti", "--level", "hard"),
            "OUT must not be the picture itself",
        ),
        (
            ("bad.png", "-o", "o.png", "--corruption", "graffiti", "--level", "hard"),
            "Cannot read bad.png as a picture",
        ),
        ((".", "-o", "o", "--corruption", "graffitti", "--level", "hard"), "Did you mean 'graffiti'"),
    ],
)
def test_corrupt_names_invalid_arguments(args, message):
    Image.fromarray(picture(1)).save("in.png")
    Path("bad.png").write_bytes(b"no picture")
    Path("bomb.png").write_bytes(bomb())
    output = call("corrupt", *args, code=2)
    assert message in output
    assert "Traceback" not in output
    assert not Path("o.png").exists()


def test_gallery_holds_every_corruption():
    Image.fromarray(picture(1)).save("in.png")
    call("gallery", "in.png", "-o", "sheet.png", "--width", "40")
    assert pixels("sheet.png").shape == (22 + 16 * (30 + 28), 6 + 4 * 46, 3)
    assert "Did you mean" in call("gallery", "in.png", "-o", "x.png", "--corruption", "lens_blurr", code=2)
    assert "End the name with .png" in call("gallery", "in.png", "-o", "sheet.txt", code=2)


def test_eval_prints_drops_and_report_prints_them_again(make_tsv):
    path = make_tsv(12)
    first = call("eval", "--model", "chance", "--bench", path, "-o", "run", "--quiet")
    assert "drop clean → hard" in first
    assert "48 of 48 planned answers" in first
    tables = json.JSONDecoder().raw_decode(call("report", "run", "--json"))[0]
    shown = fixed(tables["main"][0]["scores"]["clean"]["value"])
    assert shown in first
    assert shown in call("report", "run", "--markdown")
    assert call("report", "run", "--markdown").startswith(Path("run/report.md").read_text())


def test_a_run_without_a_folder_gets_one_that_the_next_call_finds(make_tsv):
    path = make_tsv(4)
    call("eval", "--model", "chance", "--bench", path, "--quiet")
    call(
        "eval",
        "--model",
        "chance",
        "--bench",
        path,
        "--quiet",
        "--level",
        "clean",
        "--protocol",
        "vlmevalkit/1",
    )
    (run,) = Path("runs").iterdir()
    assert re.fullmatch(r"chance_toy_mixed_[0-9a-f]{8}", run.name)
    call("eval", "--model", "chance", "--bench", path, "--quiet", "--seed", "1")
    assert len(list(Path("runs").iterdir())) == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--model", "basline"), "Did you mean 'baseline'"),
        (("--bench", "mimi"), "Did you mean 'mini'"),
        (("--bench", "no.tsv"), "no.tsv"),
        (("--level", "hard,hrad"), "Did you mean 'hard'"),
        (("--level", ","), "--level must name a level"),
        (("--design", "grdi"), "Did you mean 'grid'"),
        (("--corruption", "graffiti,grafiti"), "Did you mean 'graffiti'"),
        (("--corruption", "graffiti,graffiti"), "named only once"),
        (("--codec", "jpg"), "jpeg:95"),
        (("--protocol", "cler/1"), "clear/1"),
        (("--extraction", "san"), "sane"),
        (("--sample", "many"), "200/bench"),
        (("--profile", "papers"), "Did you mean 'paper'"),
    ],
)
def test_eval_refuses_invalid_arguments_before_it_starts(args, message, make_tsv):
    defaults = {"--model": "chance", "--bench": str(make_tsv(2)), "-o": "run"}
    defaults.update([args])
    output = call("eval", *[x for pair in defaults.items() for x in pair], "--quiet", code=2)
    assert message in output
    assert "Traceback" not in output
    assert not Path("run").exists()


def test_report_of_a_folder_that_is_no_run():
    Path("empty").mkdir()
    assert "Name the folder of a run" in call("report", "empty", code=4)


def test_a_card_file_of_ones_own(make_tsv):
    Path("cards.toml").write_text('[mine]\nadapter = "chance"\nsummary = "my own"\n')
    call(
        "eval",
        "--model",
        "mine",
        "--model-card",
        "cards.toml",
        "--bench",
        make_tsv(2),
        "-o",
        "run",
        "--quiet",
    )
    Path("bad.toml").write_text("[mine]\nadaptor = 'chance'\n")
    output = call("eval", "--model", "mine", "--model-card", "bad.toml", "--bench", "mini", code=2)
    assert "Did you mean 'adapter'" in output
    Path("bad.toml").write_text("[mine\n")
    assert "not valid TOML" in call(
        "eval", "--model", "mine", "--model-card", "bad.toml", "--bench", "mini", code=2
    )
