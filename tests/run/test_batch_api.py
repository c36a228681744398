"""Runs through a batch endpoint: half the price, the same keys and replies, nothing paid for twice."""

from __future__ import annotations

import json
import signal
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from api_runs import run
from batch_endpoint import BatchEndpoint
from canary_reader import answering
from faulty_server import FaultyServer
from file_limits import limited
from mmdbench.cli import app
from mmdbench.errors import ModelError, StoreError, UsageError
from mmdbench.models.cards import ModelCard, shipped_cards
from mmdbench.models.prices import Price
from mmdbench.report.tables.replies import cost_table
from mmdbench.results.graded_run import load_results
from mmdbench.run.batch_journal import BatchJournal, SentBatch
from mmdbench.run.budget import Budget
from mmdbench.run.inputs import BatchSettings
from mmdbench.run.json_lines import read_records
from mmdbench.run.store import read_replies
from optional_packages import needs
from pictures import write_many

pytestmark = needs("openai")

QUICK = BatchSettings(first_pause=0.0, longest_pause=0.0)
PRICE = Price(1.0, 10.0, "2026-01-01", batch=0.5)


def card_for(server, **fields):
    options = {"backoff": 0.0, "timeout": 5.0, "attempts": 3}
    return ModelCard("toy", "openai", model="toy-1", endpoint=server.url, options=options, **fields)


@pytest.fixture
def six(tmp_path):
    return write_many(tmp_path / "six.tsv", 6)


def replies(folder):
    return {reply.index: reply for reply in read_replies(folder).values()}


def counted(folder):
    return Counter(r["key"] for path in folder.glob("replies-*.jsonl") for r in read_records(path))


def journal(folder):
    return list(read_records(folder / "batches.jsonl"))


def test_a_batch_gives_the_replies_of_a_live_run_at_its_price(six, tmp_path):
    notes = []
    with FaultyServer(batches=BatchEndpoint(looks=3)) as server:
        card = card_for(server, price=PRICE)
        live = run(six, tmp_path / "live", card, levels=("clean", "low"))
        calls = len(server.calls)
        summary = run(
            six,
            tmp_path / "batch",
            card,
            levels=("clean", "low"),
            on_progress=lambda p: notes.append(p.note),
            batch=QUICK,
        )
        assert len(server.calls) == calls  # nothing was asked live
        sent = [json.loads(line) for line in server.batches.files["file-0"].splitlines()]
    both = [read_replies(tmp_path / name) for name in ("live", "batch")]
    assert both[0].keys() == both[1].keys() == {row["custom_id"] for row in sent}
    for key, reply in both[0].items():
        other = both[1][key]
        assert (reply.text, reply.status, reply.images) == (other.text, other.status, other.images)
        assert other.details["batch"] == "batch_0"
        assert other.details["cost_usd"] == pytest.approx(reply.details["cost_usd"] / 2)
    assert {(row["method"], row["url"], row["body"]["model"]) for row in sent} == {
        ("POST", "/v1/chat/completions", "toy-1")
    }
    assert summary.usd == pytest.approx(live.usd / 2)
    assert summary.batches == {"batch_0": "completed"}
    cost = cost_table([load_results(tmp_path / "batch")])
    assert sum(row.values[-1].value for row in cost.rows) == pytest.approx(summary.usd)
    manifest = json.loads((tmp_path / "batch" / "manifest.json").read_text())
    assert manifest["sessions"][-1]["batches"] == {"batch_0": "completed"}
    said = [note for note in notes if note]
    assert "12 requests in batches, cost about 0.0" in said[0]
    assert "0.5 / 5 a million tokens" in said[0]
    assert "batch batch_0: in_progress, 0 of 12 answered" in said
    assert said[-1] == "batch batch_0: completed, 12 of 12 answered"
    assert not (tmp_path / "batch" / "batches").exists()


def test_rows_with_errors_are_read_as_live_ones_and_passing_ones_go_into_another_batch(six, tmp_path):
    faults = {
        (1, 0): (400, {"error": {"message": "blocked", "code": "content_filter"}}),
        (2, 0): (400, {"error": {"message": "cannot read the picture"}}),
        (3, 0): (500, {"error": {"message": "oops"}}),
        (4, 0): "server_error",
    }
    endpoint = BatchEndpoint(row=lambda name, number: faults.get((name, number)))
    with FaultyServer(batches=endpoint) as server:
        summary = run(six, tmp_path / "run", card_for(server), batch=QUICK)
    found = replies(tmp_path / "run")
    assert {i: found[i].status for i in sorted(found)} == {
        0: "ok", 1: "refused", 2: "error", 3: "ok", 4: "ok", 5: "ok"
    }  # fmt: skip
    assert found[2].details["failure"] == "bad_request"
    assert [len(entry[1]) for entry in endpoint.asked.values()] == [6, 2]
    assert summary.asked == 6
    assert set(counted(tmp_path / "run").values()) == {1}


def test_a_failure_that_never_passes_is_stored_and_asked_again_by_the_next_run(six, tmp_path):
    endpoint = BatchEndpoint(
        row=lambda name, number: (500, {"error": {"message": "oops"}}) if name == 3 else None
    )
    with FaultyServer(batches=endpoint) as server:
        run(six, tmp_path / "run", card_for(server), batch=QUICK)
        assert len(endpoint.batches) == 2  # the second one answered nothing
        assert replies(tmp_path / "run")[3].status == "error"
        run(six, tmp_path / "run", card_for(server))
        assert [call.name for call in server.calls] == [3]
    assert replies(tmp_path / "run")[3].status == "ok"


class Killed(BaseException):
    """The end of the process, as soon as the server has the batch."""


def killed_in_batch(progress):
    if progress.note.startswith("batch batch_0"):
        raise Killed


@pytest.mark.parametrize("lost", ["while waiting", "at the start"])
def test_a_killed_run_takes_up_its_batch_and_pays_nothing_twice(six, tmp_path, lost):
    folder = tmp_path / "run"

    endpoint = BatchEndpoint(looks=2)
    with FaultyServer(batches=endpoint) as server:
        with pytest.raises(Killed):
            run(six, folder, card_for(server), batch=QUICK, on_progress=killed_in_batch)
        if lost == "at the start":  # killed before the server's answer was written down
            lines = (folder / "batches.jsonl").read_bytes().splitlines(keepends=True)
            (folder / "batches.jsonl").write_bytes(lines[0] + lines[1][:9])
        assert [line.get("id") for line in journal(folder)] == [None, "batch_0"][
            : 1 + (lost != "at the start")
        ]
        with pytest.raises(UsageError, match=r"6 requests of .* are in 1 batches"):
            run(six, folder, card_for(server))
        with pytest.raises(UsageError, match="Collect them first"):
            run(six, folder, card_for(server), batch=QUICK, fresh=True)
        run(six, folder, card_for(server), batch=QUICK)
        assert len(endpoint.batches) == 1
        assert not server.calls
    assert {reply.status for reply in replies(folder).values()} == {"ok"}
    assert set(counted(folder).values()) == {1}
    assert not (folder / "batches").exists()


def test_ctrl_c_leaves_the_batch_at_the_server(six, tmp_path):
    notes = []

    def interrupt(progress):
        notes.append(progress.note)
        if "in_progress" in progress.note:
            signal.raise_signal(signal.SIGINT)

    endpoint = BatchEndpoint(looks=3)
    with FaultyServer(batches=endpoint) as server:
        with pytest.raises(KeyboardInterrupt):
            run(
                six,
                tmp_path / "run",
                card_for(server),
                batch=replace(QUICK, first_pause=60.0),
                on_progress=interrupt,
            )
        assert notes[-1] == "left at the server: batch_0; the same command collects what it answers"
        run(six, tmp_path / "run", card_for(server), batch=QUICK)
    assert len(endpoint.batches) == 1
    assert len(replies(tmp_path / "run")) == 6


def test_a_batch_that_was_never_started_is_sent_again(six, tmp_path):
    folder = tmp_path / "run"
    endpoint = BatchEndpoint()
    with FaultyServer(batches=endpoint) as server:
        run(six, folder, card_for(server), batch=QUICK, budget=Budget(requests=2))
        BatchJournal(folder).write(SentBatch("abc"), {"requests": 4, "usd": 0.0, "generation": 0})
        (folder / "batches").mkdir()
        (folder / "batches" / "abc.jsonl").touch()
        run(six, folder, card_for(server), batch=QUICK)
    assert [len(entry[1]) for entry in endpoint.asked.values()] == [2, 4]
    assert set(counted(folder).values()) == {1}


def test_a_connection_lost_while_a_batch_is_started_starts_no_second_one(six, tmp_path):
    endpoint = BatchEndpoint()
    endpoint.drop_creations = 1
    with FaultyServer(batches=endpoint) as server:
        run(six, tmp_path / "run", card_for(server), batch=QUICK)
    assert len(endpoint.batches) == 1
    assert len(replies(tmp_path / "run")) == 6


def test_an_expired_batch_keeps_what_was_answered(six, tmp_path):
    endpoint = BatchEndpoint(ends=lambda number: "completed" if number else "expired")
    with FaultyServer(batches=endpoint) as server:
        summary = run(six, tmp_path / "run", card_for(server), batch=QUICK)
        assert summary.stopped == "the server ended batch batch_0 as expired: 3 of 6 requests are answered"
        assert len(replies(tmp_path / "run")) == 3
        summary = run(six, tmp_path / "run", card_for(server), batch=QUICK)
    assert not summary.stopped
    assert [len(entry[1]) for entry in endpoint.asked.values()] == [6, 3]
    assert set(counted(tmp_path / "run").values()) == {1}


def test_a_batch_that_the_server_refuses_is_reported_in_its_words(six, tmp_path):
    with FaultyServer(batches=BatchEndpoint(ends=lambda number: "failed")) as server:
        summary = run(six, tmp_path / "run", card_for(server), batch=QUICK)
    assert "batch_0 as failed (too many tokens): 0 of 6" in summary.stopped
    assert not replies(tmp_path / "run")


@pytest.mark.parametrize("limits", [{"most_requests": 4}, {"most_bytes": 2_500}])
def test_limits_of_a_file_make_several_batches(six, tmp_path, limits):
    endpoint = BatchEndpoint()
    with FaultyServer(batches=endpoint) as server:
        run(six, tmp_path / "run", card_for(server), batch=replace(QUICK, **limits))
    sizes = [len(endpoint.files[batch["input_file_id"]]) for batch in endpoint.batches.values()]
    assert len(sizes) > 1
    assert max(sizes) <= limits.get("most_bytes", 10**9)
    assert max(len(entry[1]) for entry in endpoint.asked.values()) <= limits.get("most_requests", 6)
    assert len(replies(tmp_path / "run")) == 6


def test_the_budget_is_kept_before_anything_is_uploaded(six, tmp_path):
    price = Price(1000.0, 0.0, "2026-01-01", batch=0.5)
    endpoint = BatchEndpoint()
    with FaultyServer(batches=endpoint) as server:
        card = card_for(server, price=price, images={"tokens": {"base": 100, "per_tile": 0}})
        summary = run(six, tmp_path / "none", card, batch=QUICK, budget=Budget(usd=0.01))
        assert (summary.sent, endpoint.files) == (0, {})
        summary = run(six, tmp_path / "some", card, batch=QUICK, budget=Budget(usd=0.2))
    assert 1 < summary.sent < 6
    assert summary.stopped == f"--max-usd or --max-requests leaves out {6 - summary.sent} requests"
    assert summary.usd <= 0.2


def test_a_change_of_the_model_within_a_batch_stops_the_run(six, tmp_path):
    endpoint = BatchEndpoint()
    names = iter(["toy-1", "other-2", "toy-1", "toy-1", "toy-1", "toy-1"])
    with FaultyServer(batches=endpoint) as server:
        respond = endpoint.respond
        endpoint.respond = lambda method, path, body, complete: respond(
            method, path, body, lambda asked: complete(asked) | {"model": next(names)}
        )
        with pytest.raises(ModelError, match="cannot be measured: the server answered as"):
            run(six, tmp_path / "run", card_for(server), batch=QUICK)
    assert len(replies(tmp_path / "run")) == 6  # they are paid for


def test_what_has_no_batch_endpoint_is_refused_before_anything_is_asked(six, tmp_path):
    with FaultyServer() as server:
        with pytest.raises(ModelError, match="has no batch endpoint in OpenAI's style: HTTP 404"):
            run(six, tmp_path / "run", card_for(server), batch=QUICK, canary=True)
        assert not server.calls
    with pytest.raises(UsageError, match="--batch is for models behind an OpenAI-style API"):
        run(six, tmp_path / "chance", ModelCard("chance", "chance"), batch=QUICK)


@pytest.mark.parametrize(("reply_mb", "found"), [(0.01, {"ok": 5, "error": 1}), (0.001, {})])
def test_a_file_of_replies_and_each_of_them_have_a_largest_size(six, tmp_path, reply_mb, found):
    endpoint = BatchEndpoint()
    with FaultyServer(batches=endpoint) as server:
        card = card_for(server)
        large = replace(card, options={**card.options, "reply_mb": reply_mb})
        made = endpoint.respond

        def respond(method, path, body, complete):
            status, answer = made(method, path, body, complete)
            if isinstance(answer, bytes):
                first, *rest = answer.splitlines()
                answer = b"\n".join([first[:-1] + b', "padding": "' + b"x" * 70_000 + b'"}', *rest])
            return status, answer

        endpoint.respond = respond
        if found:
            run(six, tmp_path / "run", large, batch=QUICK)
        else:
            with pytest.raises(ModelError, match=r"cannot be asked: the answer is larger than 0\.064 MB"):
                run(six, tmp_path / "run", large, batch=QUICK)
        assert Counter(reply.status for reply in replies(tmp_path / "run").values()) == found
        again = replace(card, options={**card.options, "reply_mb": 1})
        run(six, tmp_path / "run", again, batch=QUICK)
    assert Counter(reply.status for reply in replies(tmp_path / "run").values()) == {"ok": 6}


def test_answers_that_cannot_be_written_are_collected_by_the_next_call(six, tmp_path):
    folder, stack = tmp_path / "run", ExitStack()
    with FaultyServer(batches=BatchEndpoint()) as server, stack:

        def fill(progress):
            if progress.done == 2:
                stack.enter_context(limited(most=(folder / "replies-0.jsonl").stat().st_size + 20))

        with pytest.raises(StoreError, match=r"Cannot write .*ulimit"):
            run(six, folder, card_for(server), on_progress=fill, batch=QUICK)
        stack.close()
        assert len(replies(folder)) == 2
        again = run(six, folder, card_for(server), batch=QUICK)
        assert (len(server.batches.batches), again.earlier) == (1, 2)
    assert Counter(counted(folder).values()) == {1: 6}


def test_keys_are_in_no_file_and_no_message(six, tmp_path, monkeypatch):
    secret = "sk-of-batches-0123456789"
    monkeypatch.setenv("TOY_KEY", secret)
    notes = []
    endpoint = BatchEndpoint(
        row=lambda name, number: (400, {"error": {"message": f"bad {secret}"}}) if name == 2 else None
    )
    with FaultyServer(batches=endpoint) as server:
        card = card_for(server, key_env="TOY_KEY", headers={"X-Team": "$TOY_KEY"})
        run(six, tmp_path / "run", card, batch=QUICK, on_progress=lambda p: notes.append(p.note))
        asked = [headers for line, headers in server.seen if "/files" in line or "/batches" in line]
        assert {headers["authorization"] for headers in asked} == {f"bearer {secret}"}
        assert {headers["x-team"] for headers in asked} == {secret}
    for path in (tmp_path / "run").rglob("*"):
        assert secret.encode() not in (path.read_bytes() if path.is_file() else b"")
    assert secret not in " ".join(notes)
    assert "bad" in replies(tmp_path / "run")[2].reason


def test_the_verb_asks_in_a_batch_and_forecasts_its_price(six, tmp_path):
    runner, cards = CliRunner(), tmp_path / "cards.toml"
    with FaultyServer(batches=BatchEndpoint()) as server:
        cards.write_text(
            f'[toy]\nadapter = "openai"\nmodel = "toy-1"\nendpoint = "{server.url}"\n'
            'price = { input = 1.0, output = 10.0, batch = 0.5, date = "2026-01-01" }\n'
        )
        words = [
            "eval",
            "--model",
            "toy",
            "--model-card",
            str(cards),
            "--bench",
            str(six),
            "--level",
            "clean",
        ]
        words += ["--batch", "-o", str(tmp_path / "run")]
        shown = runner.invoke(app, [*words, "--dry-run"])
        assert "at 0.5 / 5 a million tokens (2026-01-01) in batches" in shown.output
        done = runner.invoke(app, [*words, "--no-canary", "--quiet"])
        assert done.exit_code == 0, done.output
        assert not server.calls
    assert "batch batch_0: completed, 6 of 6 answered" in done.output


def test_the_canary_is_asked_live_before_a_batch(six, tmp_path):
    def answer(prompt, images):
        return "B" if prompt.startswith("Question") else answering()(prompt, images)

    with FaultyServer(batches=BatchEndpoint(), answer=answer) as server:
        run(six, tmp_path / "run", card_for(server), batch=QUICK, canary=True)
        assert len(server.calls) >= 14
        assert not any(call.prompt.startswith("Question") for call in server.calls)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["canary"]["verdict"] == "passed"
    assert len(replies(tmp_path / "run")) == 6


def refused(name):
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    return 400, {"error": {"message": message, "code": "unsupported_parameter", "param": name}}


def test_a_batch_leaves_out_what_the_canary_has_learnt_that_the_model_refuses(six, tmp_path):
    def answer(prompt, images):
        return "B" if prompt.startswith("Question") else answering()(prompt, images)

    def behave(call):
        return refused("temperature") if "temperature" in call.body else "ok"

    folder, endpoint = tmp_path / "run", BatchEndpoint(looks=2)
    with FaultyServer(behave, batches=endpoint, answer=answer) as server:
        card = card_for(server, generation={"temperature": 0, "max_tokens": 9})
        with pytest.raises(Killed):
            run(six, folder, card, batch=QUICK, canary=True, on_progress=killed_in_batch)
        sent = [json.loads(line) for line in endpoint.files["file-0"].splitlines()]
        assert all("temperature" not in row["body"] and row["body"]["max_tokens"] == 9 for row in sent)
        run(six, folder, card, batch=QUICK, canary=False)
        assert len(endpoint.batches) == 1
    assert set(read_replies(folder)) == {row["custom_id"] for row in sent}
    assert len(load_results(folder).arms) == 1
    assert load_results(folder).unanswered == 0


def test_a_setting_that_a_batch_refuses_ends_the_run_with_advice(six, tmp_path):
    with FaultyServer(batches=BatchEndpoint(row=lambda name, number: refused("temperature"))) as server:
        card = card_for(server, generation={"temperature": 0})
        with pytest.raises(ModelError, match=r"temperature.* learnt from the live canary"):
            run(six, tmp_path / "run", card, batch=QUICK)


def test_a_query_and_headers_in_place_of_a_key_go_with_every_request(six, tmp_path, monkeypatch):
    monkeypatch.setenv("AZURE", "azure-secret-0123456789")
    with FaultyServer(batches=BatchEndpoint()) as server:
        card = card_for(server, headers={"api-key": "$AZURE"})
        card = replace(card, endpoint=f"{server.url}?api-version=2024-10-21")
        run(six, tmp_path / "run", card, batch=QUICK)
        assert {line.partition("?")[2] for line, _ in server.seen} >= {"api-version=2024-10-21 HTTP/1.1"}
        assert all("api-version=2024-10-21" in line for line, _ in server.seen)
        assert {headers["api-key"] for _, headers in server.seen} == {"azure-secret-0123456789"}
        assert not any("authorization" in headers for _, headers in server.seen)
    assert len(replies(tmp_path / "run")) == 6


def test_cards_of_openai_have_the_price_of_batches():
    prices = {name: card.price for name, card in shipped_cards().items() if card.price}
    assert {price.batch for price in prices.values()} == {None, 0.5}
    assert prices["gpt-4.1-mini"].in_batch().input == pytest.approx(0.2)  # as litellm 1.110.2 lists it
    assert prices["gpt-5"].in_batch().cached_input == pytest.approx(0.0625)
