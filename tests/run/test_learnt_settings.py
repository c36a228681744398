"""Runs of models that refuse settings: what may be sent is learnt once, recorded, said, and remembered."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from api_runs import run
from canary_reader import answering
from faulty_server import FaultyServer, gateway_refusal, openai_refusal, refusing, true_answer
from mmdbench.benches import open_bench
from mmdbench.cli import app
from mmdbench.errors import ModelError
from mmdbench.models import open_model
from mmdbench.models.cards import find_card, set_options
from mmdbench.records import RunPlan
from mmdbench.results.graded_run import load_results
from mmdbench.run.canary import PROMPT
from mmdbench.run.folder import CELLS_FILE
from mmdbench.run.forecast import forecast
from mmdbench.run.inputs import RunInputs
from mmdbench.run.json_lines import read_records
from mmdbench.run.merge import merge_runs
from optional_packages import needs
from pictures import write_many

pytestmark = needs("openai")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path / "cache"))


def at(server, *settings):
    return set_options(find_card(f"openai:o5@{server.url}"), ["backoff=0.01", *settings])


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def refused(server):
    return [body.body for body in server.calls if body.outcome == "400"]


@pytest.mark.parametrize("form", [openai_refusal, gateway_refusal])
@pytest.mark.parametrize(
    ("names", "sent"),
    [
        (["max_tokens"], {"temperature": 0, "max_completion_tokens": 2048}),
        (["temperature"], {"max_tokens": 2048}),
        (["max_tokens", "temperature"], {"max_completion_tokens": 2048}),
        (["max_tokens", "max_completion_tokens", "temperature"], {}),
    ],
)
def test_each_setting_is_refused_once_and_every_answer_is_kept(names, sent, form, tmp_path):
    bench, folder = write_many(tmp_path / "b.tsv", 6), tmp_path / "run"
    with FaultyServer(refusing(*names, form=form)) as server:
        summary = run(bench, folder, at(server), levels=("clean", "hard"))
        assert (summary.asked, summary.failed) == (12, 0)
        assert (len(refused(server)), len(server.calls)) == (len(names), 12 + len(names))
        good = [body.body for body in server.calls if body.outcome == "ok"]
        assert all({k: v for k, v in b.items() if k not in ("model", "messages")} == sent for b in good)
        fingerprint = manifest(folder)["model"]["fingerprint"]
        assert (fingerprint["refused"], fingerprint["sent"]) == (sorted(names), sent)
        keys = {row["cell"][4] for row in read_records(folder / CELLS_FILE)}
        assert keys == {row["key"] for row in read_records(folder / "replies-0.jsonl")}
        assert load_results(folder).complete

        again = run(bench, folder, at(server), levels=("clean", "hard", "mid"))  # more questions, no refusal
        assert (again.earlier, again.asked, len(refused(server))) == (12, 6, len(names))
        assert load_results(folder).complete


def test_a_setting_of_the_user_that_is_refused_is_left_out_and_said(tmp_path):
    bench = write_many(tmp_path / "b.tsv", 3)
    more = ["--set", "generation.top_p=0.9", "--set", "generation.stop=['x']"]
    with FaultyServer(refusing("top_p", "stop"), answer=answering()) as server:
        server.answer = lambda prompt, images, read=server.answer: (
            read(prompt, images) if prompt == PROMPT else true_answer(prompt, images)
        )
        words = ["eval", "--model", f"openai:m@{server.url}", "--bench", str(bench), "--level", "clean"]
        words += [*more, "-o", "run"]
        note = "the server does not take stop and top_p; sent is temperature=0, max_tokens=2048"
        assert call(*words, "--quiet").count(note) == 1
        # The canary's first request taught it.
        assert [body.prompt for body in server.calls if body.outcome == "400"] == [PROMPT, PROMPT]
        assert '"answered": 3,' in call(*words, "--dry-run", "--json")


def call(*words):
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_what_a_card_says_is_not_tried(tmp_path):
    bench = write_many(tmp_path / "b.tsv", 2)
    with FaultyServer(refusing("max_tokens", "temperature")) as server:
        run(bench, tmp_path / "run", at(server, "sampling=none", "max_tokens_field=max_completion_tokens"))
        assert refused(server) == []
        assert "refused" not in manifest(tmp_path / "run")["model"]["fingerprint"]


def test_a_model_that_takes_everything_is_asked_nothing_besides(tmp_path):
    bench = write_many(tmp_path / "b.tsv", 4)
    with FaultyServer() as server:
        run(bench, tmp_path / "run", at(server))
        assert len(server.calls) == 4
        assert "refused" not in open_model(at(server)).fingerprint()


def test_a_choice_of_what_is_measured_is_never_left_out(tmp_path):
    bench = write_many(tmp_path / "b.tsv", 20)
    with FaultyServer(refusing("reasoning_effort")) as server:
        with pytest.raises(ModelError, match="'reasoning_effort' is not supported") as caught:
            run(bench, tmp_path / "run", at(server, "generation.reasoning_effort=none"))
        assert "--set 'generation.reasoning_effort='" in caught.value.hint
        assert len(server.calls) == 1


def test_a_server_that_refuses_what_it_took_before_is_an_error(tmp_path):
    bench = write_many(tmp_path / "b.tsv", 30)
    later = refusing("temperature")
    with FaultyServer(lambda c: later(c) if c.number == 12 else "ok") as server:
        summary = run(bench, tmp_path / "run", at(server))
        assert (summary.asked, summary.failed) == (30, 1)
        assert "refused" not in manifest(tmp_path / "run")["model"]["fingerprint"]


def test_a_forecast_and_shards_know_what_was_learnt(tmp_path):
    bench = write_many(tmp_path / "b.tsv", 12)
    with FaultyServer(refusing("max_tokens", "temperature")) as server:
        card = at(server)
        for number in (1, 2):
            run(bench, tmp_path / str(number), card, shard=(number, 2))
            folder = tmp_path / str(number)
            again = run(bench, folder, card, shard=(number, 2))  # a shard stays the same after learning
            assert (again.asked, again.earlier) == (0, len(list(read_records(folder / "replies-0.jsonl"))))
        plan = RunPlan(model=card.name, benches=(str(bench),), levels=("clean",))
        found = forecast(RunInputs(plan, [open_bench(bench)], open_model(card), card, tmp_path / "1"))
        assert 0 < found.answered < 12
        merge_runs([tmp_path / "1", tmp_path / "2"], tmp_path / "whole")
        assert load_results(tmp_path / "whole").complete
        assert len(refused(server)) == 4


def test_doctor_says_what_a_server_does_not_take():
    with FaultyServer(refusing("temperature"), answer=answering()) as server:
        said = call("doctor", "--model", f"openai:m@{server.url}")
        assert "the server does not take temperature; sent is max_tokens=2048" in said
        assert len(refused(server)) == 1
