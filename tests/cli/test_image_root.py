"""`--image-root`: verbs that read a TSV show files that it names in a folder which the user names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.results.pictures import SourceFolders
from mmdbench.results.quality.pictures import open_pictures
from pictures import picture, png

ROOT = "--image-root photos"
OWN = "data/own.tsv"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A TSV whose pictures are in another folder, a build of it and a run."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "data").mkdir()
    (folder / "photos").mkdir()
    lines = ["index\tquestion\tA\tB\tanswer\tcategory\timage_path"]
    for number in range(2):
        (folder / "photos" / f"{number}.png").write_bytes(png(picture(number)))
        lines.append(f"{number}\tq{number}?\tx\ty\tA\tc\t{number}.png")
    (folder / OWN).write_text("\n".join(lines) + "\n")
    turns = [{"from": "human", "value": "<image>\nWhich?"}, {"from": "gpt", "value": "red"}]
    (folder / "rows.jsonl").write_text(
        json.dumps({"id": "1", "image": "0.png", "conversations": turns}) + "\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        call(f"build --bench {OWN} --level hard --quiet -o built {ROOT}")
        call(f"eval --model chance --bench {OWN} --level clean,hard --quiet -o run {ROOT}")
    return folder


@pytest.fixture(autouse=True)
def _here(made, monkeypatch):
    monkeypatch.chdir(made)


def call(command, code=0):
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == code, done.output
    return done.output


NAMING = {
    "build": f"build --bench {OWN} --level low --quiet -o other",
    "eval": f"eval --model chance --bench {OWN} --level clean --quiet -o other-run",
    "assign": f"assign --model chance --bench {OWN} --quiet -o set",
    "show": f"show {OWN}:0 --corruption graffiti -o sheet.png",
    "score": f"score --predictions predictions.tsv --bench {OWN}",
    "verify": f"verify built --source {OWN}",
    "replay": f"replay built --index 0 --source {OWN} -o again.jpg",
}


@pytest.mark.parametrize("verb", NAMING)
def test_a_verb_finds_the_pictures_that_a_tsv_names_in_the_root(verb):
    Path("predictions.tsv").write_text("index\tprediction\n0\tA\n1\tB\n")
    assert "there is no file '0.png'" in call(NAMING[verb], 2)
    call(f"{NAMING[verb]} {ROOT}")


def test_rows_with_conversations_have_pictures_in_the_root():
    command = "assign --model chance --judge openai:m@http://127.0.0.1:9 --bench rows.jsonl --quiet -o rows"
    assert "cannot read the picture '0.png'" in call(command, 2)
    call(f"{command} {ROOT}")
    assert len(list(Path("rows/rows").glob("*/rows.tsv"))) == 1


def test_the_pictures_of_a_run_are_made_again_from_the_root():
    assert open_pictures(Path("run"), SourceFolders(Path("data")))[0] == []
    assert len(open_pictures(Path("run"), SourceFolders(Path("data"), Path("photos")))[0]) == 4
    assert " 0 pictures" in call("page run -o page.html --quiet --data-dir data")
    assert " 0 pictures" not in call(f"page run -o page.html --quiet --data-dir data {ROOT}")


@pytest.mark.parametrize(
    "verb", ["assign", "build", "eval", "page", "quality", "replay", "score", "show", "verify"]
)
def test_every_verb_with_a_folder_of_benchmarks_takes_the_root(verb):
    """Both options open the same files."""
    options = {option for p in typer.main.get_command(app).commands[verb].params for option in p.opts}
    assert {"--data-dir", "--image-root"} <= options


def test_the_root_is_no_url():
    assert "must be a path on this machine" in call(f"build --bench {OWN} -o x --image-root s3://bucket", 2)
