"""Thousands of paid answers from a server that fails in every way: none lost, none asked twice."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest

from api_runs import run
from child_processes import Child, command_line, run_command
from faulty_server import ERRORS, FaultyServer, completion, true_answer
from mmdbench.benches import open_bench
from mmdbench.errors import LockedError, ModelError
from mmdbench.models import open_model
from mmdbench.models.cards import ModelCard, find_card
from mmdbench.models.prices import Price
from mmdbench.records import ImageBytes, Request, RunPlan
from mmdbench.run.budget import Budget
from mmdbench.run.inputs import RunInputs, RunSettings
from mmdbench.run.json_lines import read_records
from mmdbench.run.runner import run_plan
from mmdbench.run.store import read_replies
from optional_packages import needs
from pictures import write_many

pytestmark = needs("openai")

QUICK = {"backoff": 0.01, "timeout": 1.0, "attempts": 12, "concurrency": 32}
TROUBLES = ["429", "429 after", "500", "503", "slow", "drop", "reset", "malformed", "empty", "html"]


def card_for(server, **options):
    url = server if isinstance(server, str) else server.url
    return ModelCard("toy", "openai", model="toy-1", endpoint=url, options={**QUICK, **options})


@pytest.fixture
def many(tmp_path):
    """A function that writes a benchmark of small pictures."""
    return lambda rows: write_many(tmp_path / "many.tsv", rows)


@pytest.mark.slow
def test_a_thousand_answers_survive_every_fault(many, tmp_path):
    rng = random.Random(1)
    shared = {"slow": 0}

    def behave(call):
        if call.name % 100 == 7:
            return "filter"
        if rng.random() < 0.8:
            return "ok"
        trouble = rng.choice(TROUBLES)
        shared["slow"] += trouble == "slow"
        return "503" if trouble == "slow" and shared["slow"] > 12 else trouble

    with FaultyServer(behave, seconds=0.01) as server:
        away = []

        def behave_and_leave(call):
            if call.number == 400 and not away:
                away.append(1)
                server.go_away(0.3)
            return behave(call)

        server.behave = behave_and_leave
        summary = run(many(1000), tmp_path / "run", card_for(server))
        calls = server.calls
    assert (summary.cells, summary.asked, summary.failed, summary.stopped) == (1000, 1000, 0, "")
    seen = Counter(call.outcome for call in calls)
    assert set(TROUBLES) <= set(seen), seen
    assert away
    good = Counter(call.name for call in calls if call.outcome == "ok")
    refused = Counter(call.name for call in calls if call.outcome == "filter")
    assert set(refused) == {n for n in range(1000) if n % 100 == 7}
    assert set(refused.values()) == {1}  # never tried again
    # What broke while the server went away was sent but never arrived; nothing else was sent twice.
    assert sum(n - 1 for n in good.values()) <= 32
    assert set(good) == set(range(1000)) - set(refused)
    records = list(read_records(tmp_path / "run" / "replies-0.jsonl"))
    assert len(records) == len({r["key"] for r in records}) == 1000
    texts = {call.name: true_answer(call.prompt, call.images) for call in calls}
    for record in records:
        if record["index"] % 100 == 7:
            assert (record["status"], record["text"]) == ("refused", "")
            assert "content_filter" in json.dumps(record["details"])
        else:
            assert (record["status"], record["text"]) == ("ok", texts[record["index"]])
            assert record["details"]["usage"] == {"prompt": 100, "completion": 7}
            assert record["details"]["finish_reason"] == "stop"
    assert max(r["attempts"] for r in records) > 1
    assert summary.sent >= len(calls)


def test_no_request_is_repeated_after_success(many, tmp_path):
    rng = random.Random(2)
    pick = ["ok"] * 12 + ["429", "500", "503", "drop", "reset", "malformed", "empty", "html"]
    with FaultyServer(lambda call: rng.choice(pick)) as server:
        summary = run(many(120), tmp_path / "run", card_for(server))
        outcomes = [(call.name, call.outcome) for call in server.calls]
    assert summary.failed == 0
    assert Counter(name for name, done in outcomes if done == "ok") == Counter(range(120))
    last = dict(outcomes)
    assert set(last.values()) == {"ok"}


class Gathering(FaultyServer):
    """Holds all answers until `wanted` requests are there at once, or it has waited long enough."""

    def __init__(self, wanted):
        super().__init__()
        self.wanted, self.all_here = wanted, asyncio.Event()

    async def _act(self, done, call, writer):
        if self.peak >= self.wanted:
            self.all_here.set()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.all_here.wait(), 20)
        return await super()._act(done, call, writer)


def test_as_many_connections_as_are_asked_for_and_no_more():
    request = Request("k", "Question 1?", "Question 1?", {}, (ImageBytes(b"x", "image/png"),), 0, {})

    async def ask(model, count):
        try:
            return await asyncio.gather(*(model.agenerate(request) for _ in range(count)))
        finally:
            await model.aclose()

    with FaultyServer() as server:
        asyncio.run(ask(open_model(card_for(server)), 1))
        assert not [name for name in server.calls[0].headers if "stainless-os" in name or "arch" in name]
    # More than the hundred at which HTTP clients stop by themselves, without a word.
    for concurrency, count in ((140, 140), (5, 12)):
        with Gathering(concurrency) as server:
            card = card_for(server, concurrency=concurrency, timeout=60.0)
            outcomes = asyncio.run(ask(open_model(card), count))
        assert [outcome.status for outcome in outcomes] == ["ok"] * count
        assert server.peak == concurrency


def test_the_throttle_settles_at_the_servers_limit(many, tmp_path):
    with FaultyServer(seconds=0.12, limit=12) as server:
        summary = run(many(400), tmp_path / "run", card_for(server, concurrency=64))
        too_many = server.outcomes["429"]
    assert summary.failed == 0
    times = [seconds for seconds, _, _ in summary.throttle["trace"]]
    assert 0 <= times[0] <= times[-1] <= summary.seconds
    assert times == sorted(times)
    trace = summary.throttle["trace"]
    cuts = [number for number, (_, _, why) in enumerate(trace) if why != "success"]
    later = [limit for _, limit, _ in trace[cuts[4] :]]
    assert len(later) > 12
    # Where this process is slow, the server sees fewer requests at once than the limit allows.
    assert max(later) <= 15
    assert min(later) >= 6
    assert 8 <= sum(later) / len(later) <= 13
    assert too_many < 60  # of 400: it does not keep trying


def test_the_plan_is_not_searched_for_garbage_while_it_is_asked(many, tmp_path):
    frozen = []

    def behave(_):
        frozen.append(gc.get_freeze_count())
        return "ok"

    before = gc.get_freeze_count()
    with FaultyServer(behave) as server:
        run(many(3), tmp_path / "run", card_for(server))
    assert min(frozen) > before + 10_000
    assert gc.get_freeze_count() <= before


def test_retry_after_is_honoured_by_everybody(many, tmp_path):
    told = []

    def behave(call):
        if call.number == 20:
            told.append(call.at)
            return "429 after"
        return "ok"

    with FaultyServer(behave, seconds=0.002) as server:
        run(many(60), tmp_path / "run", card_for(server, concurrency=4))
        after = [call.at - told[0] for call in server.calls if call.at > told[0]]
    assert len(after) >= 38
    assert sum(seconds < 0.095 for seconds in after) <= 3  # the others that were in flight


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("401", "wrong key"),
        ("404", "no such model"),
        ("quota", "no money"),
    ],
)
def test_a_permanent_failure_stops_the_run(many, tmp_path, trouble, message):
    with FaultyServer(lambda call: trouble if call.number >= 20 else "ok") as server:
        with pytest.raises(ModelError, match=message):
            run(many(120), tmp_path / "run", card_for(server, served_by="lab"))
        assert len(server.calls) < 90
    replies = read_replies(tmp_path / "run").values()
    assert Counter(r.status for r in replies) == {"ok": 20}
    with FaultyServer() as server:
        summary = run(many(120), tmp_path / "run", card_for(server, served_by="lab"))
        assert (summary.earlier, len(server.calls)) == (20, 100)


def test_a_bad_request_costs_one_answer_and_is_asked_again_next_time(many, tmp_path):
    with FaultyServer(lambda call: "400" if call.name == 3 else "ok") as server:
        summary = run(many(10), tmp_path / "run", card_for(server))
        assert (summary.failed, len(server.calls)) == (1, 10)
        (bad,) = [r for r in read_replies(tmp_path / "run").values() if r.status == "error"]
        assert (bad.text, bad.attempts, bad.reason) == ("", 1, "HTTP 400: cannot read the picture")
        kept = run(many(10), tmp_path / "run", card_for(server), retry_errors=False)
        assert (kept.asked, len(server.calls)) == (0, 10)
        server.behave = lambda call: "ok"
        run(many(10), tmp_path / "run", card_for(server))
        assert len(server.calls) == 11
    assert {r.status for r in read_replies(tmp_path / "run").values()} == {"ok"}


def test_nothing_listens_there(many, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ModelError, match=r"failed at \d+ requests in a row"):
            run(many(40), tmp_path / "run", card_for(url, attempts=2, concurrency=4))


def test_a_connection_that_cannot_be_trusted_stops_at_once(many, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("makes its certificate with openssl, which is not installed")
    pem = tmp_path / "server.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    made += ["-subj", "/CN=localhost", "-keyout"]
    subprocess.run([*made, str(pem), "-out", str(tmp_path / "c.pem")], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", pem)
    with FaultyServer(tls=context) as server, pytest.raises(ModelError, match="cannot be trusted"):
        run(many(5), tmp_path / "run", card_for(server))
    assert server.calls == []


@pytest.mark.parametrize(
    ("budget", "most"), [(Budget(requests=30), 30), (Budget(usd=0.0031), 31), (Budget(minutes=0.005), 199)]
)
def test_budgets_stop_cleanly_and_the_next_run_resumes(many, tmp_path, budget, most):
    with FaultyServer(seconds=0.03) as server:
        card = replace(card_for(server, concurrency=8), price=Price(1.0, 0.0, "2025-01-01"))
        summary = run(many(200), tmp_path / "run", card, budget=budget)
        first = len(server.calls)
        assert summary.stopped.startswith("--max-")
        assert (0 if budget.minutes else 10) < first <= most  # its speed depends on the machine
        assert summary.asked == first == len(read_replies(tmp_path / "run"))
        assert summary.usd == pytest.approx(first * 1e-4)
        done = run(many(200), tmp_path / "run", card)
        assert (done.earlier, done.asked, done.stopped) == (first, 200 - first, "")
        assert len(server.calls) == 200
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert [s["asked"] for s in manifest["sessions"]] == [first, 200 - first]


def test_rates_are_capped(many, tmp_path):
    with FaultyServer() as server:
        started = time.monotonic()
        run(many(60), tmp_path / "a", card_for(server, rpm=1800))
        assert 0.8 < time.monotonic() - started < 3
        started = time.monotonic()
        run(many(60), tmp_path / "b", card_for(server, tpm=180_000))  # 107 tokens each
        assert 0.8 < time.monotonic() - started < 5


def test_the_servers_answer_becomes_a_status(many, tmp_path):
    odd = {
        1: completion("I can't", "content_filter"),
        2: completion("", "stop"),
        3: completion("The answer is", "length"),
        4: completion(None, "stop", refusal="No."),
        5: completion([{"type": "text", "text": "B"}]),
        6: {"error": {"code": 429, "message": "inside"}},
    }
    tries = Counter()

    def behave(call):
        tries[call.name] += 1
        return odd.get(call.name, "ok") if call.name != 6 or tries[6] == 1 else "ok"

    with FaultyServer(behave) as server:
        run(many(7), tmp_path / "run", card_for(server))
    found = {r.index: r for r in read_replies(tmp_path / "run").values()}
    statuses = ["ok", "refused", "empty", "truncated", "refused", "ok", "ok"]
    assert {i: r.status for i, r in found.items()} == dict(enumerate(statuses))
    assert (found[4].reason, found[5].text, found[3].text) == ("No.", "B", "The answer is")
    assert found[6].attempts == 2


def _words(path, folder, url):
    words = [
        "eval",
        "--model",
        f"openai:toy-1@{url}",
        "--bench",
        path,
        "-o",
        folder,
        "--quiet",
        "--no-canary",
    ]
    return [*words, "--corruption", "graffiti,dark_illumination", "--concurrency", "4"]


@pytest.mark.slow
def test_twenty_kills_change_nothing_in_the_tables(many, tmp_path):
    path = many(30)
    rng = random.Random(4)
    with FaultyServer(seconds=0.04) as server:
        run_command(*_words(path, tmp_path / "whole", server.url))
        for _ in range(20):
            # After so many requests, and at any point of the next one: never before the first.
            enough = len(server.calls) + rng.randint(1, 8)
            with Child(_words(path, tmp_path / "killed", server.url)) as process:
                process.wait_until(lambda: len(server.calls) >= enough)  # noqa: B023
                time.sleep(rng.uniform(0, 0.05))
                assert process.poll() is None
        kept = len(read_replies(tmp_path / "killed"))
        assert 20 < kept < 120
        run_command(*_words(path, tmp_path / "killed", server.url))
    for name in ("tables.json", "report.md", "grades.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    keys = [r["key"] for r in read_records(tmp_path / "killed" / "replies-0.jsonl")]
    assert len(keys) == len(set(keys)) == 120


def test_ctrl_c_finishes_requests_in_flight(many, tmp_path):
    with FaultyServer(seconds=0.3) as server:
        words = _words(many(60), tmp_path / "run", server.url)
        with Child(words) as process:
            process.wait_until(lambda: server.outcomes["ok"] >= 6)
            process.send_signal(signal.SIGINT)
            assert process.wait() == 130, process.stderr
            again = f"Run the same command to resume: {shlex.join(['mmdbench', *map(str, words)])}\n"
            assert again in process.stderr
        assert len(read_replies(tmp_path / "run")) == server.outcomes["ok"] == len(server.calls)


def test_a_second_process_is_refused_while_one_asks(many, tmp_path):
    path = many(40)
    with (
        FaultyServer(seconds=0.2) as server,
        Child(_words(path, tmp_path / "run", server.url)) as process,
    ):
        process.wait_until(lambda: server.calls)
        before = len(server.calls)
        with pytest.raises(LockedError, match="Another process is running a model"):
            run(path, tmp_path / "run", find_card(f"openai:toy-1@{server.url}"))
        assert len(server.calls) <= before + 8


KEY = "sk-verysecret-0123456789abcdef"
OTHERS = {
    "OPENAI_API_KEY": "sk-of-openai-itself",
    "OPENAI_ORG_ID": "org-7",
    "OPENAI_PROJECT_ID": "proj-7",
}


def _with_debug_logs(key, *words):
    """The command line with the logs of all libraries."""
    os.environ.update(OTHERS, MY_KEY=key)
    logging.basicConfig(level=logging.DEBUG)
    command_line(*words)


@pytest.mark.parametrize("trouble", ["answers", "401", "newline"])
def test_no_key_is_ever_written_or_shown(many, tmp_path, monkeypatch, trouble):
    leaks = {
        "401": (401, {"error": {"message": f"Incorrect API key: {KEY}"}}, {}),
        "html": (502, f"<html>{KEY}</html>", {"Content-Type": "text/html"}),
    }

    def behave(call):
        if trouble == "newline":
            return "ok"
        assert call.headers["authorization"] == f"bearer {KEY}"
        if trouble == "401":
            return "401 leak"
        return {0: "html leak", 1: completion(f"B, your key is {KEY}")}.get(call.name, "ok")

    for name, answer in leaks.items():
        monkeypatch.setitem(ERRORS, f"{name} leak", answer)
    with FaultyServer(behave) as server:
        words = [*_words(many(4), tmp_path / "run", server.url), "--set", "key_env=MY_KEY"]
        words += ["--set", "attempts=2", "--set", "backoff=0.01"]
        key = KEY + ("\n" if trouble == "newline" else "")
        with Child([key, *words], _with_debug_logs, tmp_path) as done:
            done.wait()
        assert "DEBUG" in done.stderr
        shown = done.stdout + done.stderr
    assert server.calls
    assert not set(OTHERS.values()) & set(server.calls[0].headers.values())
    assert KEY not in shown
    assert "MY_KEY" not in done.stdout
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) > 3
    for file in written:
        assert KEY.encode() not in file.read_bytes(), file
    if trouble == "401":
        assert "[hidden]" in shown


def test_a_traceback_holds_no_key(many, tmp_path, monkeypatch):
    import traceback

    monkeypatch.setenv("MY_KEY", KEY)
    with FaultyServer(lambda call: "401") as server:
        card = replace(card_for(server), key_env="MY_KEY")
        model = open_model(card)
        plan = RunPlan(model="toy", benches=("many",), levels=("clean",))
        with pytest.raises(ModelError) as caught:
            run_plan(
                RunInputs(plan, [open_bench(many(3))], model, card, tmp_path / "r", RunSettings(canary=False))
            )
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert KEY not in shown
    assert KEY not in repr(model)
