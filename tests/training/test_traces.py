"""Traces: by a model that sees both pictures, by an agent, and the judge of their answers."""

from __future__ import annotations

import threading

import pytest

from mmdbench.errors import ModelError
from mmdbench.records import Cell, ImageBytes
from mmdbench.results.judging.journal import JournalledJudge, JsonlJournal
from mmdbench.scoring import JudgeReply
from mmdbench.training import ask_agent, write_trace
from mmdbench.training.asking import AskedQuestion, in_order, read_consistent
from mmdbench.training.traces import PicturePair
from training_rows import DIRECT, GENERATE

CLEAN, DEGRADED = ImageBytes(b"clean", "image/png"), ImageBytes(b"degraded", "image/jpeg")
PAIR = PicturePair(CLEAN, DEGRADED)
OPEN = AskedQuestion(Cell("toy", 0, "hard", "graffiti"), "Which colour?", "red", {})
CHOICE = AskedQuestion(OPEN.cell, "Which colour?", "A", {"A": "red", "B": "green"})


class Scripted:
    """A model that gives its replies in turn; `calls` are those that it got."""

    def __init__(self, *replies, name="scripted") -> None:
        self.id, self.replies, self.calls = name, list(replies), []

    def ask(self, call):
        self.calls.append(call)
        reply = self.replies[min(len(self.calls), len(self.replies)) - 1]
        return reply if isinstance(reply, JudgeReply) else JudgeReply(reply)


# --- written with both pictures at hand ----------------------------------------------------------


def test_the_writer_gets_both_pictures_question_and_truth() -> None:
    writer = Scripted(GENERATE.format("red"))
    trace = write_trace(writer, OPEN, "generate", PAIR)
    (call,) = writer.calls
    assert call.images == (CLEAN, DEGRADED)
    assert "Which colour?" in call.prompt
    assert "Right answer: red" in call.prompt
    assert (trace.text, trace.attempts, trace.status) == (GENERATE.format("red"), 1, "ok")


RIGHT, WRONG = DIRECT.format("red"), DIRECT.format("green")


@pytest.mark.parametrize(
    ("replies", "regenerations", "kept", "tries"),
    [
        ((WRONG, WRONG, WRONG, RIGHT), 3, True, 4),
        ((WRONG, WRONG, WRONG, WRONG), 3, False, 4),
        ((RIGHT,), 3, True, 1),
        ((WRONG, WRONG, WRONG, RIGHT), 2, False, 3),
        ((WRONG, RIGHT), 0, False, 1),
    ],
)
def test_wrong_traces_are_written_again_and_then_dropped(replies, regenerations, kept, tries) -> None:
    writer = Scripted(*replies)
    trace = write_trace(writer, OPEN, "direct", PAIR, regenerations=regenerations)
    assert (trace.status, trace.attempts, len(writer.calls)) == ("ok" if kept else "wrong", tries, tries)
    assert trace.text == (RIGHT if kept else "")
    assert [c.temperature for c in writer.calls] == [0.0, 0.5, 1.0, 1.0][:tries]


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("direct", GENERATE.format("red")),
        ("generate", DIRECT.format("red")),
        ("generate", "<think>a</think>\n<image_restore>\n" + GENERATE.format("red")),
        ("generate", "<think>a</think>\n<image_restore>\n<answer>red</answer>"),
        ("direct", "Sure!\n" + DIRECT.format("red")),
        ("direct", "red"),
    ],
)
def test_another_form_or_mode_is_no_trace(mode, text) -> None:
    assert write_trace(Scripted(text), OPEN, mode, PAIR, regenerations=0).status == "wrong"


def test_the_tag_is_put_on_a_line_of_its_own() -> None:
    writer = Scripted("<think>a</think> <image_restore><think>b</think><answer>Red.</answer>")
    text = write_trace(writer, OPEN, "generate", PAIR).text
    assert text == "<think>a</think>\n<image_restore>\n<think>b</think><answer>Red.</answer>"


def test_answers_in_other_words_are_right_if_a_judge_says_so() -> None:
    writer = Scripted(DIRECT.format("crimson"))
    assert write_trace(writer, OPEN, "direct", PAIR, regenerations=0).status == "wrong"
    judge = Scripted('{"consistent": true}')
    assert write_trace(writer, OPEN, "direct", PAIR, judge=judge, regenerations=0).status == "ok"
    (call,) = judge.calls
    assert (call.temperature, call.max_tokens, call.images) == (0.0, 128, ())
    assert write_trace(Scripted(DIRECT.format("red")), CHOICE, "direct", PAIR, judge=judge).status == "ok"
    assert len(judge.calls) == 1  # options need no judge


def test_a_writer_that_gives_no_reply_is_asked_again_by_the_next_command(tmp_path) -> None:
    journal = tmp_path / "traces.jsonl"
    silent = JournalledJudge(Scripted(JudgeReply("down", "error")), JsonlJournal(journal))
    assert write_trace(silent, OPEN, "direct", PAIR).status == "no reply"
    writer = Scripted(WRONG, RIGHT)
    first = write_trace(JournalledJudge(writer, JsonlJournal(journal)), OPEN, "direct", PAIR)
    assert (first.status, len(writer.calls)) == ("ok", 2)
    again = Scripted("not asked")
    assert write_trace(JournalledJudge(again, JsonlJournal(journal)), OPEN, "direct", PAIR) == first
    assert not again.calls
    other = PicturePair(CLEAN, ImageBytes(b"another", "image/jpeg"))
    write_trace(JournalledJudge(again, JsonlJournal(journal)), OPEN, "direct", other, regenerations=0)
    assert len(again.calls) == 1  # another picture is another call


# --- the agent -----------------------------------------------------------------------------------

ASKS = "<think>too dark</think>\n<image_restore>"
ANSWERS = "<think>clear now</think>\n<answer>red</answer>"
YES, NO = '{"consistent": true}', '{"consistent": false}'


def test_an_agent_that_answers_sees_the_degraded_picture_alone() -> None:
    agent, judge = Scripted(DIRECT.format("red")), Scripted(YES)
    trace = ask_agent(agent, judge, OPEN, PAIR)
    assert [c.images for c in agent.calls] == [(DEGRADED,)]
    assert [(c.temperature, c.max_tokens) for c in agent.calls] == [(0.3, 1024)]
    assert (trace.text, trace.mode, trace.status) == (DIRECT.format("red"), "direct", "ok")
    assert "Right answer" not in agent.calls[0].prompt
    assert OPEN.truth not in agent.calls[0].prompt


def test_an_agent_that_asks_gets_the_clean_picture_and_is_asked_again() -> None:
    agent = Scripted(f"{ASKS}\nand more that is cut", ANSWERS)
    trace = ask_agent(agent, Scripted(YES), OPEN, PAIR)
    assert [c.images for c in agent.calls] == [(DEGRADED,), (DEGRADED, CLEAN)]
    assert ASKS in agent.calls[1].prompt
    assert "and more" not in agent.calls[1].prompt
    assert (trace.text, trace.mode) == (f"{ASKS}\n{ANSWERS}", "generate")


@pytest.mark.parametrize(
    ("replies", "verdict", "status"),
    [
        ((DIRECT.format("green"),), NO, "inconsistent"),
        ((DIRECT.format("red"),), "I think so", "not judged"),
        ((DIRECT.format("red"),), JudgeReply("down", "error"), "not judged"),
        ((JudgeReply("down", "error"),), YES, "no reply"),
        ((ASKS, JudgeReply("down", "error")), YES, "no reply"),
        ((ASKS, ASKS), YES, "not of the form"),  # one restoration at most
        (("<think>a</think> I need <image_restore> here",), YES, "not of the form"),
        (("red",), YES, "not of the form"),
    ],
)
def test_what_is_inconsistent_or_has_no_form_is_dropped(replies, verdict, status) -> None:
    trace = ask_agent(Scripted(*replies), Scripted(verdict), OPEN, PAIR)
    assert (trace.text, trace.status) == ("", status)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"consistent": true}', True),
        ('```json\n{"consistent": false}\n```', False),
        ('{"consistent": "true"}', None),
        ('{"consistent": 1}', None),
        ("[true]", None),
        ("true", None),
        ('It is {"consistent": true}', None),
        ("", None),
    ],
)
def test_a_verdict_is_read_strictly(text, verdict) -> None:
    assert read_consistent(text) is verdict


# --- several at once -----------------------------------------------------------------------------


def test_results_are_in_order_and_items_are_taken_when_they_are_needed() -> None:
    taken = []

    def items():
        for i in range(40):
            taken.append(i)
            yield i

    results = in_order(lambda i: i * i, items(), workers=2)
    assert next(results) == 0
    assert len(taken) <= 8
    assert list(results) == [i * i for i in range(1, 40)]


def test_replies_in_flight_are_kept_when_another_call_fails(tmp_path) -> None:
    all_in_flight, failed = threading.Barrier(4), threading.Event()
    journal = JsonlJournal(tmp_path / "traces.jsonl")

    class Half:
        id = "half"

        def ask(self, call):
            all_in_flight.wait(30)
            if call.index == 0:
                failed.set()
                raise ModelError("the line is cut")
            failed.wait(30)
            return JudgeReply(RIGHT)

    judge = JournalledJudge(Half(), journal)

    def make(index):
        return write_trace(judge, AskedQuestion(Cell("toy", index, "hard"), "q", "red", {}), "direct", PAIR)

    with pytest.raises(ModelError):
        list(in_order(make, range(4), workers=4))
    assert len((tmp_path / "traces.jsonl").read_text().splitlines()) == 3
