"""The published training format: a round trip, and what is not of the format."""

from __future__ import annotations

import json

import pytest

from mmdbench.errors import DataError
from mmdbench.training import Conversation, TrainingRecord, read_records, write_records
from mmdbench.training.training_format import join_texts, without_mark

GENERATE = "<think>dark</think>\n<image_restore>\n<think>a cup</think>\n<answer>B</answer>"


def record(text=GENERATE, **changes):
    turns = (("human", "<image>\nWhich?"), ("gpt", text))
    given = {"split_type": "sft", "image": "pictures/d.jpeg", "clean_image": "pictures/c.png"} | changes
    return TrainingRecord("7", "chartqa", conversation=Conversation(turns), mode="generate", **given)


def test_a_round_trip_keeps_everything(tmp_path) -> None:
    records = [
        record(details={"corruptions": ["lens_blur"], "level": "hard"}),
        record("<think>Grün, “ok”</think>\n<answer>赤</answer>", split_type="rl", clean_image=""),
    ]
    assert write_records(tmp_path / "set.jsonl", records) == 2
    assert list(read_records(tmp_path / "set.jsonl")) == records


def test_a_turn_is_one_string_with_the_tag_alone_on_its_line(tmp_path) -> None:
    write_records(tmp_path / "set.jsonl", [record()])
    stored = json.loads((tmp_path / "set.jsonl").read_text())
    assert [turn["from"] for turn in stored["conversations"]] == ["human", "gpt"]
    assert "<image_restore>" in stored["conversations"][1]["value"].split("\n")
    assert (
        join_texts("<think>dark</think><image_restore>", "<think>a cup</think>\n<answer>B</answer>")
        == GENERATE
    )


def test_a_reader_gets_the_texts_around_the_picture_unchanged() -> None:
    assert record().texts == (
        "<think>dark</think>\n<image_restore>",
        "\n<think>a cup</think>\n<answer>B</answer>",
    )
    assert record("<think>x</think>").texts == ("<think>x</think>",)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("<image>\nHow many?", "How many?"),
        ("How many?\n<image>", "How many?"),
        ("How many?", "How many?"),
        ("<image>What does <image> mean?", "What does <image> mean?"),
    ],
)
def test_the_mark_of_the_picture_is_no_part_of_the_question(text, question) -> None:
    assert without_mark(text) == question
    assert Conversation((("human", text), ("gpt", "2"))).question == question


def test_question_and_solution_are_the_first_turns() -> None:
    turns = (("system", "s"), ("human", "<image>\nq1"), ("gpt", "a1"), ("human", "q2"), ("gpt", "a2"))
    assert (Conversation(turns).question, Conversation(turns).solution) == ("q1", "a1")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: a JSON object is needed"),
        ('{"id": 7}', "line 2: 'id' must be a text, got 7"),
        ('{"id": "7", "split_type": "sft", "image": ""}', "'image' must be a text"),
        ('{"id": "7", "split_type": "sft", "image": "p", "conversations": []}', "no human turn"),
        (
            '{"id": "7", "split_type": "sft", "image": "p", "conversations": [{"from": "human"}]}',
            "a turn must",
        ),
    ],
)
def test_what_is_not_of_the_format_names_its_line(tmp_path, line, says) -> None:
    path = tmp_path / "set.jsonl"
    write_records(path, [record()])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"set\.jsonl") as error:
        list(read_records(path))
    assert says in str(error.value)
