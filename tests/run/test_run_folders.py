"""A folder belongs to one thing: others are refused, and nothing is replaced before a reply."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from run_folders import change_manifest

EVAL = "eval --model chance --bench toy.tsv --sample 8 --level clean,hard --quiet"
ASSIGN = "assign --model chance --bench toy.tsv --sample 8 --quiet"


@pytest.fixture(autouse=True)
def _here(make_tsv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_tsv(12)


def mmdbench(command, code=0):
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == code, done.output
    return done.output


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def sessions(folder):
    recorded = json.loads(Path(folder, "manifest.json").read_text("utf-8"))["sessions"]
    return [(session["answered_before"], session["asked"]) for session in recorded]


def built():
    mmdbench("build --bench toy.tsv --sample 4 --level hard -o thing --quiet")


def run_of_another_model():
    Path("card.toml").write_text('[guess]\nadapter = "chance"\n')
    mmdbench(EVAL.replace("chance", "guess --model-card card.toml") + " -o thing")


def run_of_another_task():
    mmdbench(EVAL.replace("clean,hard", "hard") + " --task perceive -o thing")


def run_of_other_questions(design="mixed"):
    mmdbench(f"{EVAL} -o thing")

    def change(manifest):
        manifest["plan"] |= {"benches": ["other"], "design": design}
        manifest["benches"][0] |= {"name": "other", "sha256": "0"}

    change_manifest(Path("thing"), change)


def training_data_of_other_questions():
    run_of_other_questions("drawn:uniform")


def other_files():
    Path("thing").mkdir()
    Path("thing/thesis.tex").write_text("years of work")


def damaged_run():
    Path("thing").mkdir()
    Path("thing/manifest.json").write_text("{")


@pytest.mark.parametrize(
    ("command", "make", "says", "code"),
    [
        (EVAL, built, "holds a build, not a run", 2),
        (ASSIGN, built, "holds a build, not a run", 2),
        (EVAL, run_of_another_model, "the model guess, not of chance", 2),
        (ASSIGN, run_of_another_model, "the model guess, not of chance", 2),
        (EVAL, run_of_another_task, "the task perceive", 2),
        (EVAL, run_of_other_questions, "holds a run of other", 2),
        (ASSIGN, training_data_of_other_questions, "holds a run of other", 2),
        (EVAL, other_files, "thesis.tex", 2),
        (ASSIGN, other_files, "thesis.tex", 2),
        (EVAL, damaged_run, "manifest.json", 4),
    ],
)
def test_a_folder_of_another_thing_is_refused_and_left_as_it_was(command, make, says, code):
    make()
    before = contents("thing")
    for option in ("", " --dry-run") if command == EVAL else ("",):
        assert says in mmdbench(f"{command} -o thing{option}", code)
    assert contents("thing") == before


@pytest.mark.parametrize(("first", "second"), [(EVAL, ASSIGN), (ASSIGN, EVAL)])
def test_a_run_and_training_data_are_two_things(first, second):
    mmdbench(f"{first} -o thing")
    before = contents("thing")
    assert "the design" in mmdbench(f"{second} -o thing", 2)
    assert contents("thing") == before


def test_a_run_resumes_in_its_own_folder():
    mmdbench(f"{EVAL} -o run --dry-run")
    assert set(contents("run")) == {"images.jsonl"}  # what the pictures are; nothing was asked
    mmdbench(f"{EVAL} -o run")
    first = Path("run/replies-0.jsonl").read_bytes()
    mmdbench(f"{EVAL.replace('clean,hard', 'clean,low,hard').replace('8', '12')} -o run")
    assert sessions("run") == [(0, 16), (16, 20)]
    assert Path("run/replies-0.jsonl").read_bytes().startswith(first)


def test_training_data_resumes_in_its_own_folder():
    mmdbench(f"{ASSIGN} -o data")
    before = contents("data")
    mmdbench(f"{ASSIGN} -o data")
    assert sessions("data") == [(0, 8), (8, 0)]
    after = contents("data")
    for name in ("manifest.json", ".manifest-copy.json"):
        assert after.pop(name) != before.pop(name)
    assert after == before


def test_nothing_is_replaced_before_the_first_reply():
    card = Path("card.toml")
    card.write_text('[own]\nadapter = "own.py"\n')
    Path("own.py").write_text(
        "import os\n"
        "from mmdbench.errors import ModelError\n"
        "from mmdbench.records import Outcome\n"
        "class Own:\n"
        "    def fingerprint(self):\n        return {'own': 1}\n"
        "    def generate(self, requests):\n"
        "        if os.path.exists('down'):\n            raise ModelError('The server is down.')\n"
        "        return [Outcome('A') for _ in requests]\n"
        "def load(card):\n    return Own()\n"
    )
    own = EVAL.replace("chance", "own") + " --model-card card.toml -o run"
    mmdbench(own)
    before = contents("run")
    Path("down").touch()
    mmdbench(own.replace("clean,hard", "clean,mid").replace("8", "12"), 4)
    after = contents("run")
    for name, data in before.items():
        if name not in ("manifest.json", ".manifest-copy.json", "images.jsonl"):
            assert after[name] == data, name
    old, new = (json.loads(files["manifest.json"]) for files in (before, after))
    assert old.pop("digest") != new.pop("digest")
    assert old.pop("sessions") == new.pop("sessions")[:-1]  # the call is recorded, and nothing else
    assert old == new
    Path("down").unlink()
    mmdbench(own.replace("clean,hard", "clean,mid").replace("8", "12"))
    assert contents("run")["cells.jsonl"] != before["cells.jsonl"]


READERS = [
    "report thing",
    "report run thing",
    "report thing --json",
    "page thing",
    "compare run thing",
    "compare thing run",
    "check thing --baseline b.json",
    "check thing --baseline b.json --accept",
    "cite thing",
    "figures thing -o figures",
    "show toy.tsv:1 --run thing",
    "score thing",
    "export thing -o exported",
    "merge thing -o merged",
]


def test_a_verb_that_reads_runs_says_in_a_line_that_a_folder_holds_a_build():
    built()
    mmdbench(f"{EVAL} -o run")
    mmdbench("check run --baseline b.json --accept")
    before = contents(".")
    for command in READERS:
        said = [line for line in mmdbench(command, 4).splitlines() if line]
        assert len(said) == 1, (command, said)
        assert "thing holds no run, but a build" in said[0], command
    assert contents(".") == before


def test_a_folder_is_copied_with_its_run():
    mmdbench(f"{EVAL} -o run")
    shutil.copytree("run", "copy")
    mmdbench(f"{EVAL} -o copy")
    assert sessions("copy") == [(0, 16), (16, 0)]
    assert Path("copy/replies-0.jsonl").read_bytes() == Path("run/replies-0.jsonl").read_bytes()
