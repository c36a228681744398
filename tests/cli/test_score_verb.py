"""`mmdbench score` as its users meet it, with a judge behind a server on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from judge_server import error, serving
from mmdbench.cli._shared.errors import guarded
from mmdbench.cli.score import score
from mmdbench.models.endpoints import host_label
from mmdbench.results.arms import read_run
from mmdbench.results.graded_run import load_results
from mmdbench.scoring import write_predictions
from scripted_runs import make_run, write_tsv

needs_openai = pytest.mark.skipif(
    find_spec("openai") is None, reason="the judge client needs the extra `api`"
)
needs_xlsx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("xlsxwriter", "openpyxl")), reason="needs the extra `compat`"
)
SECRET = "sk-very-secret-0123456789"
CARDS = Path("config/mmdbench/models.toml")
LATE = "word " * 8 + "B " + "word " * 8
MMVET = [
    # index, question, truth, category, reply, what the judge says
    ("v1_0", "What is it?", "a cat", "rec", "cat", "1.0"),
    ("v1_1", "What is written?", "stop<OR>halt", "ocr", "STOP", "0.5"),
    ("v1_2", "How much?", "3<AND>4", "rec,math", "3", "0.5"),
    ("v1_3", "Where?", "left", "rec,spat", "right", "0.0"),
    ("v1_4", "Why?", "rain", "know,gen,rec", "because of rain", "1"),
    ("v1_5", "Read it", "abc", "ocr", "abd", "0.25"),
]


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("MMDBENCH_API_KEY", SECRET)
    card = 'adapter = "openai"\nendpoint = "https://api.openai.com/v1"\nkey_env = "OPENAI_API_KEY"\n'
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    CARDS.parent.mkdir(parents=True)
    CARDS.write_text(f"[openai]\n{card}options = {{ attempts = 2, backoff = 0.001 }}\n")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def call(*args, code=0):
    app = typer.Typer()
    app.command("score")(guarded(score))
    result = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == code, result.output
    assert SECRET not in result.output
    return result.stdout if code == 0 else result.output


def choice_run(tmp_path, name="own.tsv", **changes):
    replies = {"q0": "A", "q1": LATE, "q2": "hm", "q3": "who knows"}
    rows = [
        {"index": i, "question": f"q{i}", "A": "cat", "B": "dog", "answer": "AB"[i % 2]} for i in range(4)
    ]
    tsv = write_tsv(tmp_path / name, rows)
    return tsv, make_run(tmp_path / "run", [tsv], lambda request: replies[request.question], **changes)


def test_a_run_under_another_protocol(tmp_path):
    _, run = choice_run(tmp_path)
    out = call(run, "--protocol", "vlmevalkit/1")
    assert "protocol vlmevalkit/1 · extraction sane/2 · io literal · no judge" in out
    shown = {tuple(re.split(r" {2,}", line.strip())) for line in out.splitlines()}
    assert {
        ("Benchmark", "Metric", "n", "clean", "hard"),
        ("own", "accuracy", "4", "25.0", "25.0"),
        ("own", "accuracy, at most", "4", "100.0", "100.0"),
        ("8 planned, 8 answered, 2 resolved, 6 unresolved.",),
    } <= shown
    assert "2 of 8 rows are graded otherwise than under clear-1_sane_literal." in out
    assert re.search(r"own 1 hard \w+: B correct \(letter\) → – unresolved \(too_long\)", out)
    assert "A judge would settle them" in out
    assert (run / "grades-vlmevalkit-1_sane_literal.jsonl").exists()
    made = json.loads(call(run, "--protocol", "vlmevalkit/1", "--json"))
    assert len(made["changed"]) == 2
    assert [arm["headline"] for arm in made["arms"]] == [25, 25]


def test_many_arms_fit_on_a_screen(tmp_path):
    rows = [{"index": i, "question": f"q{i}", "A": "cat", "B": "dog", "answer": "A"} for i in range(2)]
    files = [write_tsv(tmp_path / f"{name}.tsv", rows) for name in ("MMBench_DEV_EN", "MMVP", "MMStar")]
    run = make_run(tmp_path / "run", files, lambda _: "A", levels=("clean", "hard"), design="grid")
    out = call(run)
    assert len(out.splitlines()) < 45
    assert "MMBench_DEV_EN" not in out.replace("FILES", "")
    assert re.search(r"MMBench DEV EN +lens_blur +\S+ accuracy +2 +– +100\.0\n", out)
    assert re.search(r"… and \d+ more rows; --json and the file of scores list all\.", out)
    assert not re.search(r"\b0 (refused|unresolved|judged|truncated)", out)


@needs_xlsx
def test_io_compat_is_printed(tmp_path):
    _, run = choice_run(tmp_path)
    assert "io compat" in call(run, "--io", "compat")


@needs_openai
def test_a_judge_settles_what_is_open_and_is_named(tmp_path):
    _, run = choice_run(tmp_path)
    with serving(lambda _: "A") as server:
        spec = f"openai:toy-judge@{server.url}"
        out = call(run, "--judge", spec)
        assert len(server.bodies) == 2
        assert {body["temperature"] for body in server.bodies} == {0}
        assert {body["max_tokens"] for body in server.bodies} == {2048}
        assert call(run, "--judge", spec) == out
        assert len(server.bodies) == 2
    assert f"judge toy-judge@{host_label(server.url)} at temperature 0, 2048 tokens" in out
    assert "mmdbench-mcq-en/1" in out
    assert "NOT COMPARABLE" in out
    assert "own 2 clean: – unresolved (no_option) → A correct (judge)" in out
    name = f"toy-judge@{host_label(server.url)}"
    noted = json.loads((run / "manifest.json").read_text())["judge"]
    assert (noted["id"], noted["comparable"], noted["judged"]) == (name, False, 4)
    assert [(p["id"], len(p["sha256"])) for p in noted["prompts"]] == [("mmdbench-mcq-en/1", 64)]
    assert noted["sampling"] == [{"temperatures": [0, 0, 0], "max_tokens": 2048}]
    assert noted["rules"]["protocol"] == "clear/1"
    # All of it is in the journal, so neither server nor key is needed again.
    assert call(run, "--judge", spec) == out
    (session,) = json.loads((run / "manifest.json").read_text())["judge_sessions"]
    assert (session["judge"], session["asked"], session["requests_sent"]) == (name, 2, 2)
    everything = b"".join(path.read_bytes() for path in run.iterdir() if path.is_file())
    assert SECRET.encode() not in everything
    assert b"prompt_sha256" in everything


@needs_openai
def test_with_vlmevalkits_own_judge_prompts_numbers_are_comparable(tmp_path):
    wheels = os.environ.get("MMDBENCH_VLMEVAL_WHEELS", "")
    wheel = next(iter(Path(wheels).rglob("ms_vlmeval-*.whl")), None) if wheels else None
    if wheel is None:
        pytest.skip("set MMDBENCH_VLMEVAL_WHEELS to a folder with an ms-vlmeval wheel")
    _, run = choice_run(tmp_path)
    with serving(lambda _: "A") as server:
        args = (run, "--judge", f"openai:j@{server.url}", "--judge-heads", wheel)
        made = json.loads(call(*args, "--json"))
        out = call(*args)
    assert made["comparable"]
    assert "Judge prompt vlmevalkit-mcq_en, SHA-256 135830d14fa5" in out
    assert "NOT COMPARABLE" not in out
    # The wheel is not needed to report what was judged with its prompts.
    name = f"j@{host_label(server.url)}"
    for arm in load_results(run).arms:
        assert (arm.score.judge, arm.score.counts["judged"], arm.score.warnings) == (name, 2, ())


@needs_openai
def test_a_judge_that_fails_ends_in_an_error(tmp_path):
    _, run = choice_run(tmp_path)
    own = CARDS.read_text().replace("attempts = 2", 'attempts = 2, served_by = "lab"')
    CARDS.write_text(own)  # three addresses of one judge
    with serving(lambda _: error(401, f"bad key {SECRET}")) as server:
        assert "cannot be asked" in call(run, "--judge", f"openai:j@{server.url}", code=4)
    with serving(lambda body: error(500) if "q2" in str(body) else "A") as server:
        out = call(run, "--judge", f"openai:j@{server.url}", code=4)
        assert "could not be asked about 2 rows" in out
        assert "(judge_error)" not in out.split("graded otherwise")[0]
    with serving(lambda _: "A") as server:
        call(run, "--judge", f"openai:j@{server.url}")
        assert len(server.bodies) == 1


@needs_openai
def test_mmvet_end_to_end(tmp_path):
    rows = [{"index": i, "question": q, "answer": a, "category": c} for i, q, a, c, _, _ in MMVET]
    tsv = write_tsv(tmp_path / "MMVet.tsv", rows)
    replies = {q: reply for _, q, _, _, reply, _ in MMVET}
    run = make_run(tmp_path / "run", [tsv], lambda request: replies[request.question], levels=("clean",))
    out = call(run)
    assert re.search(r"MM-Vet +MM-Vet score +6 +–\n", out)
    assert re.search(r"MM-Vet +MM-Vet score, at most +6 +100.0\n", out)
    assert "6 planned, 6 answered, 0 resolved, 6 unresolved.\n" in out
    assert "clean – MM-Vet is graded by a judge and none was given" in out
    assert "MMVet" not in out
    assert "it is not scored" in out

    unsure = {"v1_1": 1}

    def judge(body):
        tail = body["messages"][0]["content"].splitlines()[-1]
        index, *_, said = next(row for row in MMVET if tail.startswith(f"{row[1]} | "))
        if body["temperature"] == 0 and unsure.pop(index, 0):
            return "half right"
        return said

    with serving(judge) as server:
        made = json.loads(call(run, "--judge", f"openai:toy@{server.url}", "--json"))
        tails = {prompt.splitlines()[-1] for prompt in server.prompts}
        assert "What is written? | stop <OR> halt | STOP | " in tails
        assert "How much? | 3 <AND> 4 | 3 | " in tails
        assert len(server.bodies) == 7
        assert {body["temperature"] for body in server.bodies} == {0, 0.5}
        assert {body["max_tokens"] for body in server.bodies} == {3}
    (arm,) = made["arms"]
    assert arm["headline"] == pytest.approx(100 * 3.25 / 6)
    capabilities, fixed = arm["metrics"]["capabilities"], arm["metrics"]["capabilities_fixed"]
    # A category of one capability counts twice there, as VLMEvalKit has it.
    assert capabilities["rec"] == pytest.approx(100 * (1 + 1 + 0.5 + 0 + 1) / 5)
    assert fixed["rec"] == pytest.approx(100 * (1 + 0.5 + 0 + 1) / 4)
    assert capabilities["ocr"] == pytest.approx(fixed["ocr"]) == pytest.approx(37.5)
    assert [fixed[name] for name in ("know", "gen", "spat", "math")] == [100, 100, 0, 50]
    assert arm["vlmevalkit_table"][-1] == {"Category": "Overall", "tot": 6, "acc": pytest.approx(54.1666667)}
    assert arm["judge_record"]["temperatures"] == [0, 0.5, 1, 1.5, 2]
    assert not made["comparable"]
    out = call(run, "--judge", f"openai:toy@{server.url}")
    assert "54.2" in out


@needs_openai
def test_the_judges_cost_is_shown_recorded_and_bounded(tmp_path):
    _, run = choice_run(tmp_path)
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    choice = {"index": 0, "message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    reply = (200, {"Content-Type": "application/json"}, json.dumps({**answer, "usage": usage}).encode())
    with serving(lambda _: reply) as server:
        Path("judge.toml").write_text(
            f'[paid]\nadapter = "openai"\nmodel = "j"\nendpoint = "{server.url}"\n'
            'price = { input = 1000, output = 2000, date = "2026-01-01" }\noptions = { concurrency = 1 }\n'
        )
        name = f"j@{host_label(server.url)}"
        args = (run, "--judge", "paid", "--model-card", "judge.toml")
        out = call(*args, "--max-usd", "1.5", code=4)
        assert f"The judge {name} was stopped: --max-usd 1.5 is used up (2 spent)" in out
        assert f"judge {name}: 1 requests, 1000 tokens read, 500 written, $2" in out
        call(*args)
        assert len(server.bodies) == 2
    sessions = json.loads((run / "manifest.json").read_text())["judge_sessions"]
    assert [(s["asked"], s["cost_usd"]) for s in sessions] == [(1, 2), (1, 2)]
    assert sessions[0]["tokens"] == {"read": 1000, "written": 500}
    assert "needs the price" in call(run, "--judge", "openai:j@http://h/v1", "--max-usd", "3", code=2)
    assert "Add --judge" in call(run, "--max-usd", "3", code=2)


@needs_openai
def test_ctrl_c_keeps_what_was_answered(tmp_path):
    _, run = choice_run(tmp_path)

    signals = iter([signal.SIGINT])

    def interrupt(_):
        for number in signals:  # once: the second Ctrl-C would not wait
            os.kill(os.getpid(), number)
        time.sleep(0.3)  # in flight when the signal is handled
        return "no idea"  # so that there is more to ask

    with serving(interrupt) as server:
        assert "stopped" in call(run, "--judge", f"openai:j@{server.url}", code=130)
        asked = len(server.bodies)
    assert len((run / "judge.jsonl").read_text().splitlines()) == asked > 0


@needs_openai
@pytest.mark.parametrize("suffix", ["xlsx", "tsv", "json"])
def test_vlmevalkits_prediction_files(tmp_path, suffix):
    if suffix == "xlsx" and find_spec("openpyxl") is None:
        pytest.skip("needs the extra `compat`")
    tsv, run = choice_run(tmp_path)
    arm = read_run(run).arms[0]
    path = tmp_path / f"p_own.{suffix}"
    write_predictions(path, arm.bench, arm.replies)
    out = call("--predictions", path, "--bench", tsv, "--quiet")
    assert re.search(rf"Benchmark +Metric +n +p_own\.{suffix}\n", out)
    assert re.search(r"own +accuracy +4 +50\.0\n", out)
    with serving(lambda _: "A") as server:
        args = (
            "--predictions",
            path,
            "--bench",
            tsv,
            "--judge",
            f"openai:j@{server.url}",
            "--quiet",
            "--json",
        )
        made = json.loads(call(*args))
        assert json.loads(call(*args)) == made
        assert len(server.bodies) == 2
    assert (made["headline"], made["judge"], made["counts"]["judged"]) == (
        75,
        f"j@{host_label(server.url)}",
        2,
    )
    assert (tmp_path / f"p_own.{suffix}.judge.jsonl").exists()


def test_predictions_that_are_incomplete_or_not_readable(tmp_path):
    tsv, _ = choice_run(tmp_path)
    some = tmp_path / "some.jsonl"
    some.write_text('{"index": 0, "prediction": "A"}\n')
    made = json.loads(call("--predictions", some, "--bench", tsv, "--json"))
    assert (made["headline"], made["counts"]["missing"]) == (25, 3)
    out = call("--predictions", some, "--bench", tsv, "--partial", "--quiet")
    assert "100.0" in out
    assert "partial" in out
    (tmp_path / "p.pkl").write_bytes(b"x")
    assert "runs any code" in call("--predictions", "p.pkl", "--bench", tsv, code=2)
    some.write_text('{"index": 77, "prediction": "A"}\n')
    assert "belong to no question" in call("--predictions", some, "--bench", tsv, code=2)


def test_calls_that_say_too_little_or_too_much(tmp_path):
    _, run = choice_run(tmp_path)
    assert "Either a run or --predictions" in call(code=2)
    assert "Either a run or --predictions" in call(run, "--predictions", "x.tsv", code=2)
    assert "Add --bench" in call("--predictions", "x.tsv", code=2)
    assert "--judge-heads needs a judge" in call(run, "--judge-heads", "x", code=2)
    assert "Did you mean 'vlmevalkit/1'" in call(run, "--protocol", "vlmevalkit", code=2)
    assert "Add --judge" in call(run, "--on-unresolved", "random", code=2)
    assert "holds no manifest.json" in call(tmp_path, code=4)
    (tmp_path / "manifest.json").write_text('{"kind": "mmdbench build"}')
    assert "holds no run, but a build. Name a folder that mmdbench eval made." in call(tmp_path, code=4)
    (tmp_path / "manifest.json").write_text('{"kind": "mmdbench run", "plan": {"model": "m"}}')
    assert "manifest.plan has no 'benches'" in call(tmp_path, code=4)
    assert not (tmp_path / ".lock").exists()
