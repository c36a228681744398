"""Ends of answers, refusals, forbidden questions and pauses of a server, from request to stored reply."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter

import pytest
from mmdbench.adapters._openai_api.response import outcome_of
from typer.testing import CliRunner

from api_runs import run
from faulty_server import FaultyServer, completion
from mmdbench.cli import app
from mmdbench.errors import ModelError
from mmdbench.models import open_model
from mmdbench.models.cards import ModelCard, find_card
from mmdbench.models.failures import AttemptError
from mmdbench.models.throttle import Throttle, ThrottleSettings
from mmdbench.records import Outcome, Request
from mmdbench.run.async_driver import AsyncDriver
from mmdbench.run.budget import Budget, Spending
from mmdbench.run.store import read_replies
from optional_packages import needs
from pictures import write_many

FORBIDDEN = (403, {"error": {"message": "Forbidden"}})
FLAGGED = (403, {"error": {"message": "Input flagged", "code": 403, "metadata": {"flagged_input": "…"}}})


def card_for(server, **options):
    quick = {"backoff": 0.01, "timeout": 5.0, "attempts": 3, "concurrency": 8}
    return ModelCard("toy", "openai", model="toy-1", endpoint=server.url, options={**quick, **options})


@pytest.fixture
def many(tmp_path):
    """A function that writes a benchmark of small pictures."""
    return lambda rows: write_many(tmp_path / "many.tsv", rows)


def read(body):
    return outcome_of("application/json", json.dumps(body).encode())


def ended(finish, text="B", **choice):
    body = completion(text, finish)
    body["choices"][0].update(choice)
    return body


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (ended("MAX_TOKENS"), "truncated"),
        (ended("model_length"), "truncated"),
        (ended("SAFETY"), "refused"),
        (ended("content_filter: PROHIBITED_CONTENT", ""), "refused"),
        (ended("stop", native_finish_reason="RECITATION"), "refused"),
        (ended("stop", native_finish_reason="STOP"), "ok"),
        (ended("stop", provider_specific_fields={"native_finish_reason": "ERROR_LIMIT"}), "truncated"),
        (ended("stop", provider_specific_fields=None), "ok"),
        (ended("foo"), "ok"),
        (ended("foo", ""), "empty"),
        (ended(None), "ok"),
        (ended("stop", error=None), "ok"),
        (ended("stop", error={"code": None, "message": ""}), "ok"),
        ({**ended("stop"), "error": None}, "ok"),
    ],
)
def test_the_end_of_an_answer_is_its_status(body, status):
    outcome = read(body)
    assert outcome.status == status
    assert outcome.details["finish_reason"] == (body["choices"][0]["finish_reason"] or "")


LATE = {"code": 502, "message": "Provider disconnected"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (ended("error", "I thi"), "interrupted"),
        (ended("error", "I thi", error=LATE), "overloaded"),
        (ended("stop", "I thi", error=LATE), "overloaded"),
        (ended("stop", "I thi", error={"code": 401, "message": "the provider's key"}), "interrupted"),
        (ended("stop", "I thi", error={"code": 400, "message": "odd"}), "interrupted"),
        (ended("error", "", error={"code": 403, "message": "flagged as violence"}), "content_filter"),
        (ended("stop", error="broken"), "server_error"),
        ({**ended("stop", "I thi"), "error": LATE}, "overloaded"),
        ({"choices": [], "error": LATE}, "overloaded"),
        ({"choices": None, "error": {"code": 429, "message": "slow"}}, "rate_limited"),
        ({"choices": []}, "empty_choices"),
        ({"choices": None}, "malformed"),
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}, "content_filter"),
        ({"candidates": [], "usageMetadata": {}}, "content_filter"),
        ({"code": "DataInspectionFailed", "message": "Output data may …"}, "content_filter"),
        ({"base_resp": {"status_code": 1008, "status_msg": "x"}, "choices": None}, "malformed"),
        (ended("insufficient_system_resource"), "overloaded"),
        (ended("stop", provider_specific_fields={"native_finish_reason": "network_error"}), "interrupted"),
        (ended("MALFORMED_FUNCTION_CALL", ""), "interrupted"),
    ],
)
def test_a_broken_off_answer_is_a_failure_and_never_an_answer(body, kind):
    with pytest.raises(AttemptError) as caught:
        read(body)
    assert caught.value.kind == kind


def test_counts_of_tokens_that_cannot_be_are_not_believed():
    def usage(**counts):
        return read({**completion("B"), "usage": counts}).details.get("usage")

    for count in (-1, 10**15, float("inf"), float("nan"), True, "many"):
        assert usage(prompt_tokens=count, completion_tokens=1) is None
        assert usage(prompt_tokens=9, completion_tokens=count) is None
    assert usage(prompt_tokens=None, completion_tokens=1) is None
    assert usage(prompt_tokens=9, completion_tokens=None) == {"prompt": 9, "completion": 0}
    cached = {"prompt_tokens_details": {"cached_tokens": 10**6}}
    assert usage(prompt_tokens=9, completion_tokens=1, **cached)["cached"] == 9


@needs("openai")
def test_broken_off_answers_are_asked_again_and_unknown_ends_are_shown(many, tmp_path):
    tries = Counter()

    def behave(call):
        tries[call.name] += 1
        if call.name == 1 and tries[1] == 1:
            return ended("error", "I thi", error=LATE)
        return {2: ended("abort", "half a"), 3: completion("B", "foo")}.get(call.name, "ok")

    with FaultyServer(behave) as server:
        summary = run(many(5), tmp_path / "run", card_for(server))
    found = {r.index: r for r in read_replies(tmp_path / "run").values()}
    assert [found[i].status for i in range(5)] == ["ok", "ok", "error", "ok", "ok"]
    assert (found[1].attempts, found[2].attempts, found[2].text, summary.failed) == (2, 3, "", 1)
    assert found[2].reason == "the server or its provider broke the answer off (finish reason abort)"
    shown = CliRunner().invoke(app, ["report", str(tmp_path / "run")])
    assert "mmdbench does not know: 'foo' 1." in " ".join(shown.output.split())


@needs("openai")
@pytest.mark.parametrize(("answer", "status"), [(FORBIDDEN, "error"), (FLAGGED, "refused")])
def test_a_403_for_one_picture_never_ends_the_run(many, tmp_path, answer, status):
    with FaultyServer(lambda call: (*answer, {}) if call.name in (0, 3) else "ok") as server:
        run(many(20), tmp_path / "run", card_for(server))
        assert len(server.calls) == 20
    statuses = Counter(r.status for r in read_replies(tmp_path / "run").values())
    assert statuses == {"ok": 18, status: 2}


@needs("openai")
def test_a_403_for_every_picture_ends_the_run_after_five(many, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_KEY", "k")
    with FaultyServer(lambda _: (*FORBIDDEN, {})) as server:
        card = ModelCard(**{**vars_of(card_for(server, concurrency=32)), "key_env": "TOY_KEY"})
        with pytest.raises(ModelError, match=r"5 requests in a row.*Forbidden.*TOY_KEY right"):
            run(many(60), tmp_path / "run", card)
        assert len(server.calls) < 12
        server.behave = lambda _: "ok"
        assert run(many(60), tmp_path / "run", card).failed == 0
    assert {r.status for r in read_replies(tmp_path / "run").values()} == {"ok"}


def vars_of(card):
    return {name: getattr(card, name) for name in card.__dataclass_fields__}


@needs("openai")
def test_403s_after_answers_end_the_run_once_they_are_as_many_as_are_sent_at_once(many, tmp_path):
    with FaultyServer(lambda call: "ok" if call.number < 10 else (*FORBIDDEN, {})) as server:
        with pytest.raises(ModelError, match="8 requests in a row"):
            run(many(60), tmp_path / "run", card_for(server))
        assert len(server.calls) < 40


@needs("openai")
def test_a_403_that_means_slow_down_is_a_limit(many, tmp_path):
    slow = (403, {"error": {"message": "Rate limit reached, slow down"}}, {"Retry-After": "0.01"})
    with FaultyServer(lambda call: slow if call.number in (3, 4) else "ok") as server:
        summary = run(many(10), tmp_path / "run", card_for(server))
    assert (summary.failed, summary.stopped) == (0, "")
    assert summary.throttle["cuts"] > 0


def pause(value, name="Retry-After"):
    return 429, {"error": {"message": "slow down"}}, {name: value}


@needs("openai")
@pytest.mark.parametrize(
    ("answer", "longest_wait", "words"),
    [
        (pause("86400"), 600, "24 h 00 min"),
        (pause("1e300"), 600, "more than a hundred years"),
        (pause("Thu, 31 Dec 9999 23:59:59 GMT"), 600, "more than a hundred years"),
        (pause("11m0s", "x-ratelimit-reset-tokens"), 600, "11 min"),
        (pause("45"), 30, "45 s"),
    ],
)
def test_a_pause_over_the_bound_stops_the_run_with_the_reason(many, tmp_path, answer, longest_wait, words):
    with FaultyServer(lambda call: answer if call.number >= 5 else "ok") as server:
        card = card_for(server, longest_wait=longest_wait)
        summary = run(many(30), tmp_path / "run", card)
        assert summary.stopped.startswith(f"the server of 'toy' asks to wait {words} (HTTP 429: slow down)")
        assert summary.stopped.endswith(f"{longest_wait} s that the option longest_wait allows")
        assert summary.asked == len(read_replies(tmp_path / "run")) == server.outcomes["ok"] == 5
        server.behave = lambda _: "ok"
        assert (run(many(30), tmp_path / "run", card).earlier, len(read_replies(tmp_path / "run"))) == (5, 30)


@needs("openai")
def test_a_run_that_is_stopped_by_a_pause_is_reported_and_incomplete(many, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with FaultyServer(lambda call: pause("86400") if call.number >= 5 else "ok") as server:
        asked = ["eval", "--model", f"openai:toy-1@{server.url}", "--bench", str(many(30)), "-o", "run"]
        done = CliRunner().invoke(app, [*asked, "--level", "clean", "--no-canary", "--quiet"])
    shown = " ".join(done.output.split())
    assert done.exit_code == 4
    assert "The run stopped: the server of" in shown
    assert "asks to wait 24 h 00 min" in shown
    assert (tmp_path / "run" / "report.md").exists()


@needs("openai")
def test_the_canary_names_a_pause_over_the_bound(many, tmp_path):
    with FaultyServer(lambda _: pause("86400")) as server, pytest.raises(ModelError, match="24 h 00 min"):
        run(many(5), tmp_path / "run", card_for(server), canary=True)


@needs("openai")
def test_a_pause_is_shown_while_the_run_waits(many, tmp_path):
    notes = []

    def watch(progress):
        if progress.note:
            notes.append(progress.note)
        if "asks to wait" in progress.note:
            signal.raise_signal(signal.SIGINT)  # a test does not wait

    waiting = FaultyServer(lambda call: pause("45") if call.number >= 5 else "ok")
    with waiting as server, pytest.raises(KeyboardInterrupt):
        run(many(30), tmp_path / "run", card_for(server), on_progress=watch)
    assert notes == ["the server of 'toy' asks to wait 45 s (HTTP 429: slow down)"]


class Limited:
    """A model whose server asks for the given pauses in turn, and then answers."""

    concurrency = 1

    def __init__(self, *pauses):
        self.pauses = list(pauses)

    def fingerprint(self):
        return {}

    async def agenerate(self, _request):
        await asyncio.sleep(0)  # the other requests start
        if self.pauses:
            raise AttemptError("rate_limited", "slow", self.pauses.pop(0))
        return Outcome("A")


@pytest.mark.parametrize(
    ("pauses", "said"),
    [
        ((0.001, float("nan"), -5.0), []),
        ((float("inf"),), ["more than a hundred years"]),
        ((45.0,), ["45 s"]),
    ],
)
def test_short_and_impossible_pauses_are_not_shown(pauses, said):
    notes = []
    request = Request("k", "?", "?", {}, (), 0, {})

    async def ask():
        spending = Spending(Budget())
        settings = ThrottleSettings(backoff=0.001)

        def notify(note):
            notes.append(note)
            spending.stop("a test does not wait")

        driver = AsyncDriver(
            Limited(*pauses), ModelCard("toy", "x"), spending, Throttle(settings), notify=notify
        )
        timed = await driver.ask(request)
        return timed, spending.reason

    timed, reason = asyncio.run(ask())
    assert (timed is None) == bool(said)
    assert all(words in f"{notes} {reason}" for words in said)
    assert len(notes) == ("45 s" in said)


def test_one_wait_is_shown_once_for_all_requests_that_meet_it():
    notes = []

    async def ask():
        model, throttle = Limited(*[45.0] * 6), Throttle(ThrottleSettings(start=4))
        driver = AsyncDriver(model, ModelCard("toy", "x"), Spending(Budget()), throttle, notify=notes.append)
        requests = [Request(str(n), "?", "?", {}, (), 0, {}) for n in range(4)]
        asking = [asyncio.create_task(driver.ask(request)) for request in requests]
        for _ in range(50):  # turns of the event loop
            await asyncio.sleep(0)
        driver.spending.stop("a test does not wait")
        await asyncio.gather(*asking)
        return model.pauses

    assert len(asyncio.run(ask())) == 2  # four requests met a pause
    assert len(notes) == 1


def test_the_longest_pause_is_an_option_of_a_card():
    card = find_card("openai:m@http://127.0.0.1:9/v1")
    assert open_model(card).throttle.longest_wait == 600
    own = ModelCard("toy", "openai", model="m", endpoint=card.endpoint, options={"longest_wait": 30})
    assert open_model(own).throttle.longest_wait == 30
    assert open_model(own).fingerprint() == open_model(card).fingerprint()
