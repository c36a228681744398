"""Robust-R1's cards: what they send to a server, and which part of a reply is graded."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faulty_server import FaultyServer, completion
from mmdbench.cli import app
from mmdbench.models import find_card, open_model
from mmdbench.models.cards import set_options
from mmdbench.models.instructions import OWN_ROBUST_R1
from mmdbench.report.tables.run_notes import run_notes
from mmdbench.results.graded_run import load_results

INSTRUCTED = "Look, then say."


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MMDBENCH_OFFLINE", "1")
    monkeypatch.delenv("MMDBENCH_ROBUST_R1_PROMPT", raising=False)


def written(answer, strength=0.45):
    """A reply in Robust-R1's form, which names other options before its answer."""
    return (
        f"<TYPE>lens blur({strength})<TYPE_END>\n<INFLUENCE>The answer could be A.<INFLUENCE_END>\n"
        "<REASONING>The answer is B, or the answer is C.<REASONING_END>\n"
        f"<CONCLUSION>So it is D.<CONCLUSION_END>\n<ANSWER>{answer}<ANSWER_END>"
    )


def evaluate(path, server, *more):
    model = f"robust-r1-vllm:toy@{server.url}"
    words = ["eval", "--model", model, "--bench", str(path), "-o", "run", "--quiet", "--no-canary"]
    done = CliRunner().invoke(app, [*words, *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def truth_of(path):
    csv.field_size_limit(2**30)
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {row["question"]: row["answer"] for row in rows}


def test_the_shipped_cards_are_a_family_of_their_own():
    for name in ("robust-r1-sft", "robust-r1-rl"):
        card = find_card(name)
        assert (card.adapter, card.options) == ("hf", {"family": "robust-r1"})
    served = find_card("robust-r1-vllm")
    assert served.options == {"instruction": "robust-r1", "image_first": False}
    assert served.generation == {"temperature": 0.6, "max_tokens": 1024}


def test_the_question_comes_first_then_the_instruction_then_the_picture(make_tsv, tmp_path):
    file = tmp_path / "said.txt"
    file.write_text(INSTRUCTED, "utf-8")
    path = make_tsv(3)
    with FaultyServer(lambda _: completion(written("A"))) as server:
        evaluate(path, server, "--level", "clean", "--set", f"instruction_file={file}")
    assert len(server.calls) == 3
    for call in server.calls:
        text, picture = call.body["messages"][0]["content"]
        assert (text["type"], picture["type"]) == ("text", "image_url")
        question, _, instruction = text["text"].rpartition("\n")
        assert f"Question {call.name}?" in question
        assert instruction == INSTRUCTED
        assert (call.body["temperature"], call.body["max_tokens"]) == (0.6, 1024)


def test_the_answer_block_is_graded_and_nothing_before_it(make_tsv):
    path = make_tsv(8)
    right = truth_of(path)
    with FaultyServer(
        lambda call: completion(written(right[f"Question {call.name}?"] if call.name < 6 else "none"))
    ) as server:
        evaluate(path, server, "--level", "clean")
    (arm,) = load_results(Path("run")).arms
    assert arm.score.headline == 75.0
    notes = " ".join(run_notes(load_results(Path("run"))))
    assert (
        "The instruction mmdbench-robust-r1/1 that the model was asked with is not in its authors' words"
        in notes
    )
    assert server.calls[0].prompt.endswith(OWN_ROBUST_R1.text)


def test_a_server_model_is_told_apart_by_its_instruction(tmp_path):
    file = tmp_path / "said.txt"
    file.write_text(INSTRUCTED, "utf-8")
    card = find_card("robust-r1-vllm:toy")
    plain = open_model(set_options(card, ["instruction="])).fingerprint()
    own = open_model(card).fingerprint()
    named = open_model(set_options(card, [f"instruction_file={file}"])).fingerprint()
    assert "instruction" not in plain
    assert own == {**plain, "instruction": OWN_ROBUST_R1.record()}
    assert named["instruction"]["id"] == "robust-r1-file"
    assert str(tmp_path) not in json.dumps(named)
