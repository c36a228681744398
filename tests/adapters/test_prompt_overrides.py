"""An adapter with its own prompts: the run, its replies and its report name them."""

from __future__ import annotations

import json

from mmdbench.benches import build_prompt, open_bench
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.report.identity import differences, identity
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from mmdbench.run.store import read_replies
from recording_model import Recorder, toy_run


class Reworder(Recorder):
    """Asks for one letter, but only of questions with an even index."""

    def prompt(self, question, default):
        return f"{default}\nOne letter!" if question.index % 2 == 0 else default


class Keeper(Recorder):
    """Has a method for prompts that changes none."""

    def prompt(self, question, default):
        return default


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def notes(folder):
    return make_tables(load_results(folder), load_spec()).notes


def test_changed_prompts_are_kept_with_their_replies(make_tsv, tmp_path):
    path = make_tsv(4)
    model, _ = toy_run(path, tmp_path / "run", Reworder(), levels=("clean",))
    defaults = {q.index: build_prompt(q, "plain") for q in open_bench(path).questions}
    replies = {r.index: r for r in read_replies(tmp_path / "run").values()}
    for index, reply in replies.items():
        expected = {"prompt": f"{defaults[index]}\nOne letter!"} if index % 2 == 0 else {}
        assert dict(reply.details) == expected
    assert {r.prompt for r in model.asked} == {
        r.details.get("prompt", defaults[index]) for index, r in replies.items()
    }


def test_the_manifest_and_the_report_say_so(make_tsv, tmp_path):
    path = make_tsv(4)
    toy_run(path, tmp_path / "own", Reworder(), levels=("clean",))
    assert manifest(tmp_path / "own")["prompt_override"] is True
    assert any("adapter changes the benchmark's prompts" in note for note in notes(tmp_path / "own"))
    for name, model in (("plain", Recorder()), ("kept", Keeper())):
        toy_run(path, tmp_path / name, model, levels=("clean",))
        assert manifest(tmp_path / name)["prompt_override"] is False
        assert not any("prompts" in note for note in notes(tmp_path / name))
        assert not any(r.details for r in read_replies(tmp_path / name).values())
    ours, theirs = (identity(load_results(tmp_path / name)) for name in ("own", "plain"))
    assert [(d.field, d.blocks) for d in differences(ours, theirs)] == [("own prompts", False)]


def test_a_reply_says_which_prompt_also_when_it_failed(make_tsv, tmp_path):
    toy_run(make_tsv(1), tmp_path / "run", Reworder(fail=lambda _: True), levels=("clean",))
    (reply,) = read_replies(tmp_path / "run").values()
    assert reply.status == "error"
    assert reply.details["prompt"].endswith("One letter!")
