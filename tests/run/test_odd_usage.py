"""Numbers of tokens that cannot be any: no answer is lost, no run ends, no cost is below zero."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from mmdbench.adapters._openai_api.response import outcome_of
from typer.testing import CliRunner

from api_runs import run
from batch_endpoint import BatchEndpoint
from faulty_server import FaultyServer, completion
from mmdbench.cli import app
from mmdbench.models import open_model
from mmdbench.models.cards import ModelCard
from mmdbench.models.prices import Price
from mmdbench.models.tokens import CostEstimate, checked_usage
from mmdbench.records import NO_USAGE, Outcome
from mmdbench.results.judging.open import open_judge
from mmdbench.run.budget import Budget
from mmdbench.run.replies import readable_outcome
from mmdbench.run.store import read_replies
from mmdbench.scoring import JudgeCall
from optional_packages import needs
from pictures import write_many
from recording_model import Recorder, toy_run

NAN = float("nan")
HUGE = "9" * 5000
PRICE = Price(1.0, 2.0, "2025-01-01")
ODD = [
    '{"prompt_tokens": -5, "completion_tokens": 7}',
    '{"prompt_tokens": 5, "completion_tokens": -7}',
    '{"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": -12}',
    '{"prompt_tokens": 1' + "0" * 400 + "}",
    '{"prompt_tokens": 5, "completion_tokens": ' + HUGE + "}",
    '{"prompt_tokens": 5, "total_tokens": 1e400}',
    '{"prompt_tokens": NaN, "completion_tokens": Infinity}',
    '{"prompt_tokens": "many", "completion_tokens": "7"}',
    '{"prompt_tokens": [5], "completion_tokens": {"n": 7}}',
    '{"prompt_tokens": true, "completion_tokens": 7}',
    '{"prompt_tokens": 11000000}',
    '{"completion_tokens": {}}',
    "[5, 7]",
    '"free"',
    "7",
    "false",
    HUGE,
    "[" * 200 + "]" * 200,
]  # fmt: skip
# The counts that are paid for are good.
PARTLY = [
    '{"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": -1}}',
    '{"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": [3]}',
    '{"prompt_tokens": 5, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": "x"}}',
]
GOOD = [
    ("null", None),
    ("{}", None),
    ('{"prompt_tokens": 5.0, "completion_tokens": 7}', {"prompt": 5, "completion": 7}),
    ('{"prompt_tokens": 5, "completion_tokens": null}', {"prompt": 5, "completion": 0}),
    (
        '{"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}',
        {"prompt": 5, "completion": 0, "cached": 5},
    ),
]


def answer(usage, text="B"):
    """The body of an answer with this JSON as its usage."""
    return json.dumps({**completion(text), "usage": "HERE"}).replace('"HERE"', usage).encode()


@pytest.mark.parametrize("usage", ODD)
def test_it_is_kept_as_text_and_counts_as_nothing(usage):
    outcome = outcome_of("application/json", answer(usage))
    assert (outcome.status, outcome.text) == ("ok", "B")
    assert "usage" not in outcome.details
    assert 0 < len(outcome.details[NO_USAGE]) <= 200
    json.dumps(outcome.details)


@pytest.mark.parametrize("usage", PARTLY)
def test_a_detail_that_is_none_leaves_the_counts_that_are_paid_for(usage):
    details = outcome_of("application/json", answer(usage)).details
    assert details["usage"] == {"prompt": 5, "completion": 7}
    assert details[NO_USAGE].startswith("{")


@pytest.mark.parametrize(("usage", "counted"), GOOD)
def test_what_is_understood_is_not_marked(usage, counted):
    details = outcome_of("application/json", answer(usage)).details
    assert (details.get("usage"), NO_USAGE in details) == (counted, False)


@needs("aiohttp")
def test_a_run_stores_and_counts_every_answer(tmp_path):
    path = write_many(tmp_path / "many.tsv", len(ODD) + 1)

    def behave(call):
        usual = call.name == len(ODD)
        return "ok" if usual else (200, answer(ODD[call.name]), {})

    with FaultyServer(behave) as server:
        card = ModelCard("toy", "openai", model="toy-1", endpoint=server.url, price=PRICE)
        summary = run(path, tmp_path / "run", card, budget=Budget(usd=100.0))
        assert len(server.calls) == len(ODD) + 1
    replies = read_replies(tmp_path / "run").values()
    assert {reply.status for reply in replies} == {"ok"}
    assert len(replies) == len(ODD) + 1
    assert sum(NO_USAGE in reply.details for reply in replies) == summary.uncounted == len(ODD)
    assert summary.tokens == (100, 7)
    assert all(reply.details.get("cost_usd", 0) >= 0 for reply in replies)
    assert 0 < summary.usd < 0.1  # estimated


@needs("aiohttp")
def test_eval_and_report_say_how_many_there_are(tmp_path):
    path = write_many(tmp_path / "many.tsv", 3)
    with FaultyServer(lambda call: (200, answer(ODD[0]), {}) if call.name else "ok") as server:
        words = ["eval", "--model", f"openai:toy-1@{server.url}", "--bench", path, "--level", "clean"]
        shown = CliRunner().invoke(app, [str(w) for w in [*words, "-o", tmp_path / "run", "--no-canary"]])
    assert shown.exit_code == 0, shown.output
    assert "2 replies came with numbers of tokens that cannot be any; their cost is estimated" in shown.output
    again = CliRunner().invoke(app, ["report", str(tmp_path / "run")])
    said = " ".join((again.output + (tmp_path / "run" / "report.md").read_text()).split())
    assert "2 replies came with numbers of tokens that cannot be any: they count in no sum" in said


@needs("openai")
def test_rows_and_counts_of_a_batch_may_be_odd():
    lines = [
        b'{"custom_id": "k%d", "response": {"status_code": 200, "body": %s}}' % (n, answer(usage))
        for n, usage in enumerate(ODD)
    ]
    lines += [b'{"custom_id": "no", "response": {"status_code": 1e400}}', b"[" * 100_000, b"\xff"]

    class Odd(BatchEndpoint):
        def respond(self, method, path, body, complete):
            if "/files/" in path:
                return 200, b"\n".join(lines)
            counts = {"total": "many", "completed": -1, "failed": 10**400}
            return 200, {"id": "b", "status": "completed", "output_file_id": "f", "request_counts": counts}

    async def look(server):
        batches = open_model(ModelCard("toy", "openai", model="m", endpoint=server.url)).batches()
        try:
            state = await batches.state("b")
            return state, await batches.rows(state)
        finally:
            await batches.aclose()

    with FaultyServer(batches=Odd()) as server:
        state, rows = asyncio.run(look(server))
    assert (state.total, state.completed, state.failed) == (0, 0, 0)
    assert [row.key for row in rows] == [f"k{n}" for n in range(len(ODD))]
    assert all(row.result.text == "B" and NO_USAGE in row.result.details for row in rows)


@pytest.mark.parametrize("usage", [{"prompt": -5}, {"prompt": 10**5000}, {"cached": "x"}, [1], "x", 7])
def test_any_adapter_may_count_wrongly(tmp_path, usage):
    class Odd(Recorder):
        def generate(self, requests):
            return [replace(outcome, details={"usage": usage}) for outcome in super().generate(requests)]

    _, summary = toy_run(write_many(tmp_path / "many.tsv", 2), tmp_path / "run", Odd(), levels=("clean",))
    assert (summary.asked, summary.failed, summary.uncounted) == (2, 0, 2)
    assert all(NO_USAGE in reply.details for reply in read_replies(tmp_path / "run").values())


def test_numbers_of_other_kinds_stay_with_the_counts():
    details = {"usage": {"prompt": 5, "tier": "flex", "seconds": 0.5}}
    assert checked_usage(details) == details
    assert readable_outcome(Outcome("B", details=details)).details == details


@pytest.mark.parametrize("usage", [{"prompt": -5}, {"prompt": 10**400}, {"prompt": 5, "completion": NAN}])
def test_an_estimate_does_not_follow_it(usage):
    estimate = CostEstimate(ModelCard("toy", "toy", price=PRICE))
    estimate.update({"prompt": 100, "completion": 10})
    before = estimate.expect("q", ())
    assert estimate.update(usage) == (110.0, None)
    assert estimate.expect("q", ()) == before


@needs("aiohttp")
def test_a_judge_may_count_wrongly(monkeypatch):
    monkeypatch.setenv("MMDBENCH_API_KEY", "none")
    with FaultyServer(lambda call: (200, answer(ODD[4], "A"), {})) as server:
        judge = open_judge(f"openai:toy-1@{server.url}")
        judge.ask(JudgeCall("toy", 1, "p", "p/1", "Question 1?", 1, 0.0, 8))
        used = judge.usage()
        judge.close()
    assert used["tokens"] == {"read": 0, "written": 0}
    assert used["cost_usd"] >= 0
