"""The names that a server gives to its model: counted, shown everywhere, and an alarm when they change."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api_runs import run
from faulty_server import FaultyServer, completion, true_answer
from judge_server import serving
from mmdbench.check import accept, check_run, read_baseline
from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import IncomparableError, ModelError
from mmdbench.models import ModelCard
from mmdbench.models.endpoints import host_label
from mmdbench.report.identity import differences, identity
from mmdbench.report.tables.run_notes import run_notes
from mmdbench.results.graded_run import load_results
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.run.merge import merge_runs
from mmdbench.run.store import read_replies
from mmdbench.system.files import MANIFEST_FILE
from run_folders import change_manifest
from scripted_runs import write_tsv

pytestmark = pytest.mark.skipif(find_spec("openai") is None, reason="needs the extra `api`")

OLD, NEW = "toy-1-2026-01-01", "toy-2"


def named(name, call, **more):
    return {**completion(true_answer(call.prompt, call.images)), "model": name, **more}


def swapping(after, **more):
    """A server that answers as another model after so many requests."""
    return FaultyServer(lambda call: named(OLD if call.number < after else NEW, call, **more))


def card(server, **options):
    return ModelCard(
        "toy", "openai", model="toy-1", endpoint=server.url, options={"concurrency": 2, **options}
    )


def sessions(folder):
    return json.loads((folder / MANIFEST_FILE).read_text("utf-8"))["sessions"]


def names_stored(folder):
    return {reply.details["model"] for reply in read_replies(folder).values()}


def note_of(folder, word):
    return next((note for note in run_notes(load_results(folder)) if word in note), "")


def test_a_change_within_a_run_stops_it_and_keeps_every_reply(make_tsv, tmp_path):
    path, folder = make_tsv(40), tmp_path / "run"
    with swapping(10) as server:
        with pytest.raises(ModelError, match=f"answered as {OLD}, {NEW}") as caught:
            run(path, folder, card(server))
        assert "--allow-model-change" in caught.value.hint
        asked = len(server.calls)
        assert 10 < asked <= 13  # those in flight were finished
        assert len(read_replies(folder)) == asked
        (session,) = sessions(folder)
        assert NEW in session["stopped"]
        assert NEW in session["alarm"]
        assert session["served"]["models"] == {OLD: 10, NEW: asked - 10}
        with pytest.raises(ModelError, match="cannot be measured"):  # a resumed run knows it
            run(path, folder, card(server))
        assert len(server.calls) == asked
        summary = run(path, folder, card(server), allow_model_change=True)
        assert len(server.calls) == 40
    assert NEW in summary.alarm
    assert note_of(folder, "SEVERAL MODELS").startswith(
        f"SEVERAL MODELS: the server answered as {OLD} (10), {NEW} (30)"
    )


def test_a_change_between_sessions_is_found_and_fresh_replies_are_of_one_model(make_tsv, tmp_path):
    path, folder = make_tsv(40), tmp_path / "run"
    with swapping(40) as server:
        run(path, folder, card(server), shard=(1, 2), allow_model_change=True)
        first = len(server.calls)
        server.behave = lambda call: named(NEW, call)
        with pytest.raises(ModelError, match="by their names not one model"):
            run(path, folder, card(server))
        assert first < len(server.calls) < 40
        run(path, folder, card(server), fresh=True)
    assert (
        note_of(folder, "Asked for") == f"Asked for toy-1, served as {NEW} (40): by its name another model."
    )


def test_spellings_of_one_model_do_not_stop_a_run_and_are_counted(make_tsv, tmp_path):
    names = ["toy-1", OLD, "models/Toy-1"]
    prints = ["fp_a", "fp_b"]
    path, folder = make_tsv(12), tmp_path / "run"
    answer = lambda call: named(names[call.number % 3], call, system_fingerprint=prints[call.number % 2])  # noqa: E731
    with FaultyServer(answer) as server:
        assert run(path, folder, card(server)).alarm == ""
    (session,) = sessions(folder)
    assert session["served"] == {
        "models": dict.fromkeys(names, 4),
        "system_fingerprints": dict.fromkeys(prints, 6),
    }
    assert note_of(folder, "Served as") == f"Served as models/Toy-1 (4), toy-1 (4), {OLD} (4)."
    assert note_of(folder, "fingerprints") == "System fingerprints of the server: fp_a (6), fp_b (6)."


def test_another_name_than_was_asked_is_shown_at_the_first_reply(make_tsv, tmp_path):
    with FaultyServer(lambda call: named(NEW, call)) as server:
        words = ["eval", "--model", f"openai:toy-1@{server.url}", "--bench", str(make_tsv(3)), "--level"]
        done = CliRunner().invoke(app, [*words, "clean", "--no-canary", "--quiet", "-o", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    assert done.output.count(f"asked for toy-1, the server answers as {NEW}") == 1
    assert f"Asked for toy-1, served as {NEW} (3)" in done.output


def test_the_option_of_eval_continues(make_tsv, tmp_path):
    with swapping(2) as server:
        words = ["eval", "--model", f"openai:toy-1@{server.url}", "--bench", str(make_tsv(6)), "--level"]
        words += ["clean", "--no-canary", "--quiet", "--concurrency", "1", "-o", str(tmp_path / "run")]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 4, done.output
        assert len(server.calls) == 3
        done = CliRunner().invoke(app, [*words, "--allow-model-change"])
        assert done.exit_code == 0, done.output
    assert f"SEVERAL MODELS: the server answered as {OLD} (2), {NEW} (4)" in done.output


@pytest.fixture
def answered(make_tsv, tmp_path):
    """A function that runs 12 questions against a server that gives one name, or none."""

    def make(name, folder):
        with FaultyServer(lambda call: named(name, call)) as server:
            run(make_tsv(12), tmp_path / folder, card(server, served_by="lab"))
        return load_results(tmp_path / folder)

    return make


def test_a_baseline_of_another_model_is_incomparable_unless_allowed(answered, tmp_path):
    file = tmp_path / "baseline.json"
    before = answered(OLD, "before")
    accept(before, file)
    assert json.loads(file.read_text("utf-8"))["identity"]["served"]["models"] == {OLD: 12}
    other, same, silent = answered(NEW, "other"), answered("toy-1", "same"), answered("", "silent")
    with pytest.raises(IncomparableError, match=f"{OLD} against {NEW}"):
        check_run(other, read_baseline(file), load_spec())
    allowed = check_run(other, read_baseline(file, allow_model_change=True), load_spec())
    assert f"served model: {OLD} / {NEW}" in allowed.notes
    assert check_run(same, read_baseline(file), load_spec()).exit_code == 0
    # A baseline that is older than the names, and a server that gives none, are said and compared.
    assert f"served model: {OLD} / not recorded" in check_run(silent, read_baseline(file), load_spec()).notes
    words = ["check", str(tmp_path / "other"), "--baseline", str(file)]
    assert CliRunner().invoke(app, words).exit_code == 2
    assert CliRunner().invoke(app, [*words, "--allow-model-change"]).exit_code == 0
    # Comparing runs of two models is what `compare` is for.
    found = [str(d) for d in differences(identity(before), identity(other)) if not d.blocks]
    assert f"served model: {OLD} / {NEW}" in found


def test_a_run_of_several_models_is_no_baseline_unless_allowed(make_tsv, tmp_path):
    with swapping(6) as server:
        run(make_tsv(12), tmp_path / "run", card(server), allow_model_change=True)
    words = ["check", str(tmp_path / "run"), "--baseline", str(tmp_path / "b.json"), "--accept"]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert not (tmp_path / "b.json").exists()
    assert CliRunner().invoke(app, [*words, "--allow-model-change"]).exit_code == 0


def test_a_judge_that_is_swapped_stops_and_is_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"index": i, "question": f"q{i}.", "answer": "a dog", "category": "rec"} for i in range(6)]
    write_tsv(Path("v.tsv"), rows)
    asked = []

    def script(body):
        asked.append(body)
        choice = {"index": 0, "message": {"role": "assistant", "content": "0.8"}, "finish_reason": "stop"}
        judged = sum(b["model"] == "toy-1" for b in asked)
        name = "m" if body["model"] == "m" else OLD if judged <= 2 else NEW
        answer = {"id": "x", "object": "chat.completion", "created": 1, "model": name, "choices": [choice]}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    def call(*words, code):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done.output

    with serving(script) as server:
        words = ["eval", "--model", f"openai:m@{server.url}", "--bench", "v.tsv", "--family", "mmvet"]
        call(*words, "--level", "clean", "--no-canary", "--quiet", "-o", "run", code=0)
        Path("j.toml").write_text(
            f'[j]\nadapter = "openai"\nmodel = "toy-1"\nendpoint = "{server.url}"\n'
            "options = { concurrency = 1 }\n"
        )
        score = ["score", "run", "--judge", "j", "--model-card", "j.toml", "--quiet"]
        assert f"answered as {OLD}, {NEW}" in call(*score, code=4)
        judge = f"toy-1@{host_label(server.url)}"
        journal = JsonlJournal(Path("run/judge.jsonl"))
        assert journal.served(judge) == {OLD, NEW}
        sent = len(asked)
        call(*score, code=4)  # known from the journal, and nothing is asked
        assert len(asked) == sent
        call(*score, "--allow-model-change", code=0)
    note = note_of(Path("run"), "Judged by")
    assert note.startswith(f"Judged by {judge}, served as {OLD} (2), {NEW} (")
    assert note.endswith("BY THEIR NAMES SEVERAL MODELS.")


def manifest_of_before(folder):
    """Make a run's manifest as earlier versions wrote it."""

    def change(manifest):
        manifest["model"]["fingerprint"]["endpoint"] = "local"
        manifest["model"]["options"].pop("served_by")

    change_manifest(folder, change)


def test_runs_of_earlier_versions_are_reported_and_say_why_they_are_asked_anew(make_tsv, tmp_path):
    path, folder = make_tsv(4), tmp_path / "run"
    notes = []
    with FaultyServer() as server:
        run(path, folder, card(server, served_by="local"))  # the keys of earlier versions
        manifest_of_before(folder)
        assert load_results(folder).complete
        assert run(path, folder, card(server, served_by="local")).asked == 0
        manifest_of_before(folder)
        assert run(path, folder, card(server), on_progress=lambda p: notes.append(p.note)).asked == 4
    assert any("--set served_by=local" in note for note in notes)


def test_shards_of_two_addresses_merge_by_their_label(make_tsv, tmp_path):
    path = make_tsv(8)
    for number, label in ((1, "lab"), (2, "lab")):
        with FaultyServer() as server:
            run(path, tmp_path / f"s{number}", card(server, served_by=label), shard=(number, 2))
    with FaultyServer() as server:
        run(path, tmp_path / "s3", card(server), shard=(2, 2))
    assert merge_runs([tmp_path / "s1", tmp_path / "s2"], tmp_path / "whole").replies == 8
    with pytest.raises(IncomparableError, match="differ in model"):
        merge_runs([tmp_path / "s1", tmp_path / "s3"], tmp_path / "not")


def test_a_merge_of_parts_by_several_models_says_so(make_tsv, tmp_path):
    path = make_tsv(8)
    for number, name in ((1, OLD), (2, NEW)):
        with FaultyServer(lambda call, name=name: named(name, call)) as server:
            run(path, tmp_path / f"s{number}", card(server, served_by="lab"), shard=(number, 2))
    words = ["merge", str(tmp_path / "s1"), str(tmp_path / "s2"), "-o", str(tmp_path / "whole")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert f"mmdbench: the server answered as {OLD}, {NEW}: by their names not one model" in done.output
    assert "SEVERAL MODELS" in note_of(tmp_path / "whole", "SEVERAL")


def test_a_resumed_run_finds_its_replies_at_another_address_with_its_label(make_tsv, tmp_path):
    path = make_tsv(4)
    words = ["--bench", str(path), "--level", "clean", "--no-canary", "--quiet", "-o", str(tmp_path / "run")]
    for asked in (4, 0):
        with FaultyServer() as server:
            model = ["eval", "--model", f"openai:toy-1@{server.url}", "--set", "served_by=lab"]
            done = CliRunner().invoke(app, [*model, *words])
            assert done.exit_code == 0, done.output
            assert len(server.calls) == asked


def test_two_servers_with_one_name_are_both_asked(make_tsv, tmp_path):
    path, folder = make_tsv(4), tmp_path / "run"
    for _ in range(2):
        with FaultyServer() as server:
            assert run(path, folder, card(server)).asked == 4
