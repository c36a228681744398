"""Replies that are no Unicode: replaced and counted when stored, and no obstacle to any reader."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from faulty_server import FaultyServer, completion
from judge_server import serving
from mmdbench.cli import app
from mmdbench.records import Outcome
from mmdbench.results.judging.open import open_judge
from mmdbench.run.replies import readable_outcome
from mmdbench.run.store import read_replies
from mmdbench.scoring import JudgeCall
from mmdbench.system.unicode_text import readable
from run_folders import as_early
from scripted_runs import write_tsv

HALF = "\ud83d"
ROWS = [
    {"index": i, "question": f"Question {i}?", "A": "cat", "B": "dog", "answer": "B", "category": "x"}
    for i in range(3)
]


def behave(call):
    """Every text of an answer holds half a pair; httpx and json let the escapes through."""
    made = completion(f"B. {HALF} \udc00", reasoning_content=f"so {HALF}")
    made["model"], made["system_fingerprint"] = f"toy-{HALF}", f"fp{HALF}"
    return (200, json.dumps(made).encode(), {}) if call.name else (400, {"error": {"message": HALF}}, {})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    path = write_tsv(folder / "three.tsv", ROWS)
    with FaultyServer(behave) as server:
        words = ["eval", "--model", f"openai:toy-1@{server.url}", "--bench", path, "--level", "clean"]
        words += ["-o", folder / "run", "--no-canary", "--max-error-rate", "0.5"]
        done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return folder / "run"


@pytest.mark.parametrize(
    ("text", "kept", "count"),
    [
        ("plain ä 🐈", "plain ä 🐈", 0),
        (f"a{HALF}b", "a\ufffdb", 1),
        ("\ud83d\udc08", "🐈", 0),  # two halves are one character
        ("\udc08\ud83d", "\ufffd\ufffd", 2),
        ({HALF: [HALF, (1, None, HALF)]}, {"\ufffd": ["\ufffd", (1, None, "\ufffd")]}, 3),
    ],
)
def test_halves_are_replaced_and_counted(text, kept, count):
    assert readable(text) == (kept, count)


def test_an_outcome_without_them_is_kept_as_it_is():
    outcome = Outcome("ä", details={"reasoning": "ö"})
    assert readable_outcome(outcome) is outcome


def test_every_text_of_a_stored_reply_is_unicode(run):
    text = "".join(p.read_bytes().decode("utf-8") for p in run.glob("replies-*.jsonl"))
    assert "\\ud" not in text
    failed, *replies = (json.loads(line) for line in sorted(text.splitlines(), key=lambda s: '"ok"' in s))
    assert [r["text"] for r in replies] == ["B. \ufffd \ufffd"] * 2
    for reply in replies:
        assert reply["details"]["replaced_characters"] == 5
        assert reply["details"]["reasoning"] == "so \ufffd"
        assert reply["details"]["model"] == "toy-\ufffd"
    assert "\ufffd" in failed["reason"]
    assert "toy-\ufffd" in (run / "manifest.json").read_text("utf-8")


COMMANDS = [
    ["report", "RUN", "--parquet", "OUT.parquet"],
    *(["report", "RUN", f"--{form}"] for form in ("json", "markdown", "csv", "latex")),
    ["export", "RUN", "--format", "vlmevalkit", "-o", "OUT"],
    ["export", "RUN", "--format", "jsonl", "-o", "OUT"],
    ["page", "RUN", "-o", "OUT.html"],
    ["score", "RUN", "--io", "compat"],
    ["cite", "RUN"],
    ["merge", "RUN", "-o", "OUT"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("stored", ["now", "earlier"])
def test_every_reader_takes_them(run, tmp_path, words, stored):
    folder = run
    if stored == "earlier":
        folder = tmp_path / "run"
        shutil.copytree(run, folder)
        as_early(folder)
        for path in folder.glob("replies-*.jsonl"):  # as stored before halves were replaced
            path.write_text(path.read_text("utf-8").replace("\ufffd", "\\ud83d"), "utf-8")
    places = {"RUN": str(folder), "OUT": str(tmp_path / "out")}
    done = CliRunner().invoke(app, [places.get(w, w.replace("OUT", places["OUT"])) for w in words])
    assert done.exit_code == 0, done.output
    done.output.encode()
    for path in tmp_path.glob("out*"):
        for file in [path, *path.rglob("*")]:
            if file.is_file() and file.suffix not in (".xlsx", ".parquet"):
                assert "\ud83d" not in file.read_text("utf-8")


@pytest.mark.parametrize("io", ["literal", "compat"])
def test_files_of_predictions_may_hold_them(tmp_path, io):
    bench, predictions = write_tsv(tmp_path / "three.tsv", ROWS), tmp_path / "p.jsonl"
    lines = [{"index": row["index"], "prediction": f"B. {HALF}"} for row in ROWS]
    predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["score", "--predictions", predictions, "--bench", bench, "--io", io, "--json"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["headline"] == 100


def test_the_report_says_so(run):
    done = CliRunner().invoke(app, ["report", str(run)])
    assert "characters of 3 replies are no Unicode" in " ".join(done.output.split())


def test_replies_of_earlier_versions_are_read_as_unicode(run, tmp_path):
    line = next(path.read_text("utf-8").splitlines()[-1] for path in run.glob("replies-*.jsonl"))
    unchecked = line.rpartition(',"check":')[0] + "}"
    (tmp_path / "replies-0.jsonl").write_text(unchecked.replace("\ufffd", "\\udc00") + "\n")
    (reply,) = read_replies(tmp_path).values()
    assert "\udc00" not in str(reply)
    assert reply.details["replaced_characters"] > 0


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_jq_reads_them(run):
    done = subprocess.run(
        ["jq", "-r", ".text, .details.model", *run.glob("replies-*.jsonl")], capture_output=True, check=True
    )
    assert "B. \ufffd \ufffd" in done.stdout.decode("utf-8")


def test_a_judge_may_send_them():
    body = json.dumps(completion(f"yes {HALF}")).encode()
    with serving(lambda _: (200, {"Content-Type": "application/json"}, body)) as server:
        judge = open_judge(f"openai:m@{server.url}")
        assert judge.ask(JudgeCall("b", 1, "p", "p/1", "right?", 1, 0.0, 8)).text == "yes \ufffd"
        judge.close()
