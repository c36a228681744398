"""Runs whose folder cannot be written to any more: of what was answered everything is kept that fits."""

from __future__ import annotations

import shutil
from contextlib import ExitStack

import pytest

from api_runs import run
from faulty_server import FaultyServer
from file_limits import limited
from mmdbench.errors import StoreError
from mmdbench.models.cards import ModelCard
from mmdbench.records import Reply
from mmdbench.results.graded_run import load_results
from mmdbench.run.store import ReplyStore, read_replies
from optional_packages import needs
from pictures import write_many
from recording_model import Recorder, toy_run


def reply(key, text="A"):
    return Reply(key, "toy", 1, "clean", None, "ok", text)


def test_a_reply_that_does_not_fit_leaves_no_trace_and_a_shorter_one_is_kept(tmp_path):
    with ReplyStore(tmp_path) as store:
        store.add(reply("a"))
        with limited(most=store.path.stat().st_size + 1000):
            with pytest.raises(
                StoreError, match=r"Cannot write .*replies-0\.jsonl: File too large\..*ulimit"
            ):
                store.add(reply("b", "long " * 400))
            store.add(reply("c"))
    assert list(read_replies(tmp_path)) == ["a", "c"]


@needs("openai")
def test_a_run_that_cannot_write_stops_asking_and_says_what_was_lost(tmp_path):
    path, folder, stack = write_many(tmp_path / "many.tsv", 40), tmp_path / "run", ExitStack()
    notes = []

    def fill(progress):
        notes.append(progress.note)
        if progress.done == 3 and not progress.note:
            stack.enter_context(limited(most=(folder / "replies-0.jsonl").stat().st_size + 20))

    with FaultyServer() as server, stack:
        card = ModelCard("toy", "openai", model="toy-1", endpoint=server.url, options={"concurrency": 4})
        with pytest.raises(StoreError, match=r"\d answers could not be stored.*ulimit") as raised:
            run(path, folder, card, on_progress=fill)
        asked = len(server.calls)
        stack.close()
        again = run(path, folder, card)
    assert asked < 12
    assert f" {asked - 3} answers could not be stored" in str(raised.value)
    assert any("Nothing more is asked; requests in flight are finished" in note for note in notes)
    assert (again.earlier, again.asked) == (3, 37)


def test_answers_are_kept_where_only_the_manifest_does_not_fit(make_tsv, tmp_path):
    stack = ExitStack()

    def fill(progress):
        if progress.done == 1:
            stack.enter_context(limited(most=1500))

    said = r"manifest\.json.* Every answer is stored\. The manifest does not count this call: 2 requests"
    with stack, pytest.raises(StoreError, match=said):
        toy_run(make_tsv(2), tmp_path / "run", on_progress=fill, levels=("clean",))
    assert load_results(tmp_path / "run").statuses == {"ok": 2}


@pytest.mark.parametrize("other", [None, b""])
def test_a_file_of_replies_that_is_removed_during_a_run_is_written_again(make_tsv, tmp_path, other):
    path = tmp_path / "run" / "replies-0.jsonl"

    def remove(progress):
        if progress.done == 2:
            path.unlink()
            if other is not None:
                path.write_bytes(other)

    with pytest.raises(StoreError, match=r"removed or replaced while .* run the same command again"):
        toy_run(make_tsv(4), tmp_path / "run", on_progress=remove, levels=("clean",))
    model, summary = toy_run(make_tsv(4), tmp_path / "run", levels=("clean",))
    assert (summary.earlier, model.asked) == (4, [])


def test_a_folder_that_is_removed_during_a_run_comes_back_with_its_replies(make_tsv, tmp_path):
    def remove(progress):
        if progress.done == 2:
            shutil.rmtree(tmp_path / "run")

    with pytest.raises(StoreError, match="removed or replaced"):
        toy_run(make_tsv(4), tmp_path / "run", on_progress=remove, levels=("clean",))
    model, summary = toy_run(make_tsv(4), tmp_path / "run", levels=("clean",))
    assert (summary.earlier, model.asked) == (4, [])


def test_a_model_in_this_process_is_not_asked_again_once_its_answers_do_not_fit(make_tsv, tmp_path):
    model, stack = Recorder(), ExitStack()

    def fill(progress):
        if progress.done == 2:
            stack.enter_context(limited(most=100))

    with stack, pytest.raises(StoreError, match="1 answer could not be stored"):
        toy_run(make_tsv(9), tmp_path / "run", model, on_progress=fill, levels=("clean",))
    assert len(model.asked) == 3
