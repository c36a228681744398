"""The probability of the answer's letter: asked for, found among the tokens, stored and reported."""

from __future__ import annotations

import json
import math

import pytest
from mmdbench.adapters._openai_api.response import outcome_of
from typer.testing import CliRunner

from faulty_server import FaultyServer, completion
from mmdbench.cli import app
from mmdbench.run.answer_probability import answer_probability
from scripted_runs import write_tsv

OPTIONS = {"A": "a cat", "B": "a dog", "C": "a cow"}
LOW, HIGH = math.log(0.01), math.log(0.75)


def pairs(*tokens):
    """Tokens with their logarithms; the one that is marked with a star is the likely one."""
    return [(t.lstrip("★"), HIGH if t.startswith("★") else LOW) for t in tokens]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("B", ["★B"]),
        (" B", ["★ B"]),
        ("B.", ["★B."]),
        ("B. a dog", ["★B", ".", " a", " dog"]),
        ("(B)", ["(", "★B", ")"]),
        ("**B**", ["**", "★B", "**"]),
        ("The answer is B", ["The", " answer", " is", "★ B"]),
        ("A dog. The answer is B.", ["A", " dog", ".", " The", " answer", " is", "★ B", "."]),
        ("A. A cat", ["★A", ".", " A", " cat"]),
        ("<answer>B</answer>", ["<answer", ">", "★B", "</", "answer", ">"]),
        ("<think>B or C? C.</think>\nB", ["<think>", "B", " or", " C", "?", " C.", "</think>", "\n", "★B"]),
        ("B", ["I", " think", " B", ".", "\n\n", "★B"]),  # the server keeps the thought out of the text
        ("Option\n\nB\n", ["Option", "\n\n", "★B", "\n"]),
    ],
)
def test_the_letter_is_found(text, tokens):
    letter = next(t for t in tokens if t.startswith("★")).strip("★ .")
    assert answer_probability(text, OPTIONS, pairs(*tokens)) == {
        "answer_letter": letter,
        "answer_probability": 0.75,
    }


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a dog", pairs("a", " dog")),  # read from the option's text
        ("Beetle", pairs("B", "eetle")),
        ("I cannot say", pairs("I", " cannot", " say")),
        ("B", []),
        ("B", None),
        ("B", [["B"]]),
        ("B", [("B", math.nan)]),
        ("B", [("B", "high")]),
    ],
)
def test_without_a_letter_of_its_own_there_is_none(text, tokens):
    assert answer_probability(text, OPTIONS, tokens) == {}


def test_an_open_question_has_none():
    assert answer_probability("B", {}, pairs("★B")) == {}


def with_tokens(text, tokens):
    answer = completion(text)
    content = [{"token": t, "logprob": p, "bytes": None, "top_logprobs": []} for t, p in tokens]
    answer["choices"][0]["logprobs"] = {"content": content, "refusal": None}
    return answer


@pytest.mark.parametrize(
    "logprobs", [None, [], {"content": None}, {"content": [{"token": "B"}]}, {"content": [3]}]
)
def test_logprobs_of_another_form_cost_no_reply(logprobs):
    answer = completion("B")
    answer["choices"][0]["logprobs"] = logprobs
    found = outcome_of("application/json", json.dumps(answer).encode())
    assert (found.text, found.status, "logprobs" in found.details) == ("B", "ok", False)


def eval_and_report(tmp_path, server, *settings):
    rows = [
        {
            "index": i,
            "question": f"Question {i}?",
            **OPTIONS,
            "answer": "B" if i < 3 else "C",
            "category": "x",
        }
        for i in range(4)
    ]
    path = write_tsv(tmp_path / "four.tsv", rows)
    words = ["eval", "--model", f"openai:toy-1@{server.url}", "--bench", path, "--level", "clean,hard"]
    words += ["-o", tmp_path / "run", "--no-canary", *settings]
    for command in (words, ["report", tmp_path / "run", "--json"]):
        done = CliRunner().invoke(app, [str(word) for word in command])
        assert done.exit_code == 0, done.output
    lines = [
        json.loads(s) for p in (tmp_path / "run").glob("replies-*.jsonl") for s in p.read_text().splitlines()
    ]
    tables = json.loads(done.stdout)["tables"]
    return lines, next((table for table in tables if table["key"] == "confidence"), None)


def test_confidence_and_calibration_stand_in_the_report(tmp_path):
    def behave(call):
        return with_tokens("B.", [(" B", math.log(0.9)), (".", -0.1)])

    with FaultyServer(behave) as server:
        lines, table = eval_and_report(tmp_path, server, "--set", "logprobs=true")
    assert all(call.body["logprobs"] is True for call in server.calls)
    details = [line["details"] for line in lines]
    assert len(details) == 8
    assert all(d["answer_probability"] == 0.9 and d["answer_letter"] == "B" for d in details)
    assert not any("logprobs" in d for d in details)
    assert "Guo et al. 2017" in table["caption"]
    for row, level in zip(table["rows"], ("clean", "hard"), strict=True):
        assert row["labels"][1] == level
        answers, confidence, right, ece = (value["value"] for value in row["values"])
        assert (answers, confidence, right) == (4, pytest.approx(90), 75)
        assert ece == pytest.approx(15)


def test_they_are_not_asked_for_unless_the_card_does(tmp_path):
    with FaultyServer(lambda call: completion("B")) as server:
        lines, table = eval_and_report(tmp_path, server)
    assert not any("logprobs" in call.body for call in server.calls)
    assert not any("answer_probability" in line["details"] for line in lines)
    assert table is None
