"""The judge client against a server on this machine: statuses, pauses, secrets, many calls at once."""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from dataclasses import dataclass
from itertools import count

import pytest

from judge_server import error, serving
from mmdbench.errors import MissingExtraError, ModelError, UnknownNameError, UsageError
from mmdbench.models.throttle import ThrottleSettings
from mmdbench.records import Question
from mmdbench.results.judging import judges
from mmdbench.results.judging.ahead import judge_ahead
from mmdbench.results.judging.judges import OpenAIJudge, open_judge
from mmdbench.scoring import OWN_HEADS, JsonlJournal, JudgeKey, JudgeReply
from scoring_by_keyword import score

needs_openai = pytest.mark.skipif(
    importlib.util.find_spec("openai") is None, reason="the judge client needs the extra `api`"
)
KEY = JudgeKey("toy", 1, 1, "d")
SECRET = "sk-very-secret-0123456789"
QUICK = ThrottleSettings(attempts=3, backoff=0.001)


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # no models.toml of a user's
    monkeypatch.setenv("MMDBENCH_API_KEY", SECRET)
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def at(server, **options) -> OpenAIJudge:
    judge = open_judge(f"openai:j@{server.url}")
    return OpenAIJudge(judge._card, settings=options.pop("settings", QUICK), **options)


def ask(server, **options) -> JudgeReply:
    judge = at(server, **options)
    try:
        return judge.ask("which?", temperature=0.5, max_tokens=7, key=KEY)
    finally:
        judge.close()


@needs_openai
def test_what_is_sent_and_what_comes_back():
    with serving(lambda _: "B") as server:
        assert ask(server) == JudgeReply("B")
    (body,) = server.bodies
    messages = [{"role": "user", "content": "which?"}]
    assert body == {"model": "j", "messages": messages, "temperature": 0.5, "max_tokens": 7}
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"


@needs_openai
@pytest.mark.parametrize(
    "fault",
    [
        error(429),
        error(500),
        error(503),
        error(408),
        (200, {"Content-Type": "text/html"}, b"<html>busy</html>"),
        (200, {"Content-Type": "application/json"}, b'{"choices": []}'),
        (200, {"Content-Type": "application/json"}, b'{"error": {"message": "overloaded", "code": 503}}'),
    ],
    ids=["429", "500", "503", "408", "html", "no choice", "error in body"],
)
def test_passing_faults_are_tried_again(fault):
    numbers = count(1)
    with serving(lambda _: fault if next(numbers) < 3 else "C") as server:
        assert ask(server) == JudgeReply("C")
        assert len(server.bodies) == 3
    with serving(lambda _: fault) as server:
        reply = ask(server)
        assert (reply.status, len(server.bodies)) == ("error", 3)
        assert reply.text


@needs_openai
def test_the_pause_that_the_server_asks_for_is_kept():
    for header, seconds in ({"Retry-After": "1"}, 1.0), ({"retry-after-ms": "300"}, 0.3):
        numbers = count(1)
        with serving(lambda _, h=header, n=numbers: error(429, **h) if next(n) == 1 else "A") as server:
            started = time.monotonic()
            assert ask(server).text == "A"
            assert seconds <= time.monotonic() - started < seconds + 2
    with (
        serving(lambda _: error(429, **{"Retry-After": "86400"})) as server,
        pytest.raises(ModelError, match="86400 s"),
    ):
        ask(server)


@needs_openai
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (error(401, f"Incorrect API key provided: {SECRET}"), "MMDBENCH_API_KEY"),
        (error(403), "cannot be asked"),
        (error(404, "no model j", "model_not_found"), "name right"),
        (error(429, "no credit", "insufficient_quota"), "no credit"),
    ],
)
def test_what_no_question_can_pass_is_an_error_at_once(fault, words):
    with serving(lambda _: fault) as server:
        with pytest.raises(ModelError, match=words) as caught:
            ask(server)
        assert len(server.bodies) == 1
    seen: BaseException | None = caught.value
    while seen is not None:
        assert SECRET not in f"{seen} {seen!r} {vars(seen)}"
        seen = seen.__cause__ or seen.__context__


@needs_openai
def test_one_refused_question_is_a_status_and_ten_at_first_are_an_error():
    with serving(lambda _: error(400, f"too long, {SECRET}")) as server:
        judge = at(server)
        try:
            for _ in range(9):
                reply = judge.ask("q", temperature=0, max_tokens=1, key=KEY)
                assert reply == JudgeReply("HTTP 400: too long, [hidden]", "error")
            with pytest.raises(ModelError, match="refused its first 10"):
                judge.ask("q", temperature=0, max_tokens=1, key=KEY)
        finally:
            judge.close()


@needs_openai
def test_a_dead_server_stops_after_three_rows():
    with serving(lambda _: "x") as server:
        pass
    judge = at(server, settings=ThrottleSettings(attempts=2, backoff=0.001))
    try:
        for row in (1, 1, 1, 2):
            reply = judge.ask("q", temperature=0, max_tokens=1, key=JudgeKey("toy", row, 1, "d"))
            assert reply.status == "error"
        with pytest.raises(ModelError, match="3 rows in a row"):
            judge.ask("q", temperature=0, max_tokens=1, key=JudgeKey("toy", 3, 1, "d"))
    finally:
        judge.close()


@needs_openai
def test_a_few_rows_that_break_the_server_do_not_keep_the_others_from_a_score():
    def reply(body):
        return error(500) if "bad" in str(body) else error(400) if "odd" in str(body) else "A"

    with serving(reply) as server:
        judge = at(server, settings=ThrottleSettings(attempts=1))
        try:
            for row in range(40):
                text = "fine" if row % 8 == 0 else "odd" if row % 2 else "bad"
                made = judge.ask(text, temperature=0, max_tokens=1, key=JudgeKey("toy", row, 1, "d"))
                assert (made.status == "ok") == (text == "fine")
        finally:
            judge.close()


@needs_openai
def test_no_answer_in_time_is_a_status():
    with serving(lambda _: time.sleep(0.3) or "A") as server:
        reply = ask(server, timeout=0.1, settings=ThrottleSettings(attempts=1))
        assert (reply.status, reply.text) == ("error", "no answer came in time")


@needs_openai
def test_a_key_that_the_server_sends_back_is_hidden():
    with serving(lambda _: f"your key is {SECRET}") as server:
        assert ask(server).text == "your key is [hidden]"


def test_names_and_identity():
    assert open_judge("gpt-4.1").id == "gpt-4.1@api.openai.com"
    assert open_judge("openai:gpt-4-turbo").id == "gpt-4-turbo@api.openai.com"
    assert open_judge("openai:q/w-7b@https://judge.example:8443/v1").id == "q/w-7b@judge.example"
    assert open_judge("openai:q@http://localhost:8000/v1").id == "q@local"
    assert open_judge("openai:q@http://localhost:9000/v1").id == "q@local"
    path = open_judge("openai:/data/secret/qwen@http://127.0.0.1:1/v1")
    assert path.id.startswith("qwen-")
    assert "secret" not in path.id + repr(path)


@pytest.mark.parametrize("spec", ["chance", "gpt-5", "openai", "openai:m@http://user:pw@host/v1", "vllm"])
def test_what_cannot_judge_is_refused(spec):
    with pytest.raises(UsageError) as caught:
        open_judge(spec)
    assert "pw" not in str(caught.value)
    with pytest.raises(UnknownNameError, match=r"gpt-4\.1"):
        open_judge("gpt-4.11")


@needs_openai
def test_a_missing_key_and_a_missing_client_are_said_by_name(monkeypatch):
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        open_judge("gpt-4.1").ask("q", temperature=0, max_tokens=1, key=KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "ключ")
    with pytest.raises(ModelError, match="no key has"):
        open_judge("gpt-4.1").ask("q", temperature=0, max_tokens=1, key=KEY)
    monkeypatch.setattr(judges, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"mmdbench\[api\]"):
        open_judge("gpt-4.1").ask("q", temperature=0, max_tokens=1, key=KEY)


def test_a_base_url_never_gets_the_key_of_the_card(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-account")
    monkeypatch.delenv("MMDBENCH_API_KEY")
    with serving(lambda _: "A") as server:
        if importlib.util.find_spec("openai"):
            ask(server)
            assert "sk-of-the-account" not in json.dumps(server.headers)


# many calls at once


@dataclass(frozen=True)
class Bench:
    questions: tuple[Question, ...]
    family: str = "plain"
    name: str = "toy"


def unclear(rows, family="plain"):
    fields = {"question": "q", "A": "cat", "B": "dog", "answer": "A", "category": "ocr"}
    questions = (Question("toy", i, {**fields, "question": f"q{i}"}) for i in range(rows))
    return Bench(tuple(questions), family), {i: f"hm {i}" for i in range(rows)}


class Scripted:
    """A judge whose reply follows from the row and the attempt."""

    id = "scripted"

    def __init__(self, reply=lambda key: "A"):
        self.reply, self.keys = reply, []

    def ask(self, prompt, *, temperature, max_tokens, key):
        self.keys.append(key)
        made = self.reply(key)
        return made if isinstance(made, JudgeReply) else JudgeReply(made)


def grader(bench, replies, **options):
    return lambda judge, journal: score(
        bench, replies, judge=judge, journal=journal, heads=OWN_HEADS, **options
    )


@pytest.mark.parametrize("family", ["plain", "circular", "mmvet"])
@pytest.mark.parametrize("on_unresolved", ["miss", "random"])
def test_asking_ahead_changes_no_grade_and_no_call(family, on_unresolved, tmp_path):
    bench, replies = unclear(30, family)

    def reply(key):
        texts = ("A", "B", "no idea", "0.5", "Failed to obtain answer via API", JudgeReply("down", "error"))
        return texts[(key.index * 7 + key.attempt * 5) % len(texts)]

    results = []
    for workers in (1, 4):
        judge, journal = Scripted(reply), JsonlJournal(tmp_path / f"{workers}.jsonl")
        made = judge_ahead(
            grader(bench, replies, on_unresolved=on_unresolved), judge, journal, workers=workers
        )
        results.append((made, sorted((key.index, key.attempt) for key in judge.keys)))
    assert results[0] == results[1]
    assert len(results[0][1]) > 30
    records = [
        {r["key"]: r["text"] for r in map(json.loads, (tmp_path / f"{w}.jsonl").read_text().splitlines())}
        for w in (1, 4)
    ]
    assert records[0] == records[1]
    failed = [(tmp_path / f"{w}.jsonl").read_text().count('"status": "error"') for w in (1, 4)]
    assert failed[0] == failed[1] > 0


def test_a_judged_circular_group_stops_at_its_first_wrong_rotation_ahead_too():
    fields = {"question": "q", "A": "cat", "B": "dog", "answer": "A"}
    bench = Bench(tuple(Question("toy", i, fields) for i in (1, 1_000_001, 2_000_001)), "circular")
    judge = Scripted(lambda key: "A" if key.index == 1 else "B")
    made = judge_ahead(grader(bench, dict.fromkeys((1, 1_000_001, 2_000_001), "hm")), judge)
    # Equal questions and replies have one digest: what is asked of the first is known of the others.
    assert made.group_hits == {1: 1}
    bench = Bench(
        tuple(Question("toy", i, {**fields, "question": f"{i}"}) for i in (1, 1_000_001, 2_000_001)),
        "circular",
    )
    judge = Scripted(lambda key: "A" if key.index == 1 else "B")
    made = judge_ahead(grader(bench, dict.fromkeys((1, 1_000_001, 2_000_001), "hm")), judge)
    assert made.group_hits == {1: 0}
    assert [key.index for key in judge.keys] == [1, 1_000_001]


def test_what_the_journal_holds_is_not_asked_and_every_reply_is_written_when_it_comes(tmp_path):
    bench, replies = unclear(20)
    numbers = count(1)

    def until_ten(key):
        if next(numbers) > 10:
            raise ModelError("the line is cut")
        return "B"

    journal = tmp_path / "judge.jsonl"
    with pytest.raises(ModelError):
        judge_ahead(grader(bench, replies), Scripted(until_ten), JsonlJournal(journal), workers=2)
    kept = len(journal.read_text().splitlines())
    assert 8 <= kept <= 10
    judge = Scripted(lambda key: "B")
    made = judge_ahead(grader(bench, replies), judge, JsonlJournal(journal))
    assert len(judge.keys) == 20 - kept
    assert made.counts["judged"] == 20
    judge = Scripted()
    assert judge_ahead(grader(bench, replies), judge, JsonlJournal(journal)) == made
    assert judge.keys == []


def test_replies_under_way_are_kept_when_another_call_fails(tmp_path):
    bench, replies = unclear(4)
    all_under_way, failed = threading.Barrier(4), threading.Event()

    def reply(key):
        all_under_way.wait(30)
        if key.index == 0:
            failed.set()
            raise ModelError("the line is cut")
        failed.wait(30)
        time.sleep(0.2)  # comes back while the failure is on its way out
        return "B"

    journal = tmp_path / "judge.jsonl"
    with pytest.raises(ModelError):
        judge_ahead(grader(bench, replies), Scripted(reply), JsonlJournal(journal), workers=4)
    assert sorted(json.loads(line)["index"] for line in journal.read_text().splitlines()) == [1, 2, 3]


@needs_openai
def test_several_questions_are_under_way_at_once():
    bench, replies = unclear(24)
    with serving(lambda _: time.sleep(0.02) or "A") as server:
        judge = at(server)
        try:
            made = judge_ahead(grader(bench, replies), judge, workers=4)
        finally:
            judge.close()
    assert made.headline == 100
    assert 2 <= server.most <= 4
    assert len(server.bodies) == 24


def test_a_judge_that_never_answers_is_an_error():
    bench, replies = unclear(5)
    with pytest.raises(ModelError, match="answered none of 5 rows"):
        judge_ahead(grader(bench, replies), Scripted(lambda _: JudgeReply("down", "error")))
