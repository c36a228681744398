"""A judge that is a model card, against a server on this machine, and the calls that scoring makes to it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import shutil
import threading
import time
import zlib
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from mmdbench.adapters._openai_api import chat_client

from judge_server import error, serving
from mmdbench.errors import IncompleteError, MissingExtraError, ModelError, UnknownNameError, UsageError
from mmdbench.records import Cell, ImageBytes, Question
from mmdbench.results.judging.ask import grade_with_judge
from mmdbench.results.judging.journal import JournalledJudge, JsonlJournal
from mmdbench.results.judging.open import open_judge
from mmdbench.run.budget import Budget
from mmdbench.scoring import OWN_HEADS, JudgeCall, JudgeReply
from mmdbench.training.asking import AskedQuestion
from mmdbench.training.rewards import Solution, accuracy_reward
from mmdbench.training.traces import PicturePair, write_trace
from scoring_by_keyword import score

needs_openai = pytest.mark.skipif(
    importlib.util.find_spec("openai") is None, reason="the judge client needs the extra `api`"
)
SECRET = "sk-very-secret-0123456789"
QUICK = {"attempts": 3, "backoff": 0.001}


def question(prompt="which?", row=1, attempt=1, temperature=0.0, max_tokens=1) -> JudgeCall:
    return JudgeCall("toy", row, "p/1", "head/1", prompt, attempt, temperature, max_tokens)


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # no models.toml of a user's
    monkeypatch.setenv("MMDBENCH_API_KEY", SECRET)
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def at(server, budget=None, price="", **options):
    """A judge behind the server, by a card of the user's."""
    card = {**QUICK, **options}
    lines = ["[j]", 'adapter = "openai"', 'model = "j"', f'endpoint = "{server.url}"', price]
    lines += ['key_env = "MMDBENCH_API_KEY"', "[j.options]", *(f"{k} = {v!r}" for k, v in card.items())]
    Path("judge.toml").write_text("\n".join(lines))
    return closing(open_judge("j", [Path("judge.toml")], budget))


def ask(server, call=None, **options) -> JudgeReply:
    with at(server, **options) as judge:
        return judge.ask(call or question())


@needs_openai
def test_a_call_sends_one_prompt_and_returns_the_reply():
    with serving(lambda _: "B") as server:
        assert ask(server, question(temperature=0.5, max_tokens=7), system="Be brief.") == JudgeReply("B")
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
    with serving(lambda _: error(429, **{"Retry-After": "86400"})) as server:
        with pytest.raises(IncompleteError, match=r"24 h 00 min .*longest_wait"):
            ask(server)
        assert len(server.bodies) == 1


@needs_openai
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (error(401, f"Incorrect API key provided: {SECRET}"), "MMDBENCH_API_KEY"),
        (error(404, "no model j", "model_not_found"), "name right"),
        (error(429, "no credit", "insufficient_quota"), "no credit"),
    ],
)
def test_a_failure_of_every_call_is_an_error_at_once(fault, words):
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
    with serving(lambda _: error(400, f"too long, {SECRET}")) as server, at(server) as judge:
        for row in range(9):
            assert judge.ask(question(f"q{row}")) == JudgeReply("HTTP 400: too long, [hidden]", "error")
        assert judge.ask(question("q9")).status == "error"
        with pytest.raises(ModelError, match="failed on 10 rows in a row: HTTP 400"):
            judge.ask(question("q10"))
        assert len(server.bodies) == 10


@needs_openai
def test_an_unreachable_server_stops_after_three_rows():
    with serving(lambda _: "x") as server:
        pass
    with at(server, attempts=2) as judge:
        for row in (1, 1, 1, 2, 3):
            assert judge.ask(question(f"q{row}", row)).status == "error"
        with pytest.raises(ModelError, match="3 rows in a row"):
            judge.ask(question("q4", 4))


@needs_openai
def test_a_server_that_forbids_every_row_stops_after_three():
    with serving(lambda _: error(403, "not for this key")) as server, at(server) as judge:
        for row in (1, 2, 3):
            assert judge.ask(question(f"q{row}", row)).status == "error"
        with pytest.raises(ModelError, match=r"3 rows in a row.*not for this key"):
            judge.ask(question("q4", 4))
        assert len(server.bodies) == 3


@needs_openai
def test_a_few_rows_that_break_the_server_do_not_keep_the_others_from_a_score():
    def reply(body):
        return error(500) if "bad" in str(body) else error(400) if "odd" in str(body) else "A"

    texts = ["fine" if row % 8 == 0 else "odd" if row % 2 else "bad" for row in range(40)]
    with serving(reply) as server, at(server, attempts=1) as judge:
        for row, text in enumerate(texts):
            assert (judge.ask(question(f"{text} {row}", row)).status == "ok") == (text == "fine")
        for row, text in enumerate(texts):  # the rows that failed, again, and no other between them
            assert text == "fine" or judge.ask(question(f"{text} {row}", row, 2)).status == "error"


@needs_openai
def test_no_answer_in_time_is_a_status():
    with serving(lambda _: time.sleep(0.3) or "A") as server:
        reply = ask(server, timeout=0.1, attempts=1)
        assert (reply.status, reply.text) == ("error", "no answer within 0.1 s")


@needs_openai
def test_a_key_that_the_server_sends_back_is_hidden():
    with serving(lambda _: f"your key is {SECRET}") as server:
        assert ask(server).text == "your key is [hidden]"


def counted(text, finish="stop", read=1000, written=500):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return 200, {"Content-Type": "application/json"}, json.dumps({**body, "usage": usage}).encode()


@needs_openai
@pytest.mark.parametrize(("text", "finish"), [("0.5", "length"), ("", "stop"), ("A", "content_filter")])
def test_a_reply_that_is_cut_or_empty_is_read_like_any_other(text, finish):
    with serving(lambda _: counted(text, finish)) as server:
        assert ask(server) == JudgeReply(text)


@needs_openai
def test_tokens_and_cost_are_counted_and_bounded():
    price = 'price = { input = 1000, output = 2000, date = "2026-01-01" }'
    with serving(lambda _: counted("A")) as server, at(server, Budget(usd=5.0), price) as judge:
        assert judge.ask(question("q0")).text == judge.ask(question("q1")).text == "A"
        with pytest.raises(IncompleteError, match="--max-usd 5 does not pay for another request"):
            judge.ask(question("q2"))
        usage = judge.usage()
    assert (usage["asked"], usage["requests_sent"], usage["cost_usd"]) == (2, 2, 4.0)
    assert usage["tokens"] == {"read": 2000, "written": 1000}
    with pytest.raises(UsageError, match="needs the price"):
        open_judge(f"openai:j@{server.url}", budget=Budget(usd=5.0))


@needs_openai
def test_a_judge_can_be_asked_where_an_event_loop_runs_and_after_it_was_closed():
    async def inside(judge):
        return judge.ask(question())

    with serving(lambda _: "A") as server, at(server) as judge:
        assert asyncio.run(inside(judge)).text == "A"
        judge.close()
        assert judge.ask(question()).text == "A"


def test_names_and_identity():
    assert open_judge("gpt-4.1").id == "gpt-4.1@api.openai.com"
    assert open_judge("openai:gpt-4-turbo").id == "gpt-4-turbo@api.openai.com"
    assert open_judge("openai:q@https://api.openai.com:443/v1/").id == "q@api.openai.com"
    assert open_judge("openai:q/w-7b@https://judge.example:8443/v1").id == "q/w-7b@server-d037902b"
    path = open_judge("openai:/data/secret/qwen@http://127.0.0.1:1/v1")
    assert path.id.startswith("qwen-")
    assert "secret" not in path.id + repr(path)


@pytest.mark.parametrize("spec", ["chance", "openai", "openai:m@http://user:pw@host/v1", "vllm"])
def test_models_that_cannot_judge_are_refused(spec):
    with pytest.raises(UsageError) as caught:
        open_judge(spec)
    assert "pw" not in str(caught.value)
    with pytest.raises(UnknownNameError, match=r"gpt-4\.1"):
        open_judge("gpt-4.11")


def asked(name):
    with closing(open_judge(name)) as judge:
        return judge.ask(question())


@needs_openai
def test_a_missing_key_and_a_missing_client_are_named(monkeypatch):
    judge = open_judge("gpt-4.1")
    with closing(judge), pytest.raises(ModelError, match="OPENAI_API_KEY"):
        judge.ask(question())
    assert judge.usage()["requests_sent"] == 0
    monkeypatch.setenv("OPENAI_API_KEY", "ключ")
    with pytest.raises(ModelError, match="no key has"):
        asked("gpt-4.1")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setattr(chat_client.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"mmdbench\[api\]"):
        asked("gpt-4.1")


def test_a_base_url_never_gets_the_key_of_the_card(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-account")
    monkeypatch.delenv("MMDBENCH_API_KEY")
    with serving(lambda _: "A") as server:
        if importlib.util.find_spec("openai"):
            asked(f"openai:j@{server.url}")
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

    def __init__(self, reply=lambda call: "A"):
        self.reply, self.calls = reply, []

    def ask(self, call):
        self.calls.append(call)
        made = self.reply(call)
        return made if isinstance(made, JudgeReply) else JudgeReply(made)


def grader(bench, replies, **options):
    return lambda judge: score(bench, replies, judge=judge, heads=OWN_HEADS, **options)


@pytest.mark.parametrize("family", ["plain", "circular", "mmvet"])
@pytest.mark.parametrize("on_unresolved", ["miss", "random"])
def test_asking_ahead_changes_no_grade_and_no_call(family, on_unresolved, tmp_path):
    bench, replies = unclear(30, family)

    def reply(call):
        texts = ("A", "B", "no idea", "0.5", "Failed to obtain answer via API", JudgeReply("down", "error"))
        return texts[(call.index * 7 + call.attempt * 5) % len(texts)]

    results = []
    for workers in (1, 4):
        judge, journal = Scripted(reply), JsonlJournal(tmp_path / f"{workers}.jsonl")
        grade = grader(bench, replies, on_unresolved=on_unresolved)
        if workers == 1:  # as the rows come
            made = grade(JournalledJudge(judge, journal))
        else:
            made = grade_with_judge(grade, judge, journal, workers=workers)
        results.append((made, sorted((call.index, call.attempt) for call in judge.calls)))
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
    judge = Scripted(lambda call: "A" if call.index == 1 else "B")
    made = grade_with_judge(grader(bench, dict.fromkeys((1, 1_000_001, 2_000_001), "hm")), judge)
    # Equal questions and replies have one digest: what is asked of the first is known of the others.
    assert made.group_hits == {1: 1}
    bench = Bench(
        tuple(Question("toy", i, {**fields, "question": f"{i}"}) for i in (1, 1_000_001, 2_000_001)),
        "circular",
    )
    judge = Scripted(lambda call: "A" if call.index == 1 else "B")
    made = grade_with_judge(grader(bench, dict.fromkeys((1, 1_000_001, 2_000_001), "hm")), judge)
    assert made.group_hits == {1: 0}
    assert [call.index for call in judge.calls] == [1, 1_000_001]


def test_what_the_journal_holds_is_not_asked_and_every_reply_is_written_when_it_comes(tmp_path):
    bench, replies = unclear(20)
    numbers = count(1)

    def until_ten(call):
        if next(numbers) > 10:
            raise ModelError("the line is cut")
        return "B"

    journal = tmp_path / "judge.jsonl"
    with pytest.raises(ModelError):
        grade_with_judge(grader(bench, replies), Scripted(until_ten), JsonlJournal(journal), workers=2)
    kept = len(journal.read_text().splitlines())
    assert 8 <= kept <= 10
    judge = Scripted(lambda call: "B")
    made = grade_with_judge(grader(bench, replies), judge, JsonlJournal(journal))
    assert len(judge.calls) == 20 - kept
    assert made.counts["judged"] == 20
    judge = Scripted()
    assert grade_with_judge(grader(bench, replies), judge, JsonlJournal(journal)) == made
    assert judge.calls == []


def test_replies_in_flight_are_kept_when_another_call_fails(tmp_path):
    bench, replies = unclear(4)
    all_under_way, failed = threading.Barrier(4), threading.Event()

    def reply(call):
        all_under_way.wait(30)
        if call.index == 0:
            failed.set()
            raise ModelError("the line is cut")
        failed.wait(30)
        time.sleep(0.2)  # comes back while the failure is on its way out
        return "B"

    journal = tmp_path / "judge.jsonl"
    with pytest.raises(ModelError):
        grade_with_judge(grader(bench, replies), Scripted(reply), JsonlJournal(journal), workers=4)
    assert sorted(json.loads(line)["index"] for line in journal.read_text().splitlines()) == [1, 2, 3]


@needs_openai
def test_several_questions_are_in_flight_at_once():
    bench, replies = unclear(24)
    with serving(lambda _: time.sleep(0.02) or "A") as server, at(server) as judge:
        made = grade_with_judge(grader(bench, replies), judge, workers=4)
    assert made.headline == 100
    assert 2 <= server.most <= 4
    assert len(server.bodies) == 24


def test_a_judge_that_never_answers_is_an_error():
    bench, replies = unclear(5)
    with pytest.raises(ModelError, match="answered none of 5 rows"):
        grade_with_judge(grader(bench, replies), Scripted(lambda _: JudgeReply("down", "error")))


# a journal that an earlier version wrote

STORED = Path(__file__).parents[1] / "data" / "judge"
TEXTS = ("hm", "不知道 é", "who \ufffd said")


class Stored:
    """The judge of the stored journal: its replies follow from the prompt and the attempt."""

    id = "old-judge@local"
    texts = (
        "no idea",
        "B",
        "A",
        "0.5",
        "Failed to obtain answer via API.",
        JudgeReply("down", "error"),
        "1",
    )

    def ask(self, call):
        if call.protocol == "traces/2":
            return JudgeReply("<think>grainy</think><answer>A</answer>" if call.attempt == 2 else "?")
        number = zlib.crc32(f"{call.prompt}{call.attempt}".encode("utf-8", "replace"))
        text = self.texts[number % len(self.texts)]
        return text if isinstance(text, JudgeReply) else JudgeReply(text)


class Silent:
    """The same judge, which can answer again only the calls that failed."""

    id = Stored.id

    def ask(self, call):
        reply = Stored().ask(call)
        assert reply.status == "error" or "Failed to obtain" in reply.text, call
        return reply


def stored_bench(family):
    fields = {"A": "cat", "B": "dog", "answer": "A", "category": "ocr"}
    if family == "mmvet":
        fields = {"answer": "stop<OR>halt", "category": "ocr"}
    indices = (1, 1_000_001, 2_000_001) if family == "circular" else (0, 1, 2)
    texts = ("What is it?", "这是什么?", "How many?")
    name = f"toy-{family}"
    questions = (Question(name, i, {**fields, "question": t}) for i, t in zip(indices, texts, strict=True))
    return Bench(tuple(questions), family, name)


def everything(judge, journal):
    """All that a judge is asked for: scores under two protocols, a reward, a trace."""
    journalled = JournalledJudge(judge, journal)
    found = {}
    for family in ("plain", "circular", "mmvet"):
        bench = stored_bench(family)
        replies = dict(zip([q.index for q in bench.questions], TEXTS, strict=True))
        for protocol in ("clear/1", "vlmevalkit/1"):
            made = score(bench, replies, judge=journalled, heads=OWN_HEADS, protocol=protocol)
            found[f"{family} {protocol}"] = [
                [g.index, g.verdict, g.hit, g.label, g.stage] for g in made.grades
            ]
    found["rewards"] = accuracy_reward(
        judge, "<answer>a</answer>", Solution("t", bench="toy", index=7), journal=journal
    )
    asked = AskedQuestion(Cell("toy-plain", 0, "hard", "graffiti"), "What is it?", "A", {"A": "a", "B": "b"})
    pair = PicturePair(ImageBytes(b"clean", "image/png"), ImageBytes(b"degraded", "image/png"))
    trace = write_trace(journalled, asked, "direct", pair)
    found["traces"] = [[trace.attempts, trace.status]]
    return found


def test_the_journal_is_written_byte_for_byte_as_before_but_for_the_checks(tmp_path):
    path = tmp_path / "judge.jsonl"
    assert everything(Stored(), JsonlJournal(path)) == json.loads((STORED / "scores.json").read_text())
    lines = path.read_text().splitlines(keepends=True)
    assert (
        "".join(re.sub(',"check":"[0-9a-f]{8}"}$', "}", line) for line in lines)
        == (STORED / "judge.jsonl").read_text()
    )


def test_a_journal_of_an_earlier_version_answers_every_call(tmp_path):
    path = Path(shutil.copy(STORED / "judge.jsonl", tmp_path))
    assert everything(Silent(), JsonlJournal(path)) == json.loads((STORED / "scores.json").read_text())
