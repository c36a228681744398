"""Words of the command line: what is missing, what is written, and what comes next."""

from __future__ import annotations

import json
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.cli.demo import YOURS
from mmdbench.errors import MissingExtraError
from mmdbench.system.images import decode_image
from pictures import picture
from run_folders import question, write_run


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(*words, code=0):
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("torch and transformers", "torch and transformers are not installed."),
        ("pyarrow, which reads Parquet,", "pyarrow, which reads Parquet, is not installed."),
    ],
)
def test_a_missing_extra_is_one_sentence_with_a_command_for_an_index_and_for_a_copy(what, said):
    error = MissingExtraError(what, "hf")
    assert str(error).startswith(said)
    assert "pip install 'mmdbench[hf]'" in str(error)
    assert "pip install -e '.[hf]'" in str(error)


def test_corrupt_names_what_it_writes_and_leaves_out_own_folders():
    for folder in ("photos/a", "photos/run/images", "photos/out", "photos/other"):
        Path(folder).mkdir(parents=True)
        Image.fromarray(picture(1)).save(f"{folder}/p.png")
    Path("photos/run/manifest.json").write_text(json.dumps({"kind": "mmdbench run"}))
    Path("photos/other/manifest.json").write_text(json.dumps({"kind": "an app"}))
    words = ("--corruption", "graffiti", "--level", "low")
    said = call("corrupt", "photos", "-o", "photos/out", *words)
    assert "2 pictures are made of photos, the first is photos/out/a/p.png." in said
    made = sorted(str(path) for path in Path("photos/out").rglob("*.png"))
    assert made == ["photos/out/a/p.png", "photos/out/other/p.png", "photos/out/p.png"]
    call("corrupt", "photos/a", "-o", ".", *words)
    assert Path("p.png").exists(), "a target around the source leaves nothing out"


def test_corrupt_leaves_out_what_it_made_earlier():
    Path("photos").mkdir()
    Image.fromarray(picture(1)).save("photos/p.png")
    words = ("--corruption", "graffiti", "--level", "low")
    for _ in range(2):
        call("corrupt", "photos", "-o", "photos/low", *words)
    made = json.loads(Path("photos/low/manifest.json").read_text())
    assert (made["kind"], made["corruptions"], made["level"]) == ("mmdbench pictures", ["graffiti"], "low")
    assert "1 picture is made" in call("corrupt", "photos", "-o", "photos/more", *words)
    assert sorted(path.name for path in Path("photos/more").iterdir()) == ["manifest.json", "p.png"]


def test_corrupt_leaves_no_manifest_in_a_folder_with_files_of_others():
    Path("mine").mkdir()
    Path("album").mkdir()
    for place in ("mine/p.png", "album/q.png"):
        Image.fromarray(picture(1)).save(place)
    call("corrupt", "mine", "-o", "album", "--corruption", "graffiti", "--level", "low")
    assert sorted(path.name for path in Path("album").iterdir()) == ["p.png", "q.png"]


def test_a_palette_with_transparency_is_read_without_a_warning_of_pillow():
    image = Image.fromarray(picture(1)).quantize(8)
    image.save("p.png", transparency=bytes([0, 128, 255]))
    with Image.open("p.png") as stored, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(stored.info["transparency"], bytes)
        read = decode_image(Path("p.png").read_bytes(), "p.png")
    assert np.array_equal(read, np.asarray(image.convert("RGB")))


def test_listed_words_are_explained():
    assert "drawn: fixed has no chance in it" in call("list", "corruptions")
    assert "encoded by --codec" in call("list", "levels")
    assert "the corruption and its strength are named" in call("list", "tasks")


def test_cite_names_authors_and_addresses():
    said = call("cite")
    assert "author  = {{The mmdbench developers}}" in said
    assert "url           = {https://arxiv.org/abs/2604.04780}" in said


def test_the_demo_says_first_what_it_does_and_last_what_comes_next(monkeypatch):
    folder = write_run(Path("run"), [question(i) for i in range(8)], lambda *_: "A")

    def evaluated(*_, **__):
        from mmdbench.library import load_run

        return load_run(folder)

    monkeypatch.setattr("mmdbench.library.evaluate", evaluated)
    said = call("demo", "-o", "run").splitlines()
    assert any("one to five minutes" in line and "writes to run" in line for line in said[:3])
    commands = [line.partition(":")[2].strip() for line in said[-len(YOURS) :]]
    assert [line.split(":")[0] for line in said[-3:]] == [f"Your {whose}" for whose in YOURS]
    Image.fromarray(picture(1)).save("PICTURE.jpg")
    pictures, model, gate = map(shlex.split, commands)
    call(*pictures[1:], "--width", "40")
    assert Path("gallery.png").exists()
    assert "requests" in call(*model[1:], "--dry-run")
    call(*gate[1:])
    assert Path("baseline.json").exists()
