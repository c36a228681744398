"""Judges that refuse a token limit, a temperature or both, and judges that think."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faulty_server import gateway_refusal, openai_refusal
from judge_server import serving
from mmdbench.cli import app
from mmdbench.results.judging.journal import JournalledJudge, JsonlJournal
from mmdbench.results.judging.open import open_judge
from mmdbench.scoring import JudgeCall, JudgeReply
from optional_packages import needs
from scripted_runs import make_run, write_tsv

pytestmark = needs("openai")
NO_LIMIT = {"max_completion_tokens": 2048}


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("MMDBENCH_API_KEY", "none")


def refusing(*names, form=openai_refusal, reply="B"):
    """A script of a judge's server: it refuses these settings, the first one first."""

    def script(body):
        for name in names:
            if name in body:
                content = json.dumps({"error": form(name)}).encode()
                return 400, {"Content-Type": "application/json"}, content
        return reply

    return script


def question(attempt=1, temperature=0.0, max_tokens=3):
    return JudgeCall("toy", 1, "p/1", "head/1", "which?", attempt, temperature, max_tokens)


def settings(body):
    return {k: v for k, v in body.items() if k not in ("model", "messages")}


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("form", [openai_refusal, gateway_refusal])
def test_a_judge_is_asked_without_what_it_refused_once(form):
    with serving(refusing("max_tokens", "temperature", form=form)) as server:
        with closing(open_judge(f"openai:o5@{server.url}")) as judge:
            made = JournalledJudge(judge, JsonlJournal("judge.jsonl"))
            replies = [made.ask(question(attempt)) for attempt in (1, 2)]
        # The protocol's 3 tokens are for an answer alone; under the other name, thoughts count too.
        assert replies == [JudgeReply("B", sent=NO_LIMIT)] * 2
        assert replies[0].not_taken == ("temperature", "max_tokens")
        assert [settings(body) for body in server.bodies][2:] == [NO_LIMIT, NO_LIMIT]
    with closing(open_judge(f"openai:o5@{server.url}")) as judge:  # the server is gone, the journal is not
        again = JournalledJudge(judge, JsonlJournal("judge.jsonl"))
        assert again.ask(question()) == JudgeReply("B", sent=NO_LIMIT)
    record = json.loads(Path("judge.jsonl").read_text().splitlines()[0])
    assert (record["temperature"], record["max_tokens"], record["sent"]) == (0.0, 3, NO_LIMIT)


def test_a_judge_that_takes_temperature_at_one_and_refuses_it_at_zero():
    def script(body):
        return refusing("temperature")(body) if body.get("temperature") == 0 else "B"

    with serving(script) as server, closing(open_judge(f"openai:j@{server.url}")) as judge:
        assert judge.ask(question(temperature=1.0)) == JudgeReply("B")
        assert judge.ask(question()) == JudgeReply("B", sent={"max_tokens": 3})


def test_a_reasoning_card_judges_with_its_own_limit_and_effort():
    with serving(refusing("max_tokens", "temperature")) as server:
        Path("j.toml").write_text(
            f'[j]\nadapter = "openai"\nmodel = "o5"\nendpoint = "{server.url}"\nsampling = "none"\n'
            'max_tokens_field = "max_completion_tokens"\n'
            'generation = { max_completion_tokens = 8192, reasoning_effort = "low" }\n'
        )
        with closing(open_judge("j", [Path("j.toml")])) as judge:
            reply = judge.ask(question())
        (body,) = server.bodies  # nothing was tried
    assert settings(body) == reply.sent == {"max_completion_tokens": 8192, "reasoning_effort": "low"}
    assert open_judge("gpt-5").id == "gpt-5@api.openai.com"  # every shipped card may judge


def test_a_judges_thoughts_are_no_ruling():
    for text, ruling in (("<think>A or B? A.</think>B", "B"), ("<think>A or B? A.", ""), ("B", "B")):
        with (
            serving(lambda _, text=text: text) as server,
            closing(open_judge(f"openai:j@{server.url}")) as judge,
        ):
            assert judge.ask(question()).text == ruling


def test_a_writer_of_traces_is_read_with_its_thoughts():
    with (
        serving(lambda _: "<think>A?</think>B") as server,
        closing(open_judge(f"openai:j@{server.url}")) as judge,
    ):
        assert judge.ask(replace(question(), with_thoughts=True)).text == "<think>A?</think>B"
    assert replace(question(), with_thoughts=True).key("j") == question().key("j")


def choice_run():
    rows = [{"index": i, "question": f"q{i}.", "A": "cat", "B": "dog", "answer": "A"} for i in range(3)]
    return make_run(Path("run"), [write_tsv(Path("own.tsv"), rows)], lambda _: "an animal with four legs")


def test_score_and_report_say_which_settings_of_the_protocol_the_judge_does_not_take():
    run = choice_run()
    with serving(refusing("max_tokens", "temperature", reply="A")) as server:
        out = call("score", run, "--judge", f"openai:o5@{server.url}", "--quiet")
    assert "2048 tokens (which takes no max_tokens and no temperature)" in out
    note = "The judge takes no max_tokens and no temperature, which the protocol sets"
    assert f"{note}; sent was max_completion_tokens=2048." in call("report", run)
    record = json.loads((run / "manifest.json").read_text())["judge"]
    assert (record["not_taken"], record["sent"]) == (["max_tokens", "temperature"], NO_LIMIT)


def test_a_judge_that_takes_everything_has_the_record_that_it_had():
    run = choice_run()
    with serving(lambda _: "A") as server:
        call("score", run, "--judge", f"openai:j@{server.url}", "--quiet")
    assert not {"not_taken", "sent"} & set(json.loads((run / "manifest.json").read_text())["judge"])
    assert not any("sent" in json.loads(line) for line in (run / "judge.jsonl").read_text().splitlines())
    assert "which the protocol sets" not in call("report", run)


def test_the_error_shows_the_servers_own_words():
    run = choice_run()
    with serving(refusing("model", reply="")) as server:  # a refusal that nothing can be left out for
        out = call("score", run, "--judge", f"openai:o5@{server.url}", "--quiet", code=4)
    assert "'model' is not supported with this model" in " ".join(out.split())
