"""Several processes ask one endpoint: the same replies, also if one is killed, and no process left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from faulty_server import FaultyServer, true_answer
from helper_processes import card_for, ready_helpers, request, until_helpers_ask
from mmdbench.benches import open_bench
from mmdbench.models import open_model
from mmdbench.models.cards import ModelCard
from mmdbench.models.failures import AttemptError
from mmdbench.records import RunPlan
from mmdbench.run.inputs import RunInputs, RunSettings
from mmdbench.run.runner import run_plan
from mmdbench.run.store import read_replies
from optional_packages import needs
from pictures import write_many

pytestmark = [
    needs("openai"),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc"),
]

CHILD = "mmdbench.adapters._openai_api.client_pool"


def helpers_of(process):
    """The ids of the asking processes that a process started and that run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
            command = (status.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(parent) == process and state != "Z" and CHILD in command:
            found.append(int(status.parent.name))
    return found


def commands_of(processes):
    return [Path(f"/proc/{pid}/cmdline").read_text() for pid in processes]


def run(path, folder, card, watch=lambda _: None, model=None):
    plan = RunPlan(model=card.name, benches=(str(path),), levels=("clean",))
    settings = RunSettings(canary=False)
    return run_plan(
        RunInputs(plan, [open_bench(path)], model or open_model(card), card, folder, settings), watch
    )


def texts(folder):
    return {key: (reply.status, reply.text, reply.details) for key, reply in read_replies(folder).items()}


def test_helpers_give_the_same_replies_and_end_with_the_run(tmp_path):
    path, seen = write_many(tmp_path / "many.tsv", 500), []
    with FaultyServer(seconds=0.05) as server:
        run(path, tmp_path / "one", card_for(server.url, processes=1))
        card = card_for(server.url, processes=2, concurrency=8)
        model = open_model(card)
        summary = run(
            path,
            tmp_path / "two",
            card,
            lambda _: seen.append(sum(bool(helper.waiting) for helper in ready_helpers(model))),
            model,
        )
        asked = Counter(call.name for call in server.calls)
    assert max(seen) == 2
    assert summary.failed == 0
    assert set(asked.values()) == {2}
    assert texts(tmp_path / "one") == texts(tmp_path / "two")
    assert helpers_of(os.getpid()) == []


def test_no_request_is_lost_with_a_killed_helper(tmp_path):
    killed, busy = [], Counter()
    with FaultyServer(seconds=0.05) as server:
        card = card_for(server.url, processes=2, concurrency=16)
        model = open_model(card)

        def watch(progress):
            full = [helper for helper in ready_helpers(model) if len(helper.waiting) > 3]
            busy.update(helper.pid for helper in full)
            # A helper that has only begun may have sent nothing yet.
            full = [helper for helper in full if busy[helper.pid] > 60]
            if full and len(killed) < 2 and progress.done % 20 == 0:
                killed.append(len(full[0].waiting))
                os.kill(full[0].pid, signal.SIGKILL)

        summary = run(write_many(tmp_path / "many.tsv", 1200), tmp_path / "run", card, watch, model)
        answers = {call.name: true_answer(call.prompt, call.images) for call in server.calls}
        twice = sum(count - 1 for count in Counter(call.name for call in server.calls).values())
    assert len(killed) == 2  # after the second one this process sends the rest
    assert (summary.asked, summary.failed) == (1200, 0)
    replies = read_replies(tmp_path / "run").values()
    assert {reply.index: reply.text for reply in replies} == answers
    assert 0 < twice <= sum(killed) + 16  # only what a killed helper held was sent again
    assert helpers_of(os.getpid()) == []


def test_a_cancelled_request_is_given_up():
    with FaultyServer() as server:
        # One connection for each helper: a request that continues would keep the next one waiting.
        model = open_model(card_for(server.url, processes=2, concurrency=1, timeout=60.0))

        async def give_up():
            try:
                await until_helpers_ask(model, 2)
                server.seconds = 20.0
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(model.agenerate(request()), 0.5)
                server.seconds = 0.0
                began = time.monotonic()
                for _ in range(4):
                    await model.agenerate(request())
                return time.monotonic() - began
            finally:
                await model.aclose()

        assert asyncio.run(give_up()) < 10


@pytest.mark.filterwarnings("ignore")  # what the first loop left open is never closed
def test_a_model_may_be_asked_from_one_event_loop_after_the_other():
    with FaultyServer() as server:
        model = open_model(card_for(server.url, processes=2))

        async def spread():
            await until_helpers_ask(model, 2)

        asyncio.run(spread())
        before = set(helpers_of(os.getpid()))
        asyncio.run(spread())
        after = set(helpers_of(os.getpid()))
        asyncio.run(model.aclose())
    gc.collect()
    assert len(before) == len(after) == 2
    assert before.isdisjoint(after)
    assert helpers_of(os.getpid()) == []


def test_processes_that_do_not_start_are_reported_and_done_without(tmp_path, monkeypatch, caplog):
    from mmdbench.adapters._openai_api import client_pool

    monkeypatch.setattr(client_pool, "child_command", lambda _: [sys.executable, "-c", "raise SystemExit(3)"])
    with FaultyServer(seconds=0.01) as server:
        summary = run(
            write_many(tmp_path / "many.tsv", 300), tmp_path / "run", card_for(server.url, processes=2)
        )
    assert (summary.asked, summary.failed) == (300, 0)
    assert "2 of 2 processes to ask http://127.0.0.1" in caplog.text
    assert "processes=1" in caplog.text


def test_a_failure_is_the_same_from_a_helper(monkeypatch):
    monkeypatch.setenv("TOY_KEY", "sk-never-show-this")
    state = {"trouble": "ok"}
    with FaultyServer(lambda call: state["trouble"]) as server:
        card = ModelCard(
            "toy", "openai", model="toy-1", endpoint=server.url, key_env="TOY_KEY", options={"processes": 2}
        )
        model = open_model(card)

        async def ask():
            errors = []
            try:
                await until_helpers_ask(model, 2)
                commands = commands_of(helpers_of(os.getpid()))
                for state["trouble"] in ("429 after", "500", "filter"):
                    with pytest.raises(AttemptError) as caught:
                        await model.agenerate(request())
                    errors.append(caught.value)
                assert len(ready_helpers(model)) == 2
            finally:
                await model.aclose()
            return errors, commands

        errors, commands = asyncio.run(ask())
        keys = {call.headers.get("authorization") for call in server.calls}
    expected = [("rate_limited", 0.1), ("server_error", None), ("content_filter", None)]
    assert [(error.kind, error.retry_after) for error in errors] == expected
    assert keys == {"bearer sk-never-show-this"}  # the server lowers all headers
    assert "never-show" not in str(commands) + str(errors)
    assert len(commands) == 2


def test_helpers_are_started_only_where_one_thread_is_not_enough(tmp_path, monkeypatch):
    from mmdbench.adapters._openai_api import client_pool

    seen = []

    def watch(progress):
        if progress.done % 50 == 0:
            seen.append(len(helpers_of(os.getpid())))

    path = write_many(tmp_path / "many.tsv", 300)
    with FaultyServer(seconds=0.3) as server:  # 32 in 0.3 s: the thread mostly waits
        run(path, tmp_path / "idle", card_for(server.url), watch)
    assert set(seen) == {0}
    # Private: the server shares this process's cores and its lock, so the usual bounds are out of reach.
    monkeypatch.setattr(client_pool, "_LEAST_SECONDS", 0.05)
    monkeypatch.setattr(client_pool, "_BUSY", 0.3)
    with FaultyServer() as server:
        summary = run(write_many(tmp_path / "many.tsv", 2000), tmp_path / "busy", card_for(server.url), watch)
    assert max(seen) == client_pool.useful_helpers(32, os.cpu_count() or 1)
    assert summary.failed == 0


def test_closing_does_not_wait_for_helpers_that_are_still_starting():
    with FaultyServer() as server:
        model = open_model(card_for(server.url, processes=3))

        async def ask_once():
            await model.agenerate(request())
            await asyncio.sleep(0.3)  # they import the client, which takes longer
            starting = helpers_of(os.getpid())
            began = time.monotonic()
            await model.aclose()
            return starting, time.monotonic() - began

        starting, seconds = asyncio.run(ask_once())
    assert len(starting) == 3
    assert seconds < 2.0
    assert helpers_of(os.getpid()) == []


def test_the_number_of_useful_helpers():
    from mmdbench.adapters._openai_api.client_pool import useful_helpers

    assert [useful_helpers(64, cores) for cores in (1, 2, 3, 64)] == [0, 2, 3, 4]
    assert useful_helpers(8, 64) == 0


@pytest.mark.parametrize(("share", "full"), [(0.95, True), (0.5, False)])
def test_a_thread_is_busy_by_its_processor_time(monkeypatch, share, full):
    from mmdbench.adapters._openai_api import client_pool

    clock = {"now": 0.0}
    monkeypatch.setattr(client_pool.time, "perf_counter", lambda: clock["now"])
    monkeypatch.setattr(client_pool.time, "thread_time", lambda: share * clock["now"])
    load, said = client_pool._ThreadLoad(), []  # noqa: SLF001 - the load of a real thread depends on the machine
    for _ in range(1000):
        clock["now"] += 0.001
        said.append(load.is_full())
    assert any(said) is full
    assert not any(said[:127])


PARENT = """
import asyncio, sys
from mmdbench.models.cards import ModelCard
from mmdbench.models import open_model
sys.path.insert(0, sys.argv[2])
from helper_processes import card_for, until_helpers_ask

async def main():
    await until_helpers_ask(model, 2)
    print("spread", flush=True)
    await asyncio.sleep(60)

model = open_model(card_for(sys.argv[1], processes=2))
asyncio.run(main())
"""


def test_helpers_end_when_their_parent_is_killed():
    support = str(Path(__file__).parents[1] / "support")
    with FaultyServer() as server:
        command = [sys.executable, "-c", PARENT, server.url, support]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout.readline() == "spread\n"
            helpers = helpers_of(parent.pid)
            assert len(helpers) == 2
            parent.kill()
        ended = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in helpers) and time.monotonic() < ended:
            time.sleep(0.05)
        assert not any(Path(f"/proc/{pid}").exists() for pid in helpers)


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
def test_the_fast_client_sends_only_the_headers_that_it_must(monkeypatch, transport):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    with FaultyServer() as server:
        model = open_model(card_for(server.url, transport=transport))
        assert asyncio.run(_ask_and_close(model)).status == "ok"
        (call,) = server.calls
    assert "secret" not in str(call.headers)
    assert {"x-stainless-os", "x-stainless-arch", "x-stainless-runtime"}.isdisjoint(call.headers)
    assert call.headers["content-type"] == "application/json"
    assert call.headers["accept"] == "application/json"


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
def test_the_fast_client_follows_a_redirect_of_its_server(transport):
    moved = (308, {}, {"Location": "/v1/chat/completions"})
    with FaultyServer(lambda call: moved if "/old/" in call.path else "ok") as server:
        model = open_model(card_for(server.url.replace("/v1", "/old"), transport=transport))
        outcomes = [asyncio.run(_ask_and_close(model)) for _ in range(2)]
        call = server.calls[-1]
    assert {(o.status, o.text) for o in outcomes} == {("ok", true_answer(call.prompt, call.images))}


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
def test_a_redirect_that_never_ends_is_a_failure(transport):
    moved = (308, {}, {"Location": "/v1/chat/completions"})
    with (
        FaultyServer(lambda call: moved) as server,
        pytest.raises(AttemptError, match="HTTP 308: the server names another address"),
    ):
        asyncio.run(_ask_and_close(open_model(card_for(server.url, transport=transport))))
    assert len(server.calls) < 10


async def _ask_and_close(model):
    try:
        return await model.agenerate(request())
    finally:
        await model.aclose()
